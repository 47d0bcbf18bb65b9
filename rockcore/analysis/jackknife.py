"""Numbers over folds of rollouts, and their intervals from leaving out one fold at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """Numbers with approximate 95 % intervals, (T,) each; NaN for types in fewer than three folds.

    Of squared lengths the intervals held the planted one in 95 to 98 of 100 cases where gradients
    are about as long as each other, and in 60 to 80 where a few hold most of the length: what is
    not among the occurrences cannot be seen in their spread. A bootstrap over folds did no better.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def told(self) -> np.ndarray:
        """(T,) bool: the number is told from 0, which it cannot be below."""
        return self.low > 0

    @property
    def most(self) -> np.ndarray:
        """The upper end, for a number that is not negative though its estimate may be."""
        return np.maximum(self.value, 0.0) + (self.high - self.value)


def jackknife(
    value: Callable[[np.ndarray], np.ndarray],
    present_TF: np.ndarray,
    folds: np.ndarray | None = None,
) -> Estimate:
    """See Geometry.jackknife. `present_TF`: which folds a number depends on; `folds`: weights to
    start from, default all.
    """
    from scipy.stats import t

    start = np.ones(present_TF.shape[1]) if folds is None else folds.astype(float)
    used = np.flatnonzero(start)
    counted = present_TF[:, used].T
    without = np.stack([value(np.where(np.arange(len(start)) == f, 0.0, start)) for f in used])
    G = counted.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(counted, without, 0.0).sum(0) / G
        spread = np.where(counted, (without - mean) ** 2, 0.0).sum(0) * (G - 1) / G
        half = np.where(G > 2, t.ppf(0.975, np.maximum(G - 1, 1)) * np.sqrt(spread), np.nan)
    whole = value(start)
    return Estimate(whole, whole - half, whole + half)


def weigh(matrix_TFF: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(T,): the sum over pairs of folds, weighted by w (F,) on either side."""
    return matrix_TFF @ w @ w
