"""Statistics of the project, on top of scipy: intervals that say how far a number can be trusted.

Tokens of one rollout depend on each other, so whatever is resampled or split here is rollouts,
never tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    value: float
    low: float
    high: float


def ratio_stderr(excess_R: np.ndarray, total: float) -> float:
    """Standard error of a ratio of sums over R independent units, such as a mean over the tokens of
    R rollouts. `excess_R`: what each unit has beyond its fair share, its sum − ratio × its size;
    `total`: the sum of the sizes. NaN for one unit, whose spread cannot be seen.

    The spread about an estimated mean is R / (R - 1) short.
    """
    R = len(excess_R)
    if R < 2:
        return float("nan")
    return float(np.sqrt(R / (R - 1) * (excess_R**2).sum()) / total)


def share_over_rollouts(part_R: np.ndarray, whole_R: np.ndarray) -> Interval:
    """What share the sum of the parts is of the sum of the wholes, with a 95 % interval that takes
    the R rollouts as drawn: Student's t about the linearised ratio. Its ends are NaN for one
    rollout, and within 0 and 1 where no part exceeds its whole.

    Raises ValueError if the wholes do not sum to more than 0.
    """
    from scipy.stats import t

    part, whole = np.asarray(part_R, np.float64), np.asarray(whole_R, np.float64)
    total = float(whole.sum())
    if not total > 0:
        raise ValueError(f"The wholes sum to {total:g}, and of that nothing is a share")
    share = float(part.sum()) / total
    half = ratio_stderr(part - share * whole, total)
    half *= float(t.ppf(0.975, max(len(part) - 1, 1)))
    least, most = (0.0, 1.0) if (part >= 0).all() and (part <= whole).all() else (-np.inf, np.inf)
    return Interval(share, *(float(np.clip(share + s * half, least, most)) for s in (-1, 1)))


def proportion(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """A share with its Wilson interval, which stays inside [0, 1] and is honest at small n.

    Raises ValueError if n is 0 or successes lie outside 0..n.
    """
    from scipy.stats import binomtest  # half a second to load: not at the start of a dashboard

    ci = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(successes / n, ci.low, ci.high)


class MeanOfTokens(NamedTuple):
    mean: float
    stderr: float | None  # None for a single rollout, whose spread cannot be seen


def mean_over_rollouts(values: np.ndarray, lengths: Sequence[int] | np.ndarray) -> MeanOfTokens:
    """The mean over N tokens of R rollouts, `lengths` (R,) each at least 1, with a standard error
    that takes rollouts, not tokens, as independent. NaN where one of the values is.
    """
    values, lengths = np.asarray(values, np.float64), np.asarray(lengths)
    mean = values.mean()
    excess = (
        np.add.reduceat(values, np.cumsum(lengths) - lengths) - mean * lengths
    )  # of each rollout, over its fair share
    stderr = ratio_stderr(excess, len(values)) if len(lengths) > 1 else None
    return MeanOfTokens(float(mean), stderr)


def quantiles(values: np.ndarray, shares: Sequence[float]) -> list[float]:
    """Quantiles by linear interpolation in float64, so that one is the same number whether it is
    asked for alone or with others.
    """
    return (
        np.quantile(values, np.asarray(shares, np.float64)).tolist()
        if len(values)
        else [0.0] * len(shares)
    )


def overlap(
    first: np.ndarray, second: np.ndarray, sizes: tuple[int, int], k_max: int
) -> np.ndarray:
    """Jaccard index of the K best of two rankings, for K = 1 .. k_max: (k_max,) float64.

    `first` and `second` (V,) hold each type's place from 0; only the first `sizes` places of each
    ranking count as ranked.
    """
    ranked = (first < sizes[0]) & (second < sizes[1])
    both = np.cumsum(np.bincount(np.maximum(first, second)[ranked], minlength=k_max)[:k_max])
    k = np.arange(1, k_max + 1)
    either = np.minimum(k, sizes[0]) + np.minimum(k, sizes[1]) - both
    return np.divide(both, either, out=np.zeros(k_max), where=either > 0)


def halves(rollouts: int, draws: int, seed: int) -> np.ndarray:
    """(draws, B) bool: random halves of the rollouts; the other half of each is its complement.

    Nested samples, as in the paper, share data with the whole and look more stable than they are. A
    half has half the data, so what two halves agree on is a lower bound for the stability of the
    whole.
    """
    rng = np.random.default_rng(seed)
    parts = np.zeros((draws, rollouts), bool)
    for part in parts:
        part[rng.permutation(rollouts)[: rollouts // 2]] = True
    return parts


NESTED = (0.1, 0.2, 0.4, 0.6, 0.8)  # 50 … 400 of 500 rollouts


def nested(rollouts: int, seed: int) -> np.ndarray:
    """(5, B) bool: samples of the rollouts, each within the next, of the sizes in the paper (arXiv
    2605.09253, section 2).
    """
    place = np.random.default_rng(seed).permutation(rollouts)
    return np.stack([place < max(1, round(share * rollouts)) for share in NESTED])


def knee(curve: np.ndarray) -> int:
    """Index of the point of a rising, flattening curve that lies farthest above the chord between
    its ends.

    Satopää et al. 2011 ("Kneedle") without smoothing. 0 for a curve of one point.
    """
    n = len(curve)
    if n < 2 or curve[-1] == curve[0]:
        return 0
    x, y = np.linspace(0, 1, n), (curve - curve[0]) / (curve[-1] - curve[0])
    return int(np.argmax(y - x))


def frechet(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest possible share of "both", given the share of each: max(0, p + q - 1) and
    min(p, q).
    """
    high = np.minimum(before, after)
    return np.minimum(
        np.maximum(0.0, before + after - 1), high
    ), high  # 0.1 + 0.9 + … may round to more than 1


def resampled(rollouts: int, draws: int, seed: int) -> np.ndarray:
    """How often each of B rollouts is drawn in each bootstrap sample: (draws, B) float32."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(rollouts, np.full(rollouts, 1 / rollouts), size=draws).astype(np.float32)


def percentile_interval(
    draws_DV: np.ndarray, units_V: np.ndarray, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap interval of V statistics from D draws each, widened for small samples: two (V,)
    arrays, NaN below two units.

    The percentile interval is too narrow when few units carry a statistic; Hesterberg (2015, "What
    teachers should know about the bootstrap", section 5.3) moves its quantiles out to Phi(-sqrt(n /
    (n - 1)) t_{n-1}). `units_V` is n, the number of rollouts in which the type occurs. Draws that
    hold none of them are NaN and left out.
    """
    from scipy.special import ndtr, stdtrit  # what norm and t of scipy.stats call, without its load

    n = np.maximum(units_V, 2)
    tail_V = ndtr(-np.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.5 + confidence / 2))
    ordered, known_V = (
        np.sort(draws_DV, axis=0),
        np.isfinite(draws_DV).sum(axis=0),
    )  # NaN sorts to the end
    column = np.arange(draws_DV.shape[1])

    def at(share_V: np.ndarray) -> np.ndarray:
        place = np.clip(
            np.round(share_V * (known_V - 1)).astype(int), 0, np.maximum(known_V - 1, 0)
        )
        return np.where((units_V > 1) & (known_V > 1), ordered[place, column], np.nan)

    return at(tail_V), at(1 - tail_V)
