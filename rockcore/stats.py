"""Statistics of the project, on top of scipy: intervals that say how far a number can be trusted."""

from __future__ import annotations

from typing import NamedTuple


class Interval(NamedTuple):
    value: float
    low: float
    high: float


def proportion(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """A share with its Wilson interval, which stays inside [0, 1] and is honest at small n.

    Raises ValueError if n is 0 or successes lie outside 0..n.
    """
    from scipy.stats import binomtest  # half a second to load: not at the start of a dashboard

    ci = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(successes / n, ci.low, ci.high)
