"""A mean over seeds and problems at once, with the uncertainty of both.

Problems that all seeds answer are not independent from seed to seed, and answers of one seed are
not independent from problem to problem. So each is a random effect, crossed:

    y_sp = μ + a_s + b_p + e_sp,   Var a = σ_a², Var b = σ_b², Var e = σ_e²,   S seeds, P problems

of which the mean over all cells estimates μ with variance σ_a²/S + σ_b²/P + σ_e²/(SP).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Crossed(NamedTuple):
    """A mean over seeds and problems. NaN where it cannot be told."""

    mean: float
    low: float  # 95 %
    high: float
    p: float  # two-sided, of μ = 0
    dof: float
    seed_sd: float  # σ_a, estimated, at least 0
    problem_sd: float
    rest_sd: float
    seeds: int
    problems: int


def crossed_mean(values: np.ndarray, confidence: float = 0.95) -> Crossed:
    """The mean of `values` (seeds, problems), float64, with a t interval over both.

    From the mean squares of a two-way layout with one value a cell, M_a of seeds (E M_a = σ_e² +
    P σ_a²), M_b of problems (E M_b = σ_e² + S σ_b²), M_e of what is left (E M_e = σ_e²):

        Var = (max(M_a, M_e) + max(M_b, M_e) − M_e) / (S P)

    Satterthwaite's degrees of freedom: the square of the numerator over the sum of each mean
    square's square by its own degrees of freedom. The floors are variance estimates that are not
    negative; without them seeds that happen to agree made one null test in ten significant at 5 %
    with two seeds. With them the rate was at most the nominal one in every case that was tried (2
    to 10 seeds), and far below it with two or three seeds, which have little to say.

    With one seed nothing is known of σ_a: the interval is over problems alone, and p is NaN. A
    value that is NaN makes all NaN. Source: Searle, Casella and McCulloch 1992, "Variance
    Components", section 4.3; Satterthwaite 1946.
    """
    seeds, problems = values.shape
    nan = math.nan
    unknown = Crossed(nan, nan, nan, nan, nan, nan, nan, nan, seeds, problems)
    if not values.size or not np.isfinite(values).all():
        return unknown
    mean = float(values.mean())
    if seeds == 1 or problems == 1:
        low, high, p = _simple(values.reshape(-1), confidence)
        return unknown._replace(mean=mean, low=low, high=high, p=math.nan if seeds == 1 else p)
    of_seeds, of_problems = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    rest = values - mean - of_seeds[:, None] - of_problems
    dofs = np.array([seeds - 1, problems - 1, (seeds - 1) * (problems - 1)], float)
    sums = [problems * (of_seeds**2).sum(), seeds * (of_problems**2).sum(), (rest**2).sum()]
    squares = np.array(sums) / dofs
    m_e = squares[2]
    floored = np.array([max(squares[0], m_e), max(squares[1], m_e), m_e])
    total = float(floored[0] + floored[1] - m_e)
    sds = (
        math.sqrt(max(squares[0] - m_e, 0) / problems),
        math.sqrt(max(squares[1] - m_e, 0) / seeds),
        math.sqrt(m_e),
    )
    if total <= 1e-24 * max(1.0, mean**2):  # all cells are alike: nothing to reckon a chance from
        p = 1.0 if mean == 0 else math.nan
        return Crossed(mean, mean, mean, p, math.nan, *sds, seeds, problems)
    dof = total**2 / float((floored**2 / dofs).sum())
    low, high, p = _t(mean, math.sqrt(total / (seeds * problems)), dof, confidence)
    return Crossed(mean, low, high, p, dof, *sds, seeds, problems)


class Mean(NamedTuple):
    value: float
    low: float  # 95 %, over the values given; NaN for fewer than two
    high: float
    p: float  # two-sided, of a mean of 0


def mean_over_seeds(values: np.ndarray, confidence: float = 0.95) -> Mean:
    """The mean of one number a seed with its t interval; NaN for none or where one is NaN."""
    if not len(values):
        return Mean(math.nan, math.nan, math.nan, math.nan)
    return Mean(float(values.mean()), *_simple(np.asarray(values, float), confidence))


def _simple(values: np.ndarray, confidence: float) -> tuple[float, float, float]:
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan, math.nan, math.nan
    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    if error == 0:
        return float(values[0]), float(values[0]), 1.0 if values[0] == 0 else math.nan
    return _t(float(values.mean()), error, len(values) - 1, confidence)


def _t(mean: float, error: float, dof: float, confidence: float) -> tuple[float, float, float]:
    from scipy.stats import t  # half a second to load: not at the start of a dashboard

    half = float(t.ppf(0.5 + confidence / 2, dof)) * error
    return mean - half, mean + half, float(2 * t.sf(abs(mean) / error, dof))


def holm(p: np.ndarray) -> np.ndarray:
    """The p-values of a family corrected by Holm's step-down; NaN stays NaN and counts as no test.

    Source: Holm 1979. scipy has Benjamini and Hochberg, whose false discovery rate says little of
    three arms.
    """
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return corrected
