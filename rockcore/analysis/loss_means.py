"""The mean loss of each step, read from its tokens: for a run that has no metrics, or whose metrics
know of no kl.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rockcore.log import Run


def loss_means(run: Run, column: str) -> pd.DataFrame:
    """Mean of a column over the fresh tokens of each step: step, rollouts, tokens, mean and stderr
    (nats), over the tokens that have a value; NaN where none has.

    The standard error is that of a ratio of sums with rollouts as the independent units, as the
    metrics of a training have it; NaN for a single rollout. Raises ValueError for what is no
    signal.
    """
    rows = [
        {
            "step": step,
            "rollouts": len(of),
            "tokens": int(of.tokens.sum()),
            **_mean(of.total.to_numpy(float), of.n.to_numpy(float)),
        }
        for step, of in run.rollout_totals(column).groupby("step")
    ]
    return pd.DataFrame(rows, columns=["step", "rollouts", "tokens", "mean", "stderr"])


def _mean(total_B: np.ndarray, n_B: np.ndarray) -> dict[str, float]:
    known = n_B > 0
    total_B, n_B, rollouts = total_B[known], n_B[known], int(known.sum())
    if not rollouts:
        return {"mean": np.nan, "stderr": np.nan}
    mean = float(total_B.sum() / n_B.sum())
    if rollouts == 1:
        return {"mean": mean, "stderr": np.nan}
    excess = total_B - mean * n_B  # of each rollout, over its fair share
    spread = rollouts / (rollouts - 1) * float((excess**2).sum())
    return {"mean": mean, "stderr": spread**0.5 / float(n_B.sum())}
