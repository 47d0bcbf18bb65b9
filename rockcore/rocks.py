"""From a run to its Rock Tokens. First version: token types ranked by Rock Score at one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rockcore.categories import categorize_all
from rockcore.log import Run
from rockcore.schema import RockError
from rockcore.scores import mean_kl, rock_score


class NothingLogged(RockError, ValueError):
    """The run holds no token statistics to rank."""


def last_step(run: Run) -> int:
    """The last step with logged tokens; raises NothingLogged if there is none."""
    steps = run.steps("types")
    if not steps:
        raise NothingLogged(
            f"{run.path.name} has no logged tokens yet", "There is nothing to rank", "Wait for the first step, or train with logging on"
        )
    return steps[-1]


def rank(run: Run, step: int | None = None) -> pd.DataFrame:
    """Token types of a step (default: the last) by falling Rock Score; ties by token id.

    Columns: token_id, token, category, frequency (occurrences), mean_kl (nats), rock_score (nats, R(v)), share of the
    summed kl, coverage (share of this type and all above it), grad_norm_sum. Sum of rock_score = sum of kl.
    """
    types = run.types(last_step(run) if step is None else step)
    score = rock_score(types.n.to_numpy(), types.kl_sum.to_numpy())
    order = np.lexsort((types.token_id.to_numpy(), -score))
    total = score.sum()
    share = score / total if total > 0 else np.zeros_like(score)
    frame = pd.DataFrame(
        {
            "token_id": types.token_id,
            "token": types.token,
            "category": categorize_all(types.token, types.special),
            "frequency": types.n,
            "mean_kl": mean_kl(types.n.to_numpy(), types.kl_sum.to_numpy()),
            "rock_score": score,
            "share": share,
            "grad_norm_sum": types.grad_norm_sum,
        }
    ).iloc[order]
    frame.insert(7, "coverage", frame.share.cumsum())
    return frame.reset_index(drop=True)


def report(run: Run, step: int | None = None, top: int | None = None) -> dict[str, Any]:
    """What `rockcore rocks --json` prints."""
    step = last_step(run) if step is None else step
    frame = rank(run, step)
    fields = ["token_id", "token", "category", "frequency", "mean_kl", "rock_score", "share", "coverage"]
    return {
        "run": str(run.path),
        "step": step,
        "estimator": run.meta.estimator,
        "total_kl": float(frame.rock_score.sum()),
        "total_tokens": int(frame.frequency.sum()),
        "tokens": frame[fields].head(top if top is not None else len(frame)).to_dict("records"),
    }
