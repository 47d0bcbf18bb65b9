"""The mean loss of each step, read from its tokens: for a run that has no metrics, or whose metrics
know of no kl.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.stats import ratio_stderr


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
    total_B, n_B = total_B[n_B > 0], n_B[n_B > 0]
    if not len(n_B):
        return {"mean": np.nan, "stderr": np.nan}
    tokens = float(n_B.sum())
    mean = float(total_B.sum()) / tokens
    return {"mean": mean, "stderr": ratio_stderr(total_B - mean * n_B, tokens)}
