"""The losses of each token type at three checkpoints, by rollout: what a change is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rockcore import stats
from rockcore.rocks.corpus import Corpus


@dataclass(frozen=True)
class Sums:
    """Occurrences and summed loss by rollout and type at one checkpoint: sparse (B, V) matrices."""

    n: Any
    loss: Any

    @property
    def rollouts(self) -> int:
        return self.n.shape[0]

    def means(self, weights_DB: np.ndarray, types: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(D, V) mean loss of each type with the rollouts weighted; NaN where none is left."""
        n, loss = ((m[:, types].T @ weights_DB.T).T for m in (self.n, self.loss))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(n > 0, loss / n, np.nan)

    def counts(self, weights_DB: np.ndarray) -> np.ndarray:
        """(D, V) occurrences of each type with the rollouts weighted."""
        return (self.n.T @ weights_DB.T).T


@dataclass(frozen=True)
class History:
    """Three checkpoints (the middle one repeated where there is none) over the types (V,) of the
    last.
    """

    types: np.ndarray
    sums: tuple[Sums, Sums, Sums]
    paired: bool  # the same rollouts at each: they are split and resampled together
    # nats: the mean over all tokens at the first checkpoint; from there on a type's mean counts as
    # hard
    hard_from: float

    @classmethod
    def of(cls, corpora: Sequence[Corpus], paired: bool) -> History:
        """From one corpus with a loss a checkpoint, or one corpus a checkpoint."""
        types = corpora[-1].types
        if paired:
            found = [_sums(corpora[0], c, types) for c in range(len(corpora[0].losses))]
        else:
            found = [_sums(corpus, 0, types) for corpus in corpora]
        middle = found[len(found) // 2] if len(found) > 2 else found[-1]
        return cls(
            types,
            (found[0], middle, found[-1]),
            paired,
            float(corpora[0].losses[0].mean(dtype=np.float64)),
        )

    def halves(self, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Two disjoint halves of the rollouts of each checkpoint, as 0/1 weights (1, B)."""
        rng = np.random.default_rng(seed)
        first: list[np.ndarray] = []
        for sums in self.sums:
            if not (first and self.paired):
                half = np.zeros((1, sums.rollouts))
                half[0, rng.permutation(sums.rollouts)[: sums.rollouts // 2]] = 1
            else:
                half = first[0]
            first.append(half)
        return first, [1 - half for half in first]

    def resampled(self, halves: list[np.ndarray], draws: int, seed: int) -> list[np.ndarray]:
        """Bootstrap weights (D, B) that draw rollouts from a half, the same ones at every
        checkpoint if they are paired.
        """
        weights: list[np.ndarray] = []
        for c, half in enumerate(halves):
            if not (weights and self.paired):
                members = np.flatnonzero(half[0])
                drawn = np.zeros((draws, half.shape[1]), np.float32)
                drawn[:, members] = (
                    stats.resampled(len(members), draws, seed + c) if len(members) else 0
                )
            weights.append(weights[0] if weights and self.paired else drawn)
        return weights


def _sums(corpus: Corpus, checkpoint: int, types: np.ndarray) -> Sums:
    from scipy.sparse import csr_matrix

    cells = corpus.cells
    column = np.minimum(np.searchsorted(types, corpus.types), max(len(types) - 1, 0))
    known = (
        (types[column] == corpus.types)[cells.type]
        if len(types)
        else np.zeros(len(cells.type), bool)
    )
    at = (cells.rollout[known], column[cells.type[known]])
    shape = (corpus.rollouts, len(types))
    n, loss = (
        csr_matrix((values[known].astype(np.float32), at), shape)
        for values in (cells.n, cells.sums[checkpoint])
    )
    return Sums(n, loss)


def draws_for(history: History) -> int:
    """Bootstrap samples: a thousand, or two hundred where a log is so large that they would take a
    minute.
    """
    return 200 if sum(s.n.nnz for s in history.sums) > 3_000_000 else 1000
