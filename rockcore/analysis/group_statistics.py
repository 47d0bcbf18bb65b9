"""Medians of groups of types with their intervals, ratios of them, and rank tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_T = 2.364624  # 97.5 % quantile of Student's t with 7 degrees of freedom: 8 folds to a half


class Triple(NamedTuple):
    """A number with its 95 % interval; NaN where it cannot be had."""

    value: float
    low: float
    high: float


class Median(NamedTuple):
    """A cross-fitted median: the mean of both halves'."""

    value: float  # of lengths, the square
    deviations: np.ndarray  # (16,), one a fold left out: their squares add up to the variance
    between: float  # variance of the median when its types are drawn anew
    types: int  # that have a value on either half

    @classmethod
    def of(
        cls,
        ids: Sequence[np.ndarray],
        whole: Sequence[np.ndarray],
        without: Sequence[Sequence[np.ndarray]],
    ) -> Median:
        """From the types (N,) of either half, their values, and for either half the same with each
        of its folds left out.
        """
        parts = [np.array([known_median(values) for values in half]) for half in without]
        deviations = [(p - p.mean()) / 2 * np.sqrt((len(p) - 1) / len(p)) for p in parts]
        value = float(np.mean([known_median(values) for values in whole]))
        between, types = _between(ids, whole)
        return cls(value, np.concatenate(deviations), between, types)

    def interval(self) -> Triple:
        """Of these very types: what other rollouts would give."""
        half = float(_T * np.sqrt((self.deviations**2).sum()))
        return Triple(self.value, self.value - half, self.value + half)


def _between(
    ids: Sequence[np.ndarray], values: Sequence[np.ndarray], draws: int = 200
) -> tuple[float, int]:
    """The variance of the mean of both halves' medians over bootstrap samples of the types, and how
    many types there are; a type that is in both halves is drawn for both.
    """
    known = [np.isfinite(v) for v in values]
    types = np.unique(np.concatenate([i[k] for i, k in zip(ids, known, strict=True)]))
    if not len(types):
        return np.nan, 0
    drawn = np.random.default_rng(0).multinomial(
        len(types), np.full(len(types), 1 / len(types)), size=draws
    )
    medians = []
    for i, v, k in zip(ids, values, known, strict=True):
        at, own = np.searchsorted(types, i[k]), v[k]
        medians.append([known_median(np.repeat(own, times[at])) for times in drawn])
    found = np.mean(medians, axis=0)
    return float(np.nanvar(found)) if np.isfinite(found).any() else np.nan, len(types)


def known_median(values: np.ndarray) -> float:
    """The median of the finite values; NaN where there are none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan


def ratio(mine: Median, theirs: Median, power: float) -> Triple:
    """Quotient of two medians with a 95 % interval that is symmetric in its logarithm: both move
    together, fold by fold, and the types of either are taken as drawn.

    With Student's t of as many degrees of freedom as the fewest units have: folds of a half, types.
    Where only one of them is told from 0 there is no quotient, but a bound: `low` if it is mine,
    `high` if it is theirs. NaN where neither is, or either is of fewer than two types.
    """
    from scipy.stats import t

    fewest = min(mine.types, theirs.types)
    if fewest < 2:
        return Triple(np.nan, np.nan, np.nan)
    quantile = float(t.ppf(0.975, min(7, fewest - 1)))
    half = [quantile * np.sqrt((m.deviations**2).sum() + m.between) for m in (mine, theirs)]
    told = [m.value > h for m, h in zip((mine, theirs), half, strict=True)]
    most = [max(m.value, 0.0) + h for m, h in zip((mine, theirs), half, strict=True)]
    if told == [True, False]:
        return Triple(np.nan, ((mine.value - half[0]) / most[1]) ** power, np.nan)
    if told == [False, True]:
        return Triple(np.nan, np.nan, (most[0] / (theirs.value - half[1])) ** power)
    if told == [False, False]:
        return Triple(np.nan, np.nan, np.nan)
    quotient = mine.value / theirs.value
    apart = mine.deviations / mine.value - theirs.deviations / theirs.value
    between = mine.between / mine.value**2 + theirs.between / theirs.value**2
    spread = float(np.exp(quantile * np.sqrt((apart**2).sum() + between)))
    return Triple(quotient**power, (quotient / spread) ** power, (quotient * spread) ** power)


class RankTest(NamedTuple):
    p: float
    superiority: float  # probability that a value of the first group is the larger one
    n: int
    n_other: int


def mann_whitney(mine: np.ndarray, other: np.ndarray) -> RankTest:
    """Two-sided rank test of two groups, NaN left out; NaN where either is empty."""
    from scipy.stats import mannwhitneyu

    a, b = (x[np.isfinite(x)] for x in (mine, other))
    if not len(a) or not len(b):
        return RankTest(np.nan, np.nan, len(a), len(b))
    found = mannwhitneyu(a, b, alternative="two-sided")
    return RankTest(float(found.pvalue), float(found.statistic / (len(a) * len(b))), len(a), len(b))
