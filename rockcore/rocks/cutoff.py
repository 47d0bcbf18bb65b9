"""Where the list of types ends: what K types cover, how stable they are, and which K is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rockcore import stats
from rockcore.rocks.rule import RockRule
from rockcore.rocks.scores import rank_order
from rockcore.stats import Interval

K_MAX = 500  # as far as K is searched for; a rule that names its set itself may go beyond
_ROUNDING = 1e-9  # relative: types that are all alike each hold an even share, and none more


@dataclass(frozen=True)
class Cutoff:
    """The curves over K = 1 .. k_max, and the K that was taken: at most k_max."""

    coverage: np.ndarray  # (k_max,) share of the summed loss on the K best types
    # the next five (k_max,) too; NaN where a single rollout has no halves
    jaccard: np.ndarray  # mean over draws, disjoint halves
    low: np.ndarray  # 2.5 % and 97.5 % quantile of the draws: no confidence interval
    high: np.ndarray
    nested: np.ndarray  # the paper's nested samples, mean over their sizes
    # coverage of the K types that one half chooses, of the other half's loss: mean, low, high
    crossed: tuple[np.ndarray, np.ndarray, np.ndarray]
    knee: int  # K at the knee of coverage; 0 where no type has a score
    enough: int  # types that hold enough of the loss: see `holds_enough`
    k: int
    chosen_by: str  # given | tau_rock | share | stability | none: see `cut`

    @property
    def covered(self) -> float:
        """Share of the summed loss on the types of the set, on the texts that chose them."""
        return float(self.coverage[self.k - 1]) if self.k else 0.0

    @property
    def covered_elsewhere(self) -> Interval:
        """The same with as many types chosen on one half and measured on the other: types chosen
        for their loss hold less of it when they are measured again. NaN as in `stability`.
        """
        return self._of_set(self.crossed)

    @property
    def stability(self) -> Interval:
        """How far two halves agree on this very set; NaN where it is empty, or nothing has
        halves.
        """
        return self._of_set((self.jaccard, self.low, self.high))

    def _of_set(self, curves: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Interval:
        if not self.k:
            return Interval(math.nan, math.nan, math.nan)
        return Interval(*(float(curve[self.k - 1]) for curve in curves))


class Side(NamedTuple):
    """How a part of the rollouts ranks the types."""

    order: np.ndarray  # (V,) types by falling score
    place: np.ndarray  # (V,) the place of each type in it, from 0
    ranked: int  # so many places are of types that have a score
    loss: np.ndarray  # (V,) summed loss of each type in this part

    @classmethod
    def of(cls, score_V: np.ndarray, token_id_V: np.ndarray, loss_V: np.ndarray) -> Side:
        order = rank_order(score_V, token_id_V)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return cls(order, place, int((score_V > 0).sum()), loss_V)

    def covers_of(self, other: Side, k_max: int) -> np.ndarray:
        """(k_max,) the share of another part's loss on the K best types of this one; 0 where that
        loss sums to nothing.
        """
        best, total = self.order[: min(self.ranked, k_max)], other.loss.sum()
        if total <= 0 or not len(best):
            return np.zeros(k_max)
        return np.pad(np.cumsum(other.loss[best]) / total, (0, k_max - len(best)), mode="edge")


class Agreement(NamedTuple):
    """For K = 1 .. k_max: how far rankings agree, and what they cover of each other."""

    halves: np.ndarray  # (draws, k_max) Jaccard index of disjoint halves
    nested: np.ndarray  # (5, k_max) of nested samples and the whole
    covered: np.ndarray  # (draws, k_max) coverage, chosen on one half, measured on the other

    @classmethod
    def unknown(cls, k_max: int, value: float) -> Agreement:
        return cls(*[np.full((1, k_max), value)] * 3)


def parts(rollouts: int, rule: RockRule) -> np.ndarray:
    """(draws + 5, B) bool: the parts of the rollouts whose rankings are compared: halves, then
    nested samples.
    """
    return np.concatenate(
        [stats.halves(rollouts, rule.draws, rule.seed), stats.nested(rollouts, rule.seed)]
    )


def agreement(sides: Iterable[tuple[Side, Side]], draws: int, k_max: int) -> Agreement:
    """Of each pair of rankings, in the order of `parts`."""
    rows, covered = [], []
    for a, b in sides:
        rows.append(stats.overlap(a.place, b.place, (a.ranked, b.ranked), k_max))
        if len(covered) < draws:
            covered.append((a.covers_of(b, k_max) + b.covers_of(a, k_max)) / 2)
    return Agreement(np.stack(rows[:draws]), np.stack(rows[draws:]), np.stack(covered))


def holds_enough(rule: RockRule, scores_V: np.ndarray, whole: float) -> np.ndarray:
    """(V,) bool: the types whose score is at least `least_share` of the `whole` (scores.whole_of:
    the summed loss) and more than `even_share` even shares of it, one for each of the V types that
    occur.

    None where the whole is not above 0: of signed losses that cancel there are no shares. This is
    the paper's tau_R in relative form (arXiv 2605.09253, section 2, names no value).
    """
    if whole <= 0:
        return np.zeros(len(scores_V), bool)
    least, even = rule.least_share * whole, rule.even_share * whole / len(scores_V)
    reached = (scores_V >= least * (1 - _ROUNDING)) & (scores_V > even * (1 + _ROUNDING))
    return (scores_V > 0) & reached


def cut(
    rule: RockRule,
    scores_V: np.ndarray,
    loss_V: np.ndarray,
    enough: int,
    agreement_up_to: Callable[[int], Agreement] | None,
) -> Cutoff:
    """K: as given (`given`, `tau_rock`), or the `enough` types that hold enough of the loss
    (`share`), but at most the largest number of types on which disjoint halves of the rollouts
    agree (`stability`); 0 where they agree on none (`none`), whether or not any type holds enough.

    With more text every ranking becomes stable, so stability bounds K and does not choose it. Where
    the largest stable number is beyond `enough`, halves may agree less on the set than on that many
    types, because a share cuts where it likes, also between types that are alike: see
    `Cutoff.stability`.
    `loss_V` is the summed loss of the types in the order of rank. The curves reach at least as far
    as the set, whatever its size. `agreement_up_to` gives the agreement for K = 1 .. k_max; None
    where a single rollout has no halves.
    """
    ranked, wanted = int((scores_V > 0).sum()), asked(rule, scores_V)
    k_max = max(1, min(ranked, K_MAX), rule.top_k or 0, wanted or 0)
    total = loss_V.sum()
    covered = np.cumsum(loss_V[:k_max]) / total if ranked and total > 0 else np.zeros(1)
    coverage = np.pad(covered, (0, k_max - len(covered)), mode="edge")
    agree = Agreement.unknown(k_max, 0.0 if agreement_up_to else np.nan)
    if ranked and agreement_up_to is not None:
        agree = agreement_up_to(k_max)
    jaccard, low, high = over_draws(agree.halves)
    knee = stats.knee(coverage[: min(ranked, k_max)]) + 1 if ranked else 0
    if wanted is None:
        k, how = _choose(rule, jaccard, enough, ranked)
    else:
        k, how = wanted, "given" if rule.tau_rock is None else "tau_rock"
    return Cutoff(
        coverage=coverage,
        jaccard=jaccard,
        low=low,
        high=high,
        nested=agree.nested.mean(axis=0),
        crossed=over_draws(agree.covered),
        knee=knee,
        enough=enough,
        k=k,
        chosen_by=how,
    )


def over_draws(draws_DK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K,) the mean over random splits, and the middle 95 % of them: no confidence interval, for
    the splits share their rollouts.
    """
    low, high = np.quantile(draws_DK, [0.025, 0.975], axis=0)
    return draws_DK.mean(axis=0), low, high


