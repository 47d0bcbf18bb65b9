"""What could tell beforehand which tokens matter: the nine predictors of arXiv 2605.09253, §4, and
their correlation with what knocking the tokens out did.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.rocks.examined import Examined
from rockcore.schema import RockError

PREDICTORS = {
    "frequency": "occurrences",
    "rock_count": "kept occurrences (rock count)",
    "rock_rate": "share kept (rock rate)",
    "pre_kl": "KL before, nats",
    "post_kl": "KL after, nats",
    "kl_improvement": "KL before − after, nats",
    "teacher_entropy": "teacher's entropy, nats",
    "pre_entropy": "student's entropy before, nats",
    "post_entropy": "student's entropy after, nats",
}


class Predictors(NamedTuple):
    frame: pd.DataFrame  # by token_id: the columns of PREDICTORS, NaN where not known
    why_missing: str = ""  # why none is known


def predictors(run: Run) -> Predictors:
    """Of every token type of the texts on which Rock Tokens are found, under the default rule:
    their means over these texts at the first and the last checkpoint.
    """
    try:
        report = Examined(run).report
    except RockError as e:
        return Predictors(pd.DataFrame(columns=list(PREDICTORS), dtype=float), str(e))
    types = report.tokens.set_index("token_id")
    first, last = report.steps[0], report.steps[-1]

    def mean(column: str, step: int) -> pd.Series:
        means = run.type_means(report.source.table, column)
        return means[means.step == step].set_index("token_id")["mean"]

    before, after = mean("kl", first), mean("kl", last)
    columns = {
        "frequency": types.frequency,
        "rock_count": types.consistent,
        "rock_rate": types.ccr,
        "pre_kl": before,
        "post_kl": after,
        "kl_improvement": before - after,
        "teacher_entropy": mean("teacher_entropy", last),
        "pre_entropy": mean("student_entropy", first),
        "post_entropy": mean("student_entropy", last),
    }
    return Predictors(pd.DataFrame(columns).astype(float))


def correlations(delta: pd.Series, stderr: pd.Series, known: pd.DataFrame) -> pd.DataFrame:
    """Pearson correlation of Δ with each predictor: predictor, label, n, r, p, low, high (95 %,
    Fisher's z), bound.

    `bound` is what noise in Δ leaves of a perfect correlation: √reliability, where the reliability
    is the share of the variance of Δ over candidates that is not the square of its standard errors
    (Spearman 1904). A small |r| under a small bound says nothing. NaN below four candidates.
    """
    rows = [
        {"predictor": name, "label": label, **_pearson(delta, stderr, known[name])}
        for name, label in PREDICTORS.items()
    ]
    return pd.DataFrame(rows)


def _pearson(delta: pd.Series, stderr: pd.Series, predictor: pd.Series) -> dict[str, float]:
    from scipy.stats import pearsonr

    x, y = predictor.to_numpy(float), delta.to_numpy(float)
    use = np.isfinite(x) & np.isfinite(y)
    unknown = dict.fromkeys(("r", "p", "low", "high"), np.nan)
    bound = _bound(y[use], stderr.to_numpy(float)[use])
    if use.sum() < 4 or np.ptp(x[use]) == 0 or np.ptp(y[use]) == 0:
        return {"n": int(use.sum()), **unknown, "bound": bound}
    found: Any = pearsonr(x[use], y[use])
    low, high = found.confidence_interval(0.95)
    r, p = float(found.statistic), float(found.pvalue)
    return {"n": int(use.sum()), "r": r, "p": p, "low": low, "high": high, "bound": bound}


def _bound(delta: np.ndarray, stderr: np.ndarray) -> float:
    variance = delta.var(ddof=1) if len(delta) > 1 else 0.0
    if variance == 0:
        return np.nan
    return float(np.sqrt(max(0.0, 1 - float((stderr**2).mean()) / variance)))
