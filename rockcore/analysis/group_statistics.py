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

    @classmethod
    def of(cls, whole: Sequence[np.ndarray], without: Sequence[Sequence[np.ndarray]]) -> Median:
        """From the values (N,) of either half, and for either half the same with each of its folds
        left out.
        """
        parts = [np.array([known_median(values) for values in half]) for half in without]
        deviations = [(p - p.mean()) / 2 * np.sqrt((len(p) - 1) / len(p)) for p in parts]
        value = float(np.mean([known_median(values) for values in whole]))
        return cls(value, np.concatenate(deviations))

    def interval(self) -> Triple:
        half = float(_T * np.sqrt((self.deviations**2).sum()))
        return Triple(self.value, self.value - half, self.value + half)


def known_median(values: np.ndarray) -> float:
    """The median of the finite values; NaN where there are none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan


def ratio(mine: Median, theirs: Median, power: float) -> Triple:
    """Quotient of two medians with an interval that is symmetric in its logarithm: both move
    together, fold by fold. NaN unless both are positive.
    """
    if not (mine.value > 0 and theirs.value > 0):
        return Triple(np.nan, np.nan, np.nan)
    quotient = mine.value / theirs.value
    apart = mine.deviations / mine.value - theirs.deviations / theirs.value
    spread = float(np.exp(_T * np.sqrt((apart**2).sum())))
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
