"""What can be said of differences of accuracy that share their problems: intervals, p-values, their
corrections, and the power to see a difference.

Input is always (I, J): of each of I problems and J candidates the mean difference over rollouts,
correct under the ban − correct without it. Problems are drawn independently and are what is
resampled or flipped, one draw for all candidates, so what candidates share stays shared.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np

from rockcore import stats

_TINY = 1e-9


class Intervals(NamedTuple):
    low: np.ndarray  # (J,)
    high: np.ndarray
    stderr: np.ndarray


def intervals(
    difference_IJ: np.ndarray, flipped_J: np.ndarray, rollouts: int, draws: int, seed: int
) -> Intervals:
    """95 % intervals of the mean differences, by a bootstrap over problems, one for all candidates.

    Widened for few problems with a difference (stats.percentile_interval). Where fewer than two
    have one there is nothing to resample: then |Δ| is at most the share of rollouts whose grade
    changes, `flipped_J` of I · rollouts, whose upper Wilson bound is taken. Nor is there where all
    problems differ by the same, as when no answer is right without the box: then the share of
    problems that would not is bounded so, and those may differ by anything in -1 to 1.
    """
    n = len(difference_IJ)
    weights_DI = stats.resampled(n, draws, seed)
    drawn_DJ = weights_DI @ difference_IJ.astype(np.float32) / n
    found = stats.percentile_interval(drawn_DJ, (difference_IJ != 0).sum(0))
    low, high = (side.astype(np.float64) for side in found)
    for j in np.flatnonzero(np.isnan(low)):
        most = stats.proportion(int(flipped_J[j]), n * rollouts).high
        low[j], high[j] = -most, most
    other = stats.proportion(0, n).high
    for j in np.flatnonzero((np.ptp(difference_IJ, 0) == 0) & ~np.isnan(found[0])):
        same = difference_IJ[0, j]
        low[j] = min(same, (1 - other) * same - other)
        high[j] = max(same, (1 - other) * same + other)
    spread = difference_IJ.std(0, ddof=1) if n > 1 else np.full(len(low), np.nan)
    return Intervals(low, high, spread / np.sqrt(n))


class SignFlips(NamedTuple):
    """p-values of "the mean difference is 0" if the sign of each problem's difference is a coin."""

    p: np.ndarray  # (J,) of each candidate alone
    p_max: np.ndarray  # (J,) adjusted: against the largest of all candidates


def sign_flips(difference_IJ: np.ndarray, family_J: np.ndarray, draws: int, seed: int) -> SignFlips:
    """Flip the signs of problems, the same for all candidates, and see how often a mean as far from
    0 comes out: T = Σ d / √Σ d², whose size a flip leaves comparable between candidates.

    Exact where baseline and knockout could change places, as they can if the ban does nothing to
    the answers; a t-test is not, with the few problems that a rare token changes. `p_max` is
    Westfall and Young's (1993) single-step max-T over the candidates of `family_J` (bool): the
    share of flips in which any of them gets as far. Of two candidates with the same ids one is to
    be in it.
    """
    size_J = np.sqrt((difference_IJ**2).sum(0))
    scaled_IJ = (difference_IJ / np.where(size_J > 0, size_J, 1.0)).astype(np.float32)
    seen_J = np.abs(scaled_IJ.sum(0)) - 1e-5  # sums of float32: a tie is a tie
    flips_DI = np.random.default_rng(seed).integers(0, 2, (draws, len(difference_IJ)), np.int8)
    drawn_DJ = np.abs((2 * flips_DI - 1).astype(np.float32) @ scaled_IJ)
    p = (1 + (drawn_DJ >= seen_J).sum(0)) / (draws + 1)
    most_D = drawn_DJ[:, family_J].max(1, initial=0.0)
    p_max = (1 + (most_D[:, None] >= seen_J).sum(0)) / (draws + 1)
    return SignFlips(p, p_max)


def benjamini_hochberg(p_J: np.ndarray) -> np.ndarray:
    """Adjusted p-values (J,): the smallest false discovery rate at which each is rejected."""
    from scipy.stats import false_discovery_control

    return false_discovery_control(p_J) if len(p_J) else p_J


