"""Which persistent occurrences recur in similar contexts: stage three of a detection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rockcore import memory
from rockcore.rocks.context import Pulse, agreements_needed, similar_sums
from rockcore.rocks.corpus import blocks
from rockcore.rocks.persistence import Candidates
from rockcore.rocks.rule import RockRule


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
    parts: similar occurrences are counted with a weight a part. Only occurrences of one type are
    similar, so types go block by block: their weights then fit into memory, and mostly into a
    cache.
    """
    order = np.argsort(found.type, kind="stable")
    of_type = np.bincount(found.type) if len(found.at) else np.zeros(0, np.int64)
    at_once = max(1, memory.block() // max(1, 2 * len(found.at)))
    for start in range(0, len(parts_PB), at_once):
        parts = parts_PB[start : start + at_once]
        kept = np.zeros((len(parts), 2, len(found.at)), bool)
        most = max(1, _MOST_CELLS // (3 * (len(parts) + 1)))
        ends = np.append(0, np.cumsum(of_type))
        for a, b in blocks(of_type, most):
            some = order[ends[a] : ends[b]]
            kept[:, :, some] = _kept_of_types(found.of(some), parts, rule, pulse)
        yield from ((one, rest) for one, rest in kept)


_MOST_CELLS = 2_000_000  # weights held at a time, 8 bytes each and several times as much for sums


def _kept_of_types(
    found: Candidates, parts_PB: np.ndarray, rule: RockRule, pulse: Pulse
) -> np.ndarray:
    """(P, 2, M) bool, see `kept_in_parts`."""
    nearby, moments = _Nearby.of(found, rule, pulse), _moments(found.rollout)
    inside = parts_PB[:, found.rollout]  # (P, M)
    masks = np.concatenate([np.ones((1, len(found.at)), bool), inside])
    weights = (masks.T[:, :, None] * moments.T[:, None, :]).reshape(len(found.at), -1)
    whole, *near = _near(found, rule, weights.T, pulse).reshape(len(masks), 3, len(found.at))
    kept = np.zeros((len(inside), 2, len(found.at)), bool)
    for mask, part, out in zip(inside, near, kept, strict=True):
        for side, (m, sums) in enumerate(((mask, part), (~mask, whole - part))):
            of_type = np.bincount(found.type[m], minlength=found.type.max(initial=-1) + 1)
            out[side] = nearby.enough(sums, of_type[found.type], rule) & m
    return kept


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