def asked(rule: RockRule, scores_V: np.ndarray) -> int | None:
    """How many types the rule itself takes; None where shares and stability decide."""
    scored = scores_V[scores_V > 0]
    if rule.tau_rock is not None:
        return int((scored >= rule.tau_rock).sum())
    return None if rule.top_k is None else min(rule.top_k, len(scored))


def telling(rule: RockRule, k_max: int, enough: int, ranked: int) -> np.ndarray:
    """(k_max,) bool: the numbers of types at which agreement says something. Beyond `enough` these
    are where two random orders of the `ranked` types would agree less than the rule asks for: any
    two halves of a closed vocabulary agree on all types there are.
    """
    sizes = np.arange(1, k_max + 1)
    by_chance = sizes / np.maximum(2 * ranked - sizes, 1)  # K^2 / n of K are expected in both
    return (sizes <= enough) | (by_chance < rule.min_jaccard)


def _choose(rule: RockRule, jaccard: np.ndarray, enough: int, ranked: int) -> tuple[int, str]:
    stable = telling(rule, len(jaccard), enough, ranked) & (jaccard >= rule.min_jaccard)
    largest = int(stable.nonzero()[0].max(initial=-1)) + 1
    k = min(enough, largest)
    if not enough and (largest or not ranked or np.isnan(jaccard[0])):
        return 0, "share"
    return k, "none" if not largest else "share" if k == enough else "stability"
