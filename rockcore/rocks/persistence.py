"""Which occurrences stay hard, and which of these recur in similar contexts: stages two and three
of a detection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rockcore.rocks.context import Pulse, agreements_needed, neighbours, similar_sums
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.rule import RockRule


@dataclass(frozen=True)
class Candidates:
    """M persistent occurrences with what context consistency needs to know of them."""

    at: np.ndarray  # (M,) index into the corpus
    type: np.ndarray  # (M,) index into Corpus.types
    rollout: np.ndarray  # (M,)
    context: np.ndarray  # (2w, M), see context.neighbours

    def of(self, chosen_M: np.ndarray) -> Candidates:
        return Candidates(
            self.at[chosen_M],
            self.type[chosen_M],
            self.rollout[chosen_M],
            self.context[:, chosen_M],
        )


@dataclass(frozen=True)
class Consistency:
    """For M persistent occurrences: how many others of their type are similar, and whether that is
    enough.
    """

    similar: np.ndarray  # (M,) other persistent occurrences o' of the type with sim(o, o') >= gamma
    rho: (
        np.ndarray
    )  # (M,) their share of the type's other persistent occurrences; 0 for one that has no other
    kept: np.ndarray  # (M,) bool


def candidates(corpus: Corpus, at: np.ndarray, rule: RockRule) -> Candidates:
    """The occurrences at these places with their contexts, without those that a context exclusion
    of the rule names.
    """
    context = neighbours(corpus.token_id, corpus.starts, at, rule.window)
    found = Candidates(at, corpus.type[at], corpus.rollout[at], context)
    offsets = [*range(-rule.window, 0), *range(1, rule.window + 1)]
    allowed = np.ones(len(at), bool)
    for offset, token in rule.excluded_contexts:
        allowed &= context[offsets.index(offset)] != token
    return found if allowed.all() else found.of(allowed)


def consistency(found: Candidates, rule: RockRule, pulse: Pulse = lambda: None) -> Consistency:
    """rho(o), and the occurrences that are kept: those with at least max(min_support, eta (n - 1))
    similar ones.

    The paper keeps o if rho(o) >= eta. A bare share accepts one of five and refuses a type that
    lives in many contexts, so by default the similar ones also have to be two, from two other
    rollouts, and those whose windows overlap o's are not counted towards that. With min_rollouts =
    0 and min_support = 0 it is the paper's rule. Source: arXiv 2605.09253, section 2.
    """
    nearby = _Nearby.of(found, rule, pulse)
    near = _near(found, rule, _moments(found.rollout), pulse)
    of_type = np.bincount(found.type)[found.type] if len(found.at) else np.zeros(0, np.int64)
    others = near[0] - 1
    rho = np.divide(others, of_type - 1, out=np.zeros(len(others)), where=of_type > 1)
    return Consistency(others, rho, nearby.enough(near, of_type, rule))


def kept_in_parts(
    found: Candidates, parts_PB: np.ndarray, rule: RockRule, pulse: Pulse = lambda: None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each part of the rollouts: which occurrences are kept if only the part counts (M,) bool,
    and if only the rest does.

    The same as `consistency` of the part and of the rest alone. Contexts are compared once for many
    parts: similar occurrences are counted with a weight a part.
    """
    nearby, moments = _Nearby.of(found, rule, pulse), _moments(found.rollout)
    whole = _near(found, rule, moments, pulse)
    at_once = max(1, _MOST_CELLS // max(1, 3 * len(found.at)))
    for start in range(0, len(parts_PB), at_once):
        inside = parts_PB[start : start + at_once, found.rollout]  # (p, M)
        weights = (inside[:, None, :] * moments).reshape(3 * len(inside), len(found.at))
        for mask, near in zip(
            inside,
            _near(found, rule, weights, pulse).reshape(len(inside), 3, len(found.at)),
            strict=True,
        ):
            yield tuple(  # pyright: ignore[reportReturnType]
                nearby.enough(
                    sums,
                    np.bincount(found.type[m], minlength=found.type.max(initial=-1) + 1)[
                        found.type
                    ],
                    rule,
                )
                & m
                for m, sums in ((mask, near), (~mask, whole - near))
            )


_MOST_CELLS = 60_000_000  # weights held at a time, 8 bytes each and as much again for their sums


def _near(found: Candidates, rule: RockRule, weights: np.ndarray, pulse: Pulse) -> np.ndarray:
    return similar_sums(
        found.type, found.context, agreements_needed(rule.gamma, rule.window), weights, pulse=pulse
    )


def _moments(rollout_M: np.ndarray) -> np.ndarray:
    """(3, M): 1, r and r^2. Their sums over a set of occurrences say how many there are, and
    whether all are of one rollout.
    """
    r = rollout_M.astype(np.int64)
    return np.stack([np.ones_like(r), r, r * r])


@dataclass(frozen=True)
class _Nearby:
    """Similar occurrences in an occurrence's own rollout, which count for little or nothing."""

    rollout: np.ndarray  # (M,)
    own: np.ndarray  # (M,) in its rollout, itself included
    overlapping: np.ndarray  # (M,) of these, others whose windows overlap its own

    @classmethod
    def of(cls, found: Candidates, rule: RockRule, pulse: Pulse) -> _Nearby:
        if not rule.min_rollouts:
            return cls(found.rollout, np.zeros(0), np.zeros(0))
        need = agreements_needed(rule.gamma, rule.window)
        inner = found.rollout.astype(np.int64) * (int(found.type.max(initial=0)) + 1) + found.type
        own = similar_sums(
            inner, found.context, need, np.ones((1, len(found.at)), np.int64), pulse=pulse
        )[0]
        return cls(found.rollout.astype(np.int64), own, _overlapping(found, need, rule.window))

    def enough(self, near_3M: np.ndarray, of_type_M: np.ndarray, rule: RockRule) -> np.ndarray:
        """(M,) bool: enough similar ones (moments over them, itself included) among `of_type_M`
        occurrences of its type.
        """
        n, others = np.maximum(of_type_M - 1, 0), near_3M[0] - 1
        one = 1 if rule.eta > 0 else 0  # rho of an occurrence without another of its type is 0
        least = np.maximum(
            np.ceil(rule.eta * n - 1e-9), max(rule.min_support, one)
        )  # 0.07 * 100 is 7, whatever floating point says
        if not rule.min_rollouts:
            return others >= least
        elsewhere, s1, s2 = near_3M - np.stack(
            [self.own, self.own * self.rollout, self.own * self.rollout**2]
        )
        spread = elsewhere >= rule.min_rollouts
        if rule.min_rollouts > 1:
            mean = np.floor_divide(s1, np.maximum(elsewhere, 1))
            spread &= (mean * elsewhere != s1) | (
                mean * mean * elsewhere != s2
            )  # equal only if all are of one rollout
        return spread & (others - self.overlapping >= least)


def _overlapping(found: Candidates, need: int, window: int) -> np.ndarray:
    """(M,) similar ones in the same rollout whose windows share positions with the occurrence's
    own.
    """
    count = np.zeros(len(found.at), np.int64)
    order = np.lexsort((found.at, found.type))
    at, type, rollout, context = (
        found.at[order],
        found.type[order],
        found.rollout[order],
        found.context[:, order],
    )
    for apart in range(1, len(at)):
        left, right = slice(None, -apart), slice(apart, None)
        close = (
            (type[left] == type[right])
            & (rollout[left] == rollout[right])
            & (at[right] - at[left] <= 2 * window)
        )
        if not close.any():
            break
        first = np.flatnonzero(close)
        a, b = context[:, first], context[:, first + apart]
        alike = first[((a == b) & (a != -1)).sum(axis=0) >= need]
        np.add.at(count, order[alike], 1)
        np.add.at(count, order[alike + apart], 1)
    return count


def precision(
    corpus: Corpus,
    found: Candidates,
    kept_M: np.ndarray,
    types: np.ndarray,
    rule: RockRule,
    pulse: Pulse = lambda: None,
) -> np.ndarray:
    """kappa (V,): of all occurrences in contexts similar to the kept ones of a type, the share that
    is persistent.

    rho compares persistent occurrences with each other; kappa asks whether the context *makes* the
    token persistent. NaN for types not among `types`, and where no other occurrence is similar.
    """
    asked = np.zeros(len(corpus.types), bool)
    asked[types] = True
    every = candidates(corpus, np.flatnonzero(asked[corpus.type]), rule)
    is_persistent, is_kept = np.zeros(len(corpus), bool), np.zeros(len(corpus), bool)
    is_persistent[found.at], is_kept[found.at[kept_M]] = True, True
    wanted = is_kept[every.at]
    weights = np.stack([np.ones(len(every.at), np.int64), is_persistent[every.at]])
    near = similar_sums(
        every.type,
        every.context,
        agreements_needed(rule.gamma, rule.window),
        weights,
        wanted,
        pulse,
    )
    all_V, high_V = (
        np.bincount(every.type[wanted], s[wanted] - 1, len(corpus.types)) for s in near
    )
    return np.divide(high_V, all_V, out=np.full(len(all_V), np.nan), where=all_V > 0)


def matched(
    before: Corpus,
    after: Corpus,
    tau_pre: float,
    tau_post: float,
    rule: RockRule,
    pulse: Pulse = lambda: None,
) -> tuple[np.ndarray, int]:
    """For texts that differ between the checkpoints: (N,) bool over `after`, high now and high
    before in similar contexts.

    An occurrence counts as persistent if it is at or above tau_post and at least half of the
    occurrences of its type that stood in similar contexts before were at or above tau_pre. Also
    returns how many high ones had no similar context before: of these nothing is known, and they
    are not counted as persistent.
    """
    joined = Corpus(
        steps=(),
        rollout_ids=np.arange(before.rollouts + after.rollouts),
        starts=np.concatenate([before.starts, after.starts + len(before)]),
        token_id=np.concatenate([before.token_id, after.token_id]),
        losses=(),
    )
    high_now = np.concatenate([np.zeros(len(before), bool), after.losses[-1] >= tau_post])
    was_high = np.concatenate([before.losses[0] >= tau_pre, np.zeros(len(after), bool)])
    asked = np.zeros(len(joined.types), bool)
    asked[joined.type[high_now]] = True
    earlier = np.arange(len(joined)) < len(before)
    every = candidates(joined, np.flatnonzero((earlier & asked[joined.type]) | high_now), rule)
    wanted = high_now[every.at]
    weights = np.stack([earlier[every.at], was_high[every.at]]).astype(np.int64)
    seen, high = similar_sums(
        every.type,
        every.context,
        agreements_needed(rule.gamma, rule.window),
        weights,
        wanted,
        pulse,
    )
    kept = np.zeros(len(after), bool)
    kept[every.at[wanted & (seen > 0) & (2 * high >= seen)] - len(before)] = True
    return kept, int((wanted & (seen == 0)).sum())
