"""The occurrences that a detection looks at, as arrays: one text after the other, with the loss at
each checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


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
        return np.repeat(np.arange(len(self.lengths), dtype=np.int32), self.lengths)


@dataclass(frozen=True)
class Cells:
    """Sums over the occurrences of one type in one rollout: what every question by type and rollout
    needs.
    """

    rollout: np.ndarray  # (C,)
    type: np.ndarray  # (C,) index into Corpus.types
    n: np.ndarray  # (C,) occurrences
    sums: tuple[np.ndarray, ...]  # per checkpoint (C,): summed loss, float64


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
        present = np.bincount(self.token_id) > 0 if len(self) else np.zeros(0, bool)
        index = np.cumsum(present) - 1
        return np.flatnonzero(present), index.astype(np.int32)[self.token_id]

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
        key = self.rollout.astype(np.int64) * len(self.types) + self.type
        if self.rollouts * len(self.types) <= 4 * len(self):  # a small vocabulary: no need to sort
            n = np.bincount(key, minlength=self.rollouts * len(self.types))
            filled = np.flatnonzero(n)
            sums = [np.bincount(key, loss, len(n))[filled] for loss in self.losses]
            return Cells(
                filled // len(self.types), filled % len(self.types), n[filled], tuple(sums)
            )
        filled, index, n = np.unique(key, return_inverse=True, return_counts=True)
        sums = [np.bincount(index, loss, len(filled)) for loss in self.losses]
        return Cells(filled // len(self.types), filled % len(self.types), n, tuple(sums))
