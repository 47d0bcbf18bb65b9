"""How far a closed form stands for the real gradient, and what Adam makes of frequent types: two
correlations, each with its interval.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore import stats
from rockcore.log import Run
from rockcore.schema import NoGradients
from rockcore.stats import Interval


class Correlation(NamedTuple):
    value: float
    low: float
    high: float
    n: int


def exact_correlation(
    run: Run, probe_set: str, norm: str = "grad_norm", draws: int = 1000, seed: int = 0
) -> Correlation:
    """Pearson correlation of the closed-form norm with the exact one, both as logarithms, over the
    sampled positions.

    The interval (95 %) resamples rollouts. Positions where either is 0 or unknown are left out.
    Raises NoGradients.
    """
    frame: Any = run.exact_gradients(probe_set)
    frame = (
        frame[(frame[norm] > 0) & (frame.exact_norm > 0) & np.isfinite(frame[norm])]
        if len(frame)
        else frame
    )
    if len(frame) < 3:
        raise NoGradients(
            f"{run.path.name} has {len(frame)} positions of the probe set {probe_set!r} with "
            f"{norm} and an exact gradient",
            "A correlation needs three",
            "Train with --gradients full",
        )
    x, y = np.log(frame[norm].to_numpy(np.float64)), np.log(frame.exact_norm.to_numpy(np.float64))
    rollouts, member = np.unique(frame.rollout_id, return_inverse=True)
    drawn = np.sort(
        [_pearson(x, y, w[member]) for w in stats.resampled(len(rollouts), draws, seed)]
    )
    drawn = drawn[np.isfinite(drawn)]
    low, high = (
        np.quantile(drawn, [0.025, 0.975]) if len(rollouts) > 1 and len(drawn) else (np.nan, np.nan)
    )
    return Correlation(float(_pearson(x, y, np.ones(len(x)))), float(low), float(high), len(x))


def _pearson(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
    spread = np.sqrt((w @ x**2) * (w @ y**2))
    return float(w @ (x * y) / spread) if spread > 0 else np.nan


def second_moments(run: Run, step: int | None = None) -> pd.DataFrame:
    """Adam's second moment beside how often each type was written in the logged fresh rollouts
    before that step.

    Columns: token_id, second_moment, n; types that were never written are left out. `step`: default
    the last one logged. Raises NoGradients.
    """
    steps = run.steps("optimizer")
    if not steps:
        raise NoGradients(
            f"{run.path.name} has no log of the optimizer",
            "Adam's state is not in the gradients",
            "Train with --gradients sums",
        )
    step = steps[-1] if step is None else step
    sums = run.type_sums()
    n = sums[sums.step < step].groupby("token_id").n.sum()
    frame = run.optimizer(step)[["token_id", "second_moment"]]
    return frame.assign(n=frame.token_id.map(n)).dropna().astype({"n": int}).reset_index(drop=True)


def rank_correlation(x: Any, y: Any) -> Correlation:
    """Spearman's rank correlation with a 95 % interval by Fisher's z. Source: Bonett and Wright
    2000, eq. 3. NaN below 4.
    """
    from scipy.stats import spearmanr

    n = len(x)
    rho = float(np.asarray(spearmanr(x, y))[0]) if n > 3 else np.nan
    if not np.isfinite(rho):
        return Correlation(np.nan, np.nan, np.nan, n)
    half = 1.959964 * np.sqrt((1 + rho**2 / 2) / (n - 3))
    z = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    interval = Interval(rho, float(np.tanh(z - half)), float(np.tanh(z + half)))
    return Correlation(*interval, n)
