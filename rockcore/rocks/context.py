"""Which occurrences of a token stand in similar contexts: exact counts, at a cost that grows like
the number of occurrences.

The context of an occurrence is the token at each of the 2w offsets around it. Two occurrences are
*similar* if enough of these offsets agree. Start and end of a response count as one token each;
beyond them an offset agrees with nothing, so that an edge alone never makes two occurrences
similar.

No pair is ever compared. For a set S of offsets, the occurrences that agree on all of S form a
group, and groups are found by hashing. With N_S(o) the size of o's group, inclusion and exclusion
give the occurrences that agree with o at m offsets or more:

    sum over j >= m of (-1)^(j - m) C(j - 1, m - 1) * sum over |S| = j of N_S(o)

163 sets do for 4 of 8 offsets. Equal contexts are counted as one row, and a row alone in its group
leaves the search.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, comb
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.rocks.corpus import blocks

_BEYOND, _START, _END = -1, -2, -3
WIDEST = 6  # 2^12 sets of offsets; each further token a side makes it four times as many


def agreements_needed(gamma: float, window: int) -> int:
    """How many of the 2w offsets have to agree for sim >= gamma; at least one."""
    return max(1, ceil(gamma * 2 * window - 1e-9))  # 0.6 * 10 is 6, whatever floating point says


def neighbours(
    token_id_N: np.ndarray, starts_B: np.ndarray, at_M: np.ndarray, window: int
) -> np.ndarray:
    """The tokens around the positions `at_M`: (2w, M) int32, -2 and -3 for start and end of the
    response, -1 beyond.

    `token_id_N` holds the responses one after the other, `starts_B` the index of each one's first
    token.
    """
    bounds = np.append(starts_B, len(token_id_N))
    rollout = np.searchsorted(starts_B, at_M, side="right") - 1
    first, after = bounds[rollout], bounds[rollout + 1]
    around = np.empty((2 * window, len(at_M)), np.int32)
    for row, offset in zip(around, (*range(-window, 0), *range(1, window + 1)), strict=True):
        there = at_M + offset
        row[:] = np.where(there == first - 1, _START, np.where(there == after, _END, _BEYOND))
        inside = (there >= first) & (there < after)
        row[inside] = token_id_N[there[inside]]
    return around


Pulse = Callable[[], None]  # called often during long work; stops it by raising


def similar_sums(
    type_N: np.ndarray,
    context_LN: np.ndarray,
    need: int,
    weights_kN: np.ndarray,
    wanted_N: np.ndarray | None = None,
    pulse: Pulse = lambda: None,
) -> np.ndarray:
    """(k, N) int64: sums of integer weights over the occurrences of each one's type that are
    similar to it, itself included.

    Exact while the result fits into 64 bits. `context_LN` comes from `neighbours`. With `wanted_N`
    only these occurrences are answered for: the others still count as similar to them, but groups
    that hold none of them are not searched.
    """
    of_type_N, weights_kN = pd.factorize(type_N)[0], np.asarray(weights_kN, np.int64)
    counts = np.bincount(of_type_N)
    asked = counts > 1  # one alone is similar to itself
    if wanted_N is not None:
        asked &= np.bincount(of_type_N, wanted_N, len(counts)) > 0
    order, ends = np.argsort(of_type_N, kind="stable"), np.append(0, np.cumsum(counts))
    sums_kN = weights_kN.copy()
    for a, b in blocks(counts, _ROWS):
        some = order[ends[a] : ends[b]]
        some = some[asked[of_type_N[some]]]
        if len(some):
            wanted = None if wanted_N is None else wanted_N[some]
            sums_kN[:, some] = _sums_of_types(
                of_type_N[some], context_LN[:, some], need, weights_kN[:, some], wanted, pulse
            )
    return sums_kN


_ROWS = 100_000  # of some types, searched together: more of them leave the caches


def _sums_of_types(
    type_N: np.ndarray,
    context_LN: np.ndarray,
    need: int,
    weights_kN: np.ndarray,
    wanted_N: np.ndarray | None,
    pulse: Pulse,
) -> np.ndarray:
    """(k, N): see `similar_sums`, of all occurrences of some types."""
    of_type_N = row_N = pd.factorize(type_N)[0].astype(np.int64)
    for token_N in context_LN:
        pulse()
        row_N = _refine(row_N, token_N)
    n = int(row_N.max(initial=-1)) + 1
    first_U = np.full(n, len(row_N))
    np.minimum.at(first_U, row_N, np.arange(len(row_N)))
    weights_Nk = np.ascontiguousarray(weights_kN.T, np.int64)  # those of an occurrence together
    pulse()
    rows = _Rows(
        type=of_type_N[first_U],
        context=context_LN[:, first_U],
        need=need,
        weights=_members(row_N, np.arange(len(row_N)), (n, len(row_N))) @ weights_Nk,
        wanted=np.ones(n, bool) if wanted_N is None else np.bincount(row_N, wanted_N, n) > 0,
    )
    rows.search(pulse)
    sums_Nk = rows.sums[row_N]
    far = np.flatnonzero(rows.present[row_N] < need)  # too much beyond the edge: similar to itself
    sums_Nk[far] = weights_Nk[far]
    return sums_Nk.T


def _members(group: np.ndarray, member: np.ndarray, shape: tuple[int, int]) -> Any:
    """Sparse (groups, members) int64: times what members hold, sums by group. Sums of integers, so
    exact in any order, and below 2^64 also where one on the way was not.
    """
    from scipy.sparse import coo_matrix

    return coo_matrix((np.ones(len(group), np.int64), (group, member)), shape).tocsr()


def _refine(group: np.ndarray, token: np.ndarray) -> np.ndarray:
    """Split groups by token; the new groups are numbered from 0."""
    low = int(token.min(initial=0))
    return pd.factorize(group * (int(token.max(initial=0)) - low + 1) + (token - low))[0]


class _Rows:
    """U distinct (type, context) pairs and the search through sets of offsets."""

    def __init__(
        self,
        type: np.ndarray,
        context: np.ndarray,
        need: int,
        weights: np.ndarray,
        wanted: np.ndarray,
    ):
        self.present = (context != _BEYOND).sum(axis=0)
        order = np.argsort(
            [-len(pd.unique(c)) for c in context], kind="stable"
        )  # those that tell most apart first
        self.type, self.need, self.weights, self.wanted = type, need, weights, wanted
        self.context = context[order] - _END  # not negative
        self.sums = weights.copy()  # equal contexts are similar to each other
        self._found: list[_Groups] = []  # whose sums are still to be added
        self._waiting = 0  # rows in them

    def search(self, pulse: Pulse) -> None:
        rows = np.flatnonzero(self.present >= self.need)
        self.pulse = pulse
        self._descend(*self._shared(rows, self.type[rows]), size=0, start=0)
        self._add()

    def _shared(self, rows: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Without the rows that are alone in their group, and the groups that nobody asks about."""
        keep = (np.bincount(group) > 1)[group]
        if not self.wanted.all():
            keep &= (np.bincount(group, self.wanted[rows]) > 0)[group]
        return rows[keep], group[keep]

    def _descend(self, rows: np.ndarray, group: np.ndarray, size: int, start: int) -> None:
        """Split `group`, whose rows agree on a set of `size` offsets, by each later offset."""
        for j in range(start, len(self.context)):
            if size + len(self.context) - j < self.need:
                break  # too few offsets are left
            self.pulse()
            token = self.context[j, rows]
            there = token != _BEYOND - _END
            inner = rows[there]
            inner, split = self._shared(inner, _refine(group[there], token[there]))
            if len(inner) == 0:
                continue
            if size + 1 >= self.need:
                self._wait(inner, split, size + 1)
            self._descend(inner, split, size + 1, j + 1)

    def _wait(self, rows: np.ndarray, group: np.ndarray, size: int) -> None:
        factor = (-1) ** (size - self.need) * comb(size - 1, self.need - 1)
        numbers = np.cumsum(np.bincount(group) > 0) - 1  # without those that were left out
        self._found.append(_Groups(rows.astype(np.int32), numbers[group].astype(np.int32), factor))
        self._waiting += len(rows)
        if self._waiting >= max(_AT_ONCE // self.weights.shape[1], len(self.sums)):
            self._add()

    def _add(self) -> None:
        """Add to each row what the others of its groups hold: many sets of offsets at once, because
        a product of matrices reads the weights of a row as one piece.
        """
        if not self._found:
            return
        self.pulse()
        counts = [int(found.group.max()) + 1 for found in self._found]
        before = np.cumsum(counts) - counts
        rows = np.concatenate([found.rows for found in self._found])
        group = np.concatenate([f.group + b for f, b in zip(self._found, before, strict=True)])
        factors = [found.factor for found in self._found]
        members = _members(group, rows, (int(sum(counts)), len(self.sums)))
        totals = members @ self.weights
        totals *= np.repeat(factors, counts)[:, None]
        self.sums += members.T @ totals
        own = np.zeros(len(self.sums), np.int64)
        np.add.at(own, rows, np.repeat(factors, [len(found.rows) for found in self._found]))
        self.sums -= own[:, None] * self.weights
        self._found, self._waiting = [], 0


class _Groups(NamedTuple):
    """Rows that agree on a set of offsets, and what the set counts for."""

    rows: np.ndarray
    group: np.ndarray  # of each row, numbered from 0
    factor: int


_AT_ONCE = 4_000_000  # weights of waiting rows, 8 bytes each and as much again for their sums
