"""The token types of one step by Rock Score: no second checkpoint is needed, and nothing is said of
persistence.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rockcore.categories import categorize_all
from rockcore.log import Run
from rockcore.schema import RockError


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
