"""The occurrences that a detection looks at, as arrays: one text after the other, with the loss at
each checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from rockcore import memory
from rockcore.log.beside import beside


@dataclass(frozen=True)
class Rows:
    """How N positions lie in B rollouts, one rollout after another."""

    lengths: np.ndarray  # (B,) positions of each; may be 0

    def __len__(self) -> int:
        return int(self.lengths.sum())

    @cached_property
    def starts(self) -> np.ndarray:
        """(B,) index of each rollout's first position."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def rollout(self) -> np.ndarray:
        """(N,) int32: index of the rollout, 0 to B - 1."""
        of, begin = memory.array(len(self), np.int32), 0
        for a, b in blocks(self.lengths, _AT_ONCE):
            end = begin + int(self.lengths[a:b].sum())
            of[begin:end] = np.repeat(np.arange(a, b, dtype=np.int32), self.lengths[a:b])
            begin = end
        return of


@dataclass(frozen=True)
class Cells:
    """Sums over the occurrences of one type in one rollout: what every question by type and rollout
    needs. C of them, by type and, within a type, by rollout.
    """

    starts: np.ndarray  # (V + 1,) where the cells of each type begin, and where the last ones end
    rollout: np.ndarray  # (C,) int32
    n: np.ndarray  # (C,) int32: occurrences
    sums: tuple[np.ndarray, ...]  # per checkpoint (C,): summed loss, float64

    @property
    def type(self) -> np.ndarray:
        """(C,) int32: index into Corpus.types."""
        types = len(self.starts) - 1
        return np.repeat(np.arange(types, dtype=np.int32), np.diff(self.starts))

    def totals(
        self,
        values_C: np.ndarray,
        rollouts_PB: np.ndarray,
        pulse: Callable[[], None] = lambda: None,
    ) -> np.ndarray:
        """(V, P) sums of a value of each cell over masks (P, B) of the rollouts, added rollout by
        rollout; integers stay such.
        """
        from scipy.sparse import csr_matrix

        weights_BP = np.ascontiguousarray(rollouts_PB.T, dtype=values_C.dtype)
        of_type = np.diff(self.starts)
        found = np.empty((len(of_type), len(rollouts_PB)), values_C.dtype)
        for a, b in blocks((of_type + 1) * len(rollouts_PB), _PRODUCTS):
            pulse()
            begin, end = self.starts[a], self.starts[b]
            ends = (self.starts[a : b + 1] - begin).astype(
                np.int32 if end - begin < 2**31 else np.int64
            )
            some = (values_C[begin:end], self.rollout[begin:end], ends)
            found[a:b] = csr_matrix(some, (b - a, len(weights_BP))) @ weights_BP
        return found


def blocks(cost_V: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Consecutive blocks of things that cost `most` together, or of one that costs more."""
    ends, begin = np.cumsum(cost_V), 0
    while begin < len(cost_V):
        spent = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, spent + most, side="right")), begin + 1)
        yield begin, end
        begin = end


@dataclass(frozen=True)
class Corpus:
    """N occurrences of B rollouts, ordered by rollout and position; `losses` has one (N,) float32
    array a checkpoint.
    """

    steps: tuple[int, ...]
    rollout_ids: np.ndarray  # (B,) as logged
    starts: np.ndarray  # (B,) index of each rollout's first token
    token_id: np.ndarray  # (N,) int32
    losses: tuple[np.ndarray, ...]
    grad_norm: np.ndarray | None = field(default=None, repr=False)  # (N,) at the last checkpoint

    def __len__(self) -> int:
        return len(self.token_id)

    @property
    def rollouts(self) -> int:
        return len(self.starts)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(B,) tokens of each rollout."""
        return np.diff(np.append(self.starts, len(self)))

    @cached_property
    def rows(self) -> Rows:
        return Rows(self.lengths)

    @property
    def rollout(self) -> np.ndarray:
        """(N,) int32: index of the rollout, 0 to B - 1."""
        return self.rows.rollout

    @property
    def position(self) -> np.ndarray:
        """(N,) index within the response."""
        return np.arange(len(self)) - np.repeat(self.starts, self.lengths)

    @cached_property
    def _types(self) -> tuple[np.ndarray, np.ndarray]:
        present = np.zeros(int(self.token_id.max(initial=-1)) + 1, bool)
        pieces = [slice(at, at + _AT_ONCE) for at in range(0, len(self), _AT_ONCE)]
        for piece in pieces:  # numpy makes an int64 of each index, which of all at once is much
            present[self.token_id[piece]] = True
        index = np.cumsum(present, dtype=np.int32) - 1
        type = memory.array(len(self), np.int32)
        for piece in pieces:
            type[piece] = index[self.token_id[piece]]
        return np.flatnonzero(present), type

    @property
    def types(self) -> np.ndarray:
        """(V,) the token ids that occur, ascending."""
        return self._types[0]

    @property
    def type(self) -> np.ndarray:
        """(N,) int32: index of the occurrence's type in `types`."""
        return self._types[1]

    @cached_property
    def cells(self) -> Cells:
        return self.summed(lambda: None)

    def summed(self, pulse: Callable[[], None]) -> Cells:
        """The cells; `pulse` is called while they are worked out, and stops that by raising."""
        if "cells" not in self.__dict__:
            self.__dict__["cells"] = self._summed(pulse)  # as cached_property does
        return self.cells

    def _summed(self, pulse: Callable[[], None]) -> Cells:
        order, rollout, ends = beside(self._by_type, pulse)
        starts, begins, n = beside(lambda: _runs(rollout, ends), pulse)
        rollout = rollout[begins]
        sums = tuple(memory.array(len(n), np.float64) for _ in self.losses)
        for a, b in blocks(n, _AT_ONCE):
            pulse()
            at = order[begins[a] : begins[b] if b < len(n) else None]
            cell = np.repeat(np.arange(b - a), n[a:b])
            for total, loss in zip(sums, self.losses, strict=True):
                total[a:b] = np.bincount(cell, loss[at], b - a)
        return Cells(starts, rollout, n, sums)

    def _by_type(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) the occurrences by type, those of a type as they follow each other; (N,) the rollout
        of each; (V + 1,) where each type begins.
        """
        from scipy.sparse import csr_matrix

        # a matrix turned from rows to columns is a sort by counting, ten times as fast as one by
        # comparing
        entries = np.arange(len(self), dtype=np.int32 if len(self) < 2**31 else np.int64)
        ends = np.append(self.starts, len(self))
        turned = csr_matrix(
            (entries, self.type, ends), (self.rollouts, len(self.types)), copy=False
        ).tocsc()
        return turned.data, turned.indices, turned.indptr


_PRODUCTS = 100_000_000  # of cells and parts of the rollouts, made without a pulse
_AT_ONCE = 4_000_000  # occurrences whose losses are summed together


def _runs(rollout_N: np.ndarray, ends_V: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of rollouts that ascend within each type: (V + 1,) which run of equal ones each type begins
    with; (C,) where each run begins, and, int32, how long it is.
    """
    new = np.ones(len(rollout_N), bool)
    np.not_equal(rollout_N[1:], rollout_N[:-1], out=new[1:])
    new[ends_V[:-1]] = True  # no type is without occurrences
    begins = np.flatnonzero(new)
    n = np.empty(len(begins), np.int32)
    np.subtract(begins[1:], begins[:-1], out=n[:-1], casting="unsafe")
    n[-1:] = len(rollout_N) - begins[-1:]
    return np.searchsorted(begins, ends_V), begins, n
