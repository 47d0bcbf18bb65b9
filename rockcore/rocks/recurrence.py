"""Which persistent occurrences recur in similar contexts: stage three of a detection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rockcore.rocks.context import Pulse, agreements_needed, similar_sums
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
    near: np.ndarray  # (3, M) moments (see `moments`) of the similar ones, itself included
    nearby: Nearby

    def of(self, chosen_M: np.ndarray) -> Consistency:
        return Consistency(
            self.similar[chosen_M],
            self.rho[chosen_M],
            self.kept[chosen_M],
            self.near[:, chosen_M],
            self.nearby.of_these(chosen_M),
        )


def consistency(found: Candidates, rule: RockRule, pulse: Pulse = lambda: None) -> Consistency:
    """rho(o), and the occurrences that are kept: those with at least max(min_support, eta (n - 1))
    similar ones.

    The paper keeps o if rho(o) >= eta. A bare share accepts one of five and refuses a type that
    lives in many contexts, so by default the similar ones also have to be two, from two other
    rollouts, and those whose windows overlap o's are not counted towards that. With min_rollouts =
    0 and min_support = 0 it is the paper's rule. Source: arXiv 2605.09253, section 2.
    """
    nearby = Nearby.of(found, rule, pulse)
    near = similar_sums(
        found.type,
        found.context,
        agreements_needed(rule.gamma, rule.window),
        moments(found.rollout),
        pulse=pulse,
    )
    of_type = np.bincount(found.type)[found.type] if len(found.at) else np.zeros(0, np.int64)
    others = near[0] - 1
    rho = np.divide(others, of_type - 1, out=np.zeros(len(others)), where=of_type > 1)
    kept = nearby.often(near[0], of_type, rule) & nearby.spread(near, rule)
    return Consistency(others, rho, kept, near, nearby)


def moments(rollout_M: np.ndarray) -> np.ndarray:
    """(3, M): 1, r and r^2. Their sums over a set of occurrences say how many there are, and
    whether all are of one rollout.
    """
    r = rollout_M.astype(np.int64)
    return np.stack([np.ones_like(r), r, r * r])


@dataclass(frozen=True)
class Nearby:
    """Similar occurrences in an occurrence's own rollout, which count for little or nothing."""

    rollout: np.ndarray  # (M,)
    own: np.ndarray  # (M,) in its rollout, itself included
    overlapping: np.ndarray  # (M,) of these, others whose windows overlap its own

    @classmethod
    def of(cls, found: Candidates, rule: RockRule, pulse: Pulse) -> Nearby:
        rollout = found.rollout.astype(np.int64)
        if not rule.min_rollouts:
            none = np.zeros(len(found.at), np.int64)
            return cls(rollout, none, none)
        need = agreements_needed(rule.gamma, rule.window)
        inner = rollout * (int(found.type.max(initial=0)) + 1) + found.type
        own = similar_sums(
            inner, found.context, need, np.ones((1, len(found.at)), np.int64), pulse=pulse
        )[0]
        return cls(rollout, own, _overlapping(found, need, rule.window))

    def of_these(self, chosen_M: np.ndarray) -> Nearby:
        return Nearby(self.rollout[chosen_M], self.own[chosen_M], self.overlapping[chosen_M])

    def often(self, near_M: np.ndarray, of_type_M: np.ndarray, rule: RockRule) -> np.ndarray:
        """(M,) bool: enough similar ones (`near_M`, itself included) among `of_type_M` occurrences
        of its type, and enough of them elsewhere.
        """
        n, others = np.maximum(of_type_M - 1, 0), near_M - 1
        one = 1 if rule.eta > 0 else 0  # rho of an occurrence without another of its type is 0
        least = np.maximum(
            np.ceil(rule.eta * n - 1e-9), max(rule.min_support, one)
        )  # 0.07 * 100 is 7, whatever floating point says
        if not rule.min_rollouts:
            return others >= least
        return (near_M - self.own >= rule.min_rollouts) & (others - self.overlapping >= least)

    def spread(self, near_3M: np.ndarray, rule: RockRule) -> np.ndarray:
        """(M,) bool: those elsewhere are not all of one rollout, as their moments say; if a rule
        asks for more than one.
        """
        if rule.min_rollouts < 2:
            return np.ones(near_3M.shape[1], bool)
        elsewhere, s1, s2 = near_3M - moments(self.rollout) * self.own
        mean = np.floor_divide(s1, np.maximum(elsewhere, 1))
        return (mean * elsewhere != s1) | (mean * mean * elsewhere != s2)


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
