"""From occurrences to sums per token type, and from these to a score: one small function a rule,
listed in SCORES.

A score ranks types; it never decides by itself what a rock is. R_ctx(v) = R(v) x CCR(v) is the mean
loss of v times its context-consistent occurrences: the frequency cancels, so a rare type with many
kept occurrences can lead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """Sums over rollouts r of a type's occurrences n_r and summed loss s_r in each, (V,) every one:
    how its mean varies.
    """

    rollouts: np.ndarray  # rollouts in which the type occurs
    ss: np.ndarray  # sum of s_r^2
    sn: np.ndarray  # sum of s_r n_r
    nn: np.ndarray  # sum of n_r^2


@dataclass(frozen=True)
class TypeStats:
    """What is known of V token types; every array is (V,), losses are in nats."""

    token_id: np.ndarray
    n: np.ndarray  # occurrences, Freq(v)
    kl_sum: np.ndarray  # summed loss after training (of the rule's column)
    spread: Spread | None = None  # for the scores in NEED_SPREAD
    kl_sum_before: np.ndarray | None = (
        None  # for `joint`: the summed loss before training, or in another run
    )
    consistent: np.ndarray | None = None  # occurrences that are persistent and context-consistent

    @property
    def mean(self) -> np.ndarray:
        return np.divide(self.kl_sum, self.n, out=np.zeros(len(self.n)), where=self.n > 0)

    def variance_of_mean(self) -> tuple[np.ndarray, np.ndarray]:
        """Variance of the mean, rollouts and not occurrences taken as the independent units, and
        how many there are.

        NaN below two rollouts. Raises ValueError without `spread`.
        """
        if self.spread is None:
            raise ValueError("The variance of a mean needs the sums over rollouts")
        m, (rollouts, ss, sn, nn) = self.mean, self.spread
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = (
                np.maximum(ss - 2 * m * sn + m**2 * nn, 0)
                / self.n.astype(np.float64) ** 2
                * rollouts
                / (rollouts - 1)
            )
        return np.where(rollouts > 1, variance, np.nan), rollouts


Score = Callable[[TypeStats], np.ndarray]


def rock_score(stats: TypeStats) -> np.ndarray:
    """R(v) = mean loss of v x frequency of v = summed loss over v's occurrences, in nats.

    The frequency cancels, so the sum is returned as it is: sum_v R(v) = sum_t loss_t holds to the
    last bit of the summation. Source: arXiv 2605.09253, section 2.
    """
    return np.asarray(stats.kl_sum, dtype=np.float64)


def rock_score_ctx(stats: TypeStats) -> np.ndarray:
    """R_ctx(v) = R(v) x CCR(v) = mean loss x context-consistent persistent occurrences, in nats.
    Source: section 2.
    """
    if stats.consistent is None:
        raise ValueError("R_ctx needs the context-consistent occurrences")
    return stats.mean * stats.consistent


def mean_kl(stats: TypeStats) -> np.ndarray:
    """Mean loss of a type's occurrences, in nats; 0 where it does not occur. Rare types lead."""
    return stats.mean


def rock_score_lcb(stats: TypeStats) -> np.ndarray:
    """Frequency x lower 95 % confidence bound of the mean (Student's t over rollouts), in nats; 0
    below two rollouts.
    """
    from scipy.stats import t  # half a second to load: not at the start of a dashboard

    variance, rollouts = stats.variance_of_mean()
    bound = stats.mean - t.ppf(0.95, np.maximum(rollouts - 1, 1)) * np.sqrt(variance)
    return stats.n * np.maximum(np.nan_to_num(bound), 0.0)


def mean_kl_eb(stats: TypeStats) -> np.ndarray:
    """Empirical-Bayes mean, in nats: each type's mean drawn towards that of all types, the more the
    less is known of it.

    Normal-normal model; the spread between types is DerSimonian and Laird's (1986) moment estimate.
    One variance an occurrence is pooled over all types: most are easy and hardly vary, and with
    variances of their own they would speak for all.
    """
    m, n = stats.mean, np.maximum(stats.n, 1)
    own, rollouts = stats.variance_of_mean()
    known = np.isfinite(own) & (rollouts > 2)
    pooled = float(np.average(own[known] * n[known], weights=n[known])) if known.sum() > 1 else 0.0
    if not pooled:
        return m
    variance = pooled / n
    weight = 1 / variance[known]
    q = float((weight * (m[known] - np.average(m[known], weights=weight)) ** 2).sum())
    between = max(0.0, (q - (known.sum() - 1)) / (weight.sum() - (weight**2).sum() / weight.sum()))
    prior = float(np.average(m[known], weights=1 / (variance[known] + between)))
    return np.where(stats.n > 0, prior + between / (between + variance) * (m - prior), 0.0)


def joint(stats: TypeStats) -> np.ndarray:
    """The smaller of a type's shares of the summed loss at two checkpoints (or in two runs): high
    only if it is high in both.
    """
    if stats.kl_sum_before is None:
        raise ValueError("The joint score needs the summed loss of a second checkpoint or run")
    shares = [
        s / total if (total := s.sum()) > 0 else np.zeros(len(s))
        for s in (stats.kl_sum, stats.kl_sum_before)
    ]
    return np.minimum(*shares)


def authors(stats: TypeStats, least: int = 2, dropped: int = 5) -> np.ndarray:
    """The rule of the authors' released script: types seen twice or more by frequency x mean,
    without the 5 most frequent.

    Ties, also those of frequency, go to the lower token id. The 100 best are its rocks and the next
    100 its controls.
    """
    order = np.lexsort((stats.token_id, -stats.n))
    allowed = stats.n >= least
    allowed[order[:dropped]] = False
    return np.where(allowed, stats.n * stats.mean, 0.0)


NEED_SPREAD = {"rock_score_lcb", "mean_kl_eb"}
NEED_BEFORE = {"rock_score_ctx", "joint"}  # what was lost before training enters
MEANS = {"mean_kl", "mean_kl_eb"}  # of a type's occurrences, where the others are sums or shares
SCORES: dict[str, Score] = {
    f.__name__: f
    for f in (rock_score, rock_score_ctx, mean_kl, rock_score_lcb, mean_kl_eb, joint, authors)
}


def whole_of(score: str, stats: TypeStats) -> float:
    """What a type's score is a share of: the summed loss after training, in nats. `joint` is a
    share already, so 1; a mean is no part of that sum, so for means the sum of all types' means.
    """
    if score == "joint":
        return 1.0
    return float(SCORES[score](stats).sum() if score in MEANS else stats.kl_sum.sum())


def ranking_score(score: str, mode: str) -> str:
    """The score that ranks where a rule asks for `score`: in bounds mode no occurrence is known to
    be persistent, so R takes the place of R_ctx.
    """
    return "rock_score" if score == "rock_score_ctx" and mode == "bounds" else score


def rank_order(score_V: np.ndarray, token_id_V: np.ndarray) -> np.ndarray:
    """Indices by falling score; ties by token id."""
    return np.lexsort((token_id_V, -score_V))