class SignTest(NamedTuple):
    negative: int
    positive: int
    p: float


def sign_test(difference_J: np.ndarray) -> SignTest:
    """Exact two-sided binomial test of as many below 0 as above; zeros are left out."""
    from scipy.stats import binomtest

    negative, positive = int((difference_J < -_TINY).sum()), int((difference_J > _TINY).sum())
    n = negative + positive
    return SignTest(negative, positive, float(binomtest(negative, n).pvalue) if n else 1.0)


class Power(NamedTuple):
    """What a screen can see, from the spread of its own differences."""

    problems: int
    rollouts: int
    tests: int
    stderr: float  # of Δ: the median candidate
    detectable: float  # |Δ| found with probability 0.8 by one test at alpha
    detectable_of_all: float  # the same, if alpha is shared by all tests (Bonferroni)
    rollouts_needed: int | None  # for epsilon with as many problems; None where none are enough
    problems_needed: int  # for epsilon with as many rollouts

    def sentence(self, epsilon: float) -> str:
        """As a person reads it before a screen, or beside one."""
        sees = (
            f"With {self.problems} problems × {self.rollouts} rollouts you can detect "
            f"{100 * self.detectable:.1f} points at 80 % power with one test, "
            f"{100 * self.detectable_of_all:.1f} if all {self.tests} tests share the level"
        )
        if self.detectable <= epsilon:
            return f"{sees}."
        needs = (
            f"{self.problems} × {self.rollouts_needed}"
            if self.rollouts_needed is not None
            else f"{self.problems_needed} × {self.rollouts}"
        )
        points = f"{100 * epsilon:g} point{'' if epsilon == 0.01 else 's'}"
        return f"{sees}; for {points} you need {needs}."


def power(
    between: float, within: float, problems: int, rollouts: int, tests: int, settings: Levels
) -> Power:
    """`between`: variance of the expected difference over problems; `within`: mean variance of one
    rollout's difference about it. Var Δ = (between + within / rollouts) / problems. Where both are
    0, as no grade changed, `within` is at most the share of rollouts whose grade would, of which
    the upper Wilson bound is taken: such a screen does not see everything.
    """
    from scipy.stats import norm

    def reach(alpha: float) -> float:
        return float(norm.isf(alpha / 2) + norm.ppf(0.8))

    if between + within == 0:
        within = stats.proportion(0, problems * rollouts).high
    variance = between + within / rollouts
    stderr = float(np.sqrt(variance / problems))
    wanted = (settings.epsilon / reach(settings.alpha)) ** 2  # variance of Δ that shows epsilon
    room = wanted * problems - between
    return Power(
        problems,
        rollouts,
        tests,
        stderr,
        reach(settings.alpha) * stderr,
        reach(settings.alpha / max(tests, 1)) * stderr,
        ceil(within / room) if room > within * 1e-3 else None,
        ceil(variance / wanted),
    )


class Levels(NamedTuple):
    """The knobs of a verdict: ε of §4, the level, and which correction decides."""

    epsilon: float = 0.01
    alpha: float = 0.05
    correction: str = "max-T"  # or BH


def parts_of_variance(difference_IB: np.ndarray) -> tuple[float, float]:
    """Of one candidate's differences by problem and rollout: variance of the expected difference
    over problems (0 at least), and mean variance of a rollout's about it. One-way analysis of
    variance.
    """
    b = difference_IB.shape[1]
    within = float(difference_IB.var(1, ddof=1).mean()) if b > 1 else 0.0
    between = float(difference_IB.mean(1).var(ddof=1)) - within / b
    return max(between, 0.0), within


def expected_spread(correct_IB: np.ndarray, changed_IB: np.ndarray) -> tuple[float, float]:
    """The same before the ban was tried, from the baseline: the variance that the differences have
    at most if a changed rollout is as often right as any answer to its problem.

    Two such answers differ by a variable of variance 2 p (1 − p); a common beginning makes it less.
    `changed_IB`: which rollouts hold a banned token.
    """
    b = correct_IB.shape[1]
    p_I = correct_IB.mean(1)
    of_one_I = 2 * p_I * (1 - p_I) * b / (b - 1)
    return 0.0, float((changed_IB.mean(1) * of_one_I).mean())
