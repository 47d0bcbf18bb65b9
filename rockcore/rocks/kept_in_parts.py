"""Which persistent occurrences would be kept if only a part of the rollouts counted, for many parts
at once.

The same as `recurrence.consistency` of each part and of its rest alone, but contexts are compared
once: similar occurrences are counted with a weight a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from rockcore import memory
from rockcore.rocks.context import Pulse, agreements_needed, similar_sums
from rockcore.rocks.corpus import blocks
from rockcore.rocks.persistence import Candidates
from rockcore.rocks.recurrence import Consistency, consistency, moments
from rockcore.rocks.rule import RockRule


def kept_in_parts(
    found: Candidates,
    parts_PB: np.ndarray,
    rule: RockRule,
    pulse: Pulse = lambda: None,
    whole: Consistency | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each part of the rollouts: which occurrences are kept if only the part counts (M,) bool,
    and if only the rest does. `whole`: their consistency in all rollouts, where it is known.

    Only occurrences of one type are similar, so types go block by block, the frequent ones first:
    their weights then fit into memory, and mostly into a cache.
    """
    whole = consistency(found, rule, pulse) if whole is None else whole
    of_type = np.bincount(found.type) if len(found.at) else np.zeros(0, np.int64)
    ranked = np.argsort(-of_type, kind="stable")
    place = np.empty_like(ranked)
    place[ranked] = np.arange(len(ranked))
    order = np.argsort(place[found.type], kind="stable")
    ends = np.append(0, np.cumsum(of_type[ranked]))
    at_once = max(1, memory.block() // max(1, 2 * len(found.at)))
    for start in range(0, len(parts_PB), at_once):
        parts = parts_PB[start : start + at_once]
        kept = np.zeros((len(parts), 2, len(found.at)), bool)
        for a, b in blocks(of_type[ranked], max(1, _MOST_CELLS // len(parts))):
            some = order[ends[a] : ends[b]]
            types = found.of(some)
            inside_PM = parts[:, types.rollout]
            kept[:, :, some] = _Types(types, whole.of(some), inside_PM, rule, pulse).kept()
        yield from ((one, rest) for one, rest in kept)


_MOST_CELLS = 2_000_000  # counts of similar occurrences held at a time, one a part


@dataclass(frozen=True)
class _Types:
    """All persistent occurrences of some types, and P parts of the rollouts."""

    found: Candidates
    whole: Consistency
    inside_PM: np.ndarray  # bool
    rule: RockRule
    pulse: Pulse

    def kept(self) -> np.ndarray:
        """(P, 2, M) bool, see `kept_in_parts`.

        Of all occurrences is asked how many others are similar; from which rollouts these are, only
        where they are so few that one could have them all.
        """
        found, nearby, rule = self.found, self.whole.nearby, self.rule
        ones = np.ones((1, len(found.at)), np.int64)
        near_PM = self._sums(ones)[:, 0]
        kept = np.zeros((len(near_PM), 2, len(found.at)), bool)
        alone, most = np.zeros_like(kept), _most_in_a_rollout(found)
        for mask, n, out, unsure in zip(self.inside_PM, near_PM, kept, alone, strict=True):
            for side, (m, near) in enumerate(((mask, n), (~mask, self.whole.near[0] - n))):
                of_type = np.bincount(found.type[m], minlength=found.type.max(initial=-1) + 1)
                out[side] = m & nearby.often(near, of_type[found.type], rule)
                if rule.min_rollouts > 1:
                    unsure[side] = out[side] & (near - nearby.own <= most)
        if len(asked := np.flatnonzero(alone.any(axis=(0, 1)))):
            kept[:, :, asked] &= self._spread(asked, near_PM[:, asked])
        return kept

    def _spread(self, asked: np.ndarray, near_Pa: np.ndarray) -> np.ndarray:
        """(P, 2, asked) bool: the similar ones elsewhere are not all of one rollout."""
        of_type = np.zeros(self.found.type.max(initial=-1) + 1, bool)
        of_type[self.found.type[asked]] = True
        some = np.flatnonzero(of_type[self.found.type])
        wanted = np.zeros(len(self.found.at), bool)
        wanted[asked] = True
        sums = self._of(some)._sums(moments(self.found.rollout[some])[1:], wanted[some])
        near = np.concatenate([near_Pa[:, None], sums[:, :, wanted[some]]], axis=1)
        whole = self.whole.of(asked)
        sides = ((n, whole.near - n) for n in near)
        return np.array([[whole.nearby.spread(n, self.rule) for n in both] for both in sides])

    def _of(self, some: np.ndarray) -> _Types:
        return replace(
            self,
            found=self.found.of(some),
            whole=self.whole.of(some),
            inside_PM=self.inside_PM[:, some],
        )

    def _sums(self, weights_kM: np.ndarray, wanted: np.ndarray | None = None) -> np.ndarray:
        """(P, k, M) sums of weights, none negative, over the similar ones inside each part.

        As many of them as fit into 64 bits are one number, each in digits of its own: sums of such
        numbers are the sums of all, and no digit runs over into the next.
        """
        found, of_type = self.found, int(np.bincount(self.found.type).max(initial=1))
        packed: list[np.ndarray] = []
        places: list[tuple[int, int, int]] = []  # of each sum: in which number, and which bits
        for weight in weights_kM:
            bits = (of_type * int(weight.max(initial=1))).bit_length()
            at_once = max(1, 63 // bits)
            for p, inside in enumerate(self.inside_PM):
                if p % at_once == 0:
                    packed.append(np.zeros(len(found.at), np.int64))
                packed[-1] += (weight * inside) << bits * (p % at_once)
                mask = (1 << bits) - 1 if bits < 64 else -1
                places.append((len(packed) - 1, bits * (p % at_once), mask))
        need = agreements_needed(self.rule.gamma, self.rule.window)
        weights = np.stack(packed)
        near = similar_sums(found.type, found.context, need, weights, wanted, self.pulse)
        sums = np.stack([(near[number] >> first) & mask for number, first, mask in places])
        return sums.reshape(len(weights_kM), len(self.inside_PM), -1).swapaxes(0, 1)


def _most_in_a_rollout(found: Candidates) -> np.ndarray:
    """(M,) how many occurrences of its type one rollout has at most."""
    order = np.lexsort((found.rollout, found.type))
    type, rollout = found.type[order], found.rollout[order]
    new = np.ones(len(type), bool)
    new[1:] = (type[1:] != type[:-1]) | (rollout[1:] != rollout[:-1])
    begins = np.flatnonzero(new)
    most = np.zeros(type.max(initial=-1) + 1, np.int64)
    np.maximum.at(most, type[begins], np.diff(np.append(begins, len(type))))
    return most[found.type]
