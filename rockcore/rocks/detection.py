"""One detection, stage by stage: thresholds, persistent occurrences, consistent contexts, scores,
cutoff, set.

Each stage is worked out when it is first asked for, so a page can show the early ones while the
later ones are still at work; `pulse` is called all along and stops the work by raising.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from itertools import islice, repeat
from typing import Any, NamedTuple

import numpy as np

from rockcore import memory, stats
from rockcore.rocks import cutoff, persistence, recurrence, thresholds
from rockcore.rocks.context import Pulse
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.cutoff import Cutoff, Side
from rockcore.rocks.gather import Material, needs_two
from rockcore.rocks.kept_in_parts import kept_in_parts
from rockcore.rocks.persistence import Candidates
from rockcore.rocks.recurrence import Consistency
from rockcore.rocks.rule import RockRule
from rockcore.rocks.rule_fields import BadRule
from rockcore.rocks.scores import (
    NEED_BEFORE,
    NEED_SPREAD,
    SCORES,
    Spread,
    TypeStats,
    ranking_score,
    whole_of,
)
from rockcore.rocks.thresholds import Quantiles


class Highs(NamedTuple):
    """How many occurrences are at or above the threshold."""

    before: int
    after: int
    both: int


class Detection:
    """A rule at work on a run's occurrences. Arrays over types follow `corpus.types`, arrays over
    occurrences `corpus`.

    Raises BadRule for a score that does not exist, NothingToCompare for one that one checkpoint
    cannot give.
    """

    def __init__(
        self,
        material: Material,
        rule: RockRule,
        dtype: str = "float32",
        other: np.ndarray | None = None,
        pulse: Pulse = lambda: None,
        before: Quantiles | None = None,
    ):
        """`other`: the joint score's other side, a summed loss for each of `corpus.types`, in place
        of the first checkpoint. `before`: the quantiles of the loss before, where some are
        known already.
        """
        self.material, self.rule, self.pulse, self._other = material, rule, pulse, other
        self._before = before or Quantiles(material.before(), dtype)
        if rule.score not in SCORES:
            raise BadRule(
                f"score = {rule.score!r}",
                f"There is only {', '.join(SCORES)}",
                "Choose one of them",
            )
        if (
            material.single
            and rule.score in NEED_BEFORE
            and (rule.score != "joint" or other is None)
        ):
            raise needs_two(rule.score, material)

    def heeding(self, pulse: Pulse) -> Detection:
        """The same, with all that is known of it, stopped by another pulse."""
        other = copy(self)
        other.pulse = pulse
        return other

    @property
    def corpus(self) -> Corpus:
        """The occurrences that are judged: those with a loss at the last checkpoint."""
        return self.material.last

    @cached_property
    def tau(self) -> tuple[float, float]:
        """tau_pre and tau_post in nats: see thresholds.taus."""
        return thresholds.taus(self.rule, self._before)

    @property
    def score(self) -> str:
        """The score that ranks: the rule's, but without persistent occurrences R_ctx is unknown and
        R takes its place.
        """
        return ranking_score(self.rule.score, self.material.mode)

    @cached_property
    def high(self) -> np.ndarray | None:
        """(N,) bool: O_PH, at or above both thresholds; None where only bounds are known, or one
        checkpoint.
        """
        pre, post = self.tau
        if self.material.paired:
            return (self.corpus.losses[0] >= pre) & (self.corpus.losses[-1] >= post)
        if self.material.mode in ("bounds", "single"):
            return None
        found, self.unmatched = persistence.matched(
            self.material.corpora[0], self.corpus, pre, post, self.rule, self.pulse
        )
        return found

    @cached_property
    def highs(self) -> Highs:
        """How many occurrences are high. Raises ValueError where no occurrence is known to be."""
        if self.high is None:
            raise ValueError(f"In mode {self.material.mode} no occurrence is known to be high")
        (pre, post), last = self.tau, self.corpus.losses[-1]
        before, after = self.material.before() >= pre, last >= post
        return Highs(int(before.sum()), int(after.sum()), int(self.high.sum()))

    @property
    def negative(self) -> int:
        """How many losses after training are below 0."""
        return int((self.corpus.losses[-1] < 0).sum())

    @property
    def most_similar(self) -> int:
        """Of all persistent occurrences the greatest number of others that are similar to one."""
        return 0 if self.consistency is None else int(self.consistency.similar.max(initial=0))

    unmatched = 0  # high occurrences without a similar context before, in matched mode

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(V,) least and greatest number of persistent occurrences that the shares at or above each
        threshold allow.

        Not whole numbers: the share before was seen on other texts. NaN for one checkpoint.
        """
        if self.material.single:
            unknown = np.full(len(self.corpus.types), np.nan)
            return unknown, unknown
        first, last, (pre, post) = self.material.corpora[0], self.corpus, self.tau
        n = np.bincount(last.type, minlength=len(last.types))
        q = np.bincount(last.type[last.losses[-1] >= post], minlength=len(n)) / np.maximum(n, 1)
        before_n, before_high = (
            _of_types(np.bincount(first.token_id[at]), last.types)
            for at in (slice(None), first.losses[0] >= pre)
        )
        p = np.divide(before_high, before_n, out=np.zeros(len(n)), where=before_n > 0)
        low, high = stats.frechet(p, q)
        unseen = before_n == 0  # of a type that did not occur before, nothing is known
        return np.where(unseen, 0.0, low) * n, np.where(unseen, q, high) * n

    @cached_property
    def candidates(self) -> Candidates | None:
        """The persistent occurrences and their contexts."""
        return (
            None
            if self.high is None
            else persistence.candidates(self.corpus, np.flatnonzero(self.high), self.rule)
        )

    @cached_property
    def consistency(self) -> Consistency | None:
        return (
            None
            if self.candidates is None
            else recurrence.consistency(self.candidates, self.rule, self.pulse)
        )

    @cached_property
    def persistent(self) -> np.ndarray:
        """(V,) persistent occurrences; in bounds mode the number there are at least; NaN for one
        checkpoint.
        """
        return (
            self.bounds[0]
            if self.candidates is None
            else np.bincount(self.candidates.type, minlength=len(self.corpus.types))
        )

    @cached_property
    def consistent(self) -> np.ndarray | None:
        """(V,) persistent occurrences that recur in similar contexts."""
        if self.candidates is None or self.consistency is None:
            return None
        return np.bincount(
            self.candidates.type[self.consistency.kept], minlength=len(self.corpus.types)
        )

    def type_stats(self) -> TypeStats:
        """The statistics of every type over all rollouts."""
        every = np.ones((1, self.corpus.rollouts), bool)
        return next(self._stats_of(every, [self.consistent]))

    def _stats_of(
        self, rollouts_PB: np.ndarray, consistent: Sequence[np.ndarray | None]
    ) -> Iterator[TypeStats]:
        """The statistics of every type over each of P masks of the rollouts, for which `consistent`
        has (V,) each.
        """
        cells = self.corpus.summed(self.pulse)

        def totals(values_C: np.ndarray) -> np.ndarray:
            return cells.totals(values_C, rollouts_PB, self.pulse)

        n, loss = totals(cells.n), totals(cells.sums[-1])
        spread = before = None
        if self.score in NEED_SPREAD:
            wide, last = cells.n.astype(np.float64), cells.sums[-1]
            of_cells = (np.ones(len(wide)), last**2, last * wide, wide**2)
            spread = [totals(values) for values in of_cells]
        if self.score == "joint" and self._other is None and self.material.paired:
            before = totals(cells.sums[0])
        for p, kept in enumerate(consistent):
            yield TypeStats(
                token_id=self.corpus.types,
                n=n[:, p].astype(np.int64),
                kl_sum=np.ascontiguousarray(loss[:, p]),
                spread=None if spread is None else Spread(*(s[:, p].copy() for s in spread)),
                kl_sum_before=self._other_side()
                if before is None
                else np.ascontiguousarray(before[:, p]),
                consistent=kept,
            )

    def _other_side(self) -> np.ndarray | None:
        """(V,) the joint score's other side where it is the same for all parts of the rollouts."""
        if self.score != "joint" or self._other is not None:
            return self._other if self.score == "joint" else None
        first = self.material.corpora[0]
        return _of_types(np.bincount(first.token_id, first.losses[0]), self.corpus.types)

    def in_parts(self, parts_PB: np.ndarray) -> Iterator[tuple[TypeStats, TypeStats]]:
        """The statistics of each part of the rollouts and of the rest; contexts are compared within
        each alone.
        """
        found, v = self.candidates, len(self.corpus.types)
        needed = found is not None and self.score == "rock_score_ctx"
        kept = (
            kept_in_parts(found, parts_PB, self.rule, self.pulse, self.consistency)
            if needed and found is not None
            else repeat((None, None))
        )
        at_once = max(1, memory.block() // (2 * 2 * 8 * max(v, self.corpus.rollouts)))
        for start in range(0, len(parts_PB), at_once):
            parts = parts_PB[start : start + at_once]
            counts: list[np.ndarray | None] = []
            for sides in islice(kept, len(parts)):
                self.pulse()
                counts += [
                    None if found is None or k is None else np.bincount(found.type[k], minlength=v)
                    for k in sides
                ]
            both = np.stack([parts, ~parts], axis=1).reshape(-1, parts.shape[1])
            stats_of = self._stats_of(both, counts)
            for part in stats_of:
                self.pulse()
                yield part, next(stats_of)

    def score_of(self, known: TypeStats) -> np.ndarray:
        """(V,) score, 0 for types that the rule keeps out of the set."""
        score = np.array(SCORES[self.score](known), dtype=np.float64)
        most = np.lexsort((known.token_id, -known.n))[: self.rule.drop_most_frequent]
        score[most] = 0
        score[known.n < self.rule.min_frequency] = 0
        score[np.isin(known.token_id, self.rule.excluded_types)] = 0
        return score

    @cached_property
    def stats(self) -> TypeStats:
        return self.type_stats()

    @cached_property
    def scores(self) -> np.ndarray:
        return self.score_of(self.stats)

    @cached_property
    def order(self) -> np.ndarray:
        """(V,) types by falling score, ties by token id; those without a score by falling Rock
        Score.
        """
        return np.lexsort(
            (self.corpus.types, np.where(self.scores > 0, 0.0, -self.stats.kl_sum), -self.scores)
        )

    def _side(self, known: TypeStats) -> Side:
        return Side.of(self.score_of(known), self.corpus.types, known.kl_sum)

    def _agreement(self, k_max: int) -> cutoff.Agreement:
        """Of disjoint halves, and of nested samples with the whole."""
        parts, whole = cutoff.parts(self.corpus.rollouts, self.rule), self._side(self.stats)
        sides = (
            (self._side(part), self._side(rest) if i < self.rule.draws else whole)
            for i, (part, rest) in enumerate(self.in_parts(parts))
        )
        return cutoff.agreement(sides, self.rule.draws, k_max)

    @cached_property
    def cutoff(self) -> Cutoff:
        """K, and the curves over K: see cutoff.cut."""
        halves = self._agreement if self.corpus.rollouts > 1 else None
        whole = whole_of(self.score, self.stats)
        enough = int(cutoff.holds_enough(self.rule, self.scores, whole).sum())
        return cutoff.cut(self.rule, self.scores, self.stats.kl_sum[self.order], enough, halves)

    @cached_property
    def in_set(self) -> np.ndarray:
        """(V,) bool: the Rock Tokens."""
        chosen = np.zeros(len(self.corpus.types), bool)
        chosen[self.order[: self.cutoff.k]] = True
        return chosen

    @property
    def next_in_rank(self) -> np.ndarray:
        """Token ids of as many types again, right below the set; only types that have a score."""
        k, ranked = self.cutoff.k, int((self.scores > 0).sum())
        return self.corpus.types[self.order[k : min(2 * k, ranked)]]

    @cached_property
    def rock_occurrences(self) -> np.ndarray | None:
        """(N,) bool: the kept occurrences of the types in the set; None where only bounds are
        known.
        """
        if self.candidates is None or self.consistency is None:
            return None
        found = np.zeros(len(self.corpus), bool)
        found[self.candidates.at[self.consistency.kept]] = True
        return found & self.in_set[self.corpus.type]

    @cached_property
    def precision(self) -> np.ndarray:
        """kappa (V,) of the types in the set, NaN for the others."""
        if self.candidates is None or self.consistency is None:
            return np.full(len(self.corpus.types), np.nan)
        kept = self.consistency.kept & self.in_set[self.candidates.type]
        return persistence.precision(
            self.corpus, self.candidates, kept, np.flatnonzero(self.in_set), self.rule, self.pulse
        )

    def density(self) -> dict[str, np.ndarray]:
        """Per rollout (B,): tokens, those of a type in the set, and kept occurrences (absent where
        only bounds are known).
        """
        corpus = self.corpus

        def count(mask_N: np.ndarray) -> np.ndarray:
            return np.bincount(corpus.rollout[mask_N], minlength=corpus.rollouts)

        counts: dict[str, Any] = {"tokens": corpus.lengths, "type": count(self.in_set[corpus.type])}
        return (
            counts
            if self.rock_occurrences is None
            else {**counts, "occurrence": count(self.rock_occurrences)}
        )


def _of_types(by_id: np.ndarray, types: np.ndarray) -> np.ndarray:
    """A count or sum by token id, for the given ids; 0 for ids beyond its end."""
    padded = np.append(
        by_id, np.zeros(max(0, int(types.max(initial=-1)) + 1 - len(by_id)), by_id.dtype)
    )
    return padded[types]
