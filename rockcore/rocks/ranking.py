"""The token types of one step by Rock Score: no second checkpoint is needed, and nothing is said of
persistence.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore.categories import categorize_all
from rockcore.log import Run
from rockcore.schema import RockError
from rockcore.spelling import visible


class NothingLogged(RockError, ValueError):
    """The run holds no token statistics to rank."""


def last_step(run: Run) -> int:
    """The last step with logged tokens; raises NothingLogged if there is none."""
    steps = run.steps("types")
    if not steps:
        raise NothingLogged(
            f"{run.path.name} has no logged tokens yet",
            "There is nothing to rank",
            "Wait for the first step, or train with logging on",
        )
    return steps[-1]


def rank(run: Run, step: int | None = None) -> pd.DataFrame:
    """Token types of the fresh rollouts of one step (default: the last) by falling Rock Score; ties
    by token id.

    Needs no second checkpoint, and says nothing of persistence. Columns: token_id, token, category,
    frequency, mean_kl (nats), rock_score (nats, R(v)), share of the summed kl, coverage (share of
    this type and all above it), grad_norm_sum.
    """
    types = run.types(last_step(run) if step is None else step)
    order = np.lexsort((types.token_id.to_numpy(), -types.kl_sum.to_numpy()))
    total = types.kl_sum.sum()
    frame = pd.DataFrame(
        {
            "token_id": types.token_id,
            "token": types.token,
            "category": categorize_all(types.token, types.special, rules=run.category_rules),
            "frequency": types.n,
            "mean_kl": types.kl_sum / types.n,
            "rock_score": types.kl_sum,
            "share": types.kl_sum / total if total > 0 else 0.0,
            "grad_norm_sum": types.grad_norm_sum,
        }
    ).iloc[order]
    frame.insert(7, "coverage", frame.share.cumsum())
    return frame.reset_index(drop=True)


def numbered(run: Run, step: int | None = None) -> pd.DataFrame:
    """`rank` with the columns rank, from 1, and shown, the token with visible whitespace."""
    frame = rank(run, step)
    return frame.assign(rank=np.arange(1, len(frame) + 1), shown=[visible(t) for t in frame.token])


class Concentration(NamedTuple):
    """What falls on the first token types of a ranking; shares of 1."""

    top: int
    types: int
    tokens: int
    token_share: float
    kl_share: float
    gradient_share: float | None  # of the summed gradient norm; None where it is not logged


def concentration(frame: pd.DataFrame, top: int) -> Concentration:
    """How much of a step's tokens, of their kl and of their gradient norm falls on the `top` first
    rows of a frame of `rank`.
    """
    head = frame.head(top)
    tokens = int(frame.frequency.sum())
    norm = frame.grad_norm_sum.sum(skipna=False)
    return Concentration(
        top=len(head),
        types=len(frame),
        tokens=tokens,
        token_share=float(head.frequency.sum() / max(tokens, 1)),
        kl_share=float(head.share.sum()),
        gradient_share=float(head.grad_norm_sum.sum() / norm) if norm > 0 else None,
    )
