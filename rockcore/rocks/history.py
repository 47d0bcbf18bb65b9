"""The losses of each token type at three checkpoints, by rollout: what a change is measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rockcore import stats
from rockcore.log.beside import beside
from rockcore.rocks.corpus import Cells, Corpus, blocks


@dataclass(frozen=True)
class Sums:
    """Occurrences and summed loss by rollout and type at one checkpoint: sparse (B, V) matrices."""

    n: Any
    loss: Any

    @property
    def rollouts(self) -> int:
        return self.n.shape[0]

    def means(self, weights_DB: np.ndarray) -> np.ndarray:
        """(D, V) mean loss of each type with the rollouts weighted; NaN where none is left."""
        weights_BD = np.ascontiguousarray(weights_DB.T)
        return ratios(self.loss.T @ weights_BD, self.n.T @ weights_BD).T

    def counts(self, weights_DB: np.ndarray) -> np.ndarray:
        """(D, V) occurrences of each type with the rollouts weighted."""
        return (self.n.T @ weights_DB.T).T

    def held(self, rollouts_B: np.ndarray) -> np.ndarray:
        """(V,) in how many rollouts of a mask (B,) each type occurs."""
        n = self.n.tocsc()
        held = np.zeros(n.shape[1], np.int64)
        rollouts_B = rollouts_B.astype(bool)
        for a, b in blocks(np.diff(n.indptr) + 1, _AT_ONCE):
            begin, end = n.indptr[a], n.indptr[b]
            so_far = np.append(0, np.cumsum(rollouts_B[n.indices[begin:end]]))
            held[a:b] = np.diff(so_far[n.indptr[a : b + 1] - begin])
        return held

    def by_rows(self, n: Any = None) -> Sums:
        """The same as matrices by rows, with one list of cells for both. `n`: the counts, where
        they are by rows already.
        """
        from scipy.sparse import csr_matrix

        n = self.n.tocsr() if n is None else n
        loss = self.loss.tocsr()
        return Sums(n, csr_matrix((loss.data, n.indices, n.indptr), n.shape))


_AT_ONCE = 4_000_000  # cells


def ratios(loss_VD: np.ndarray, n_VD: np.ndarray) -> np.ndarray:
    """Means from sums; NaN of no occurrence."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n_VD > 0, loss_VD / n_VD, np.nan)


def by_type(matrix: Any, types: np.ndarray, place_B: np.ndarray) -> Any:
    """The cells of some types in some rollouts, (types, M) by rows: `place_B` numbers the M
    rollouts in their order, and is negative of the others.
    """
    from scipy.sparse import csr_matrix

    some = matrix.tocsc()[:, types]
    place = place_B[some.indices]
    kept = place >= 0
    ends = np.append(0, np.cumsum(kept))[some.indptr].astype(some.indptr.dtype)
    return csr_matrix(
        (some.data[kept], place[kept], ends), (len(types), int(place_B.max(initial=-1)) + 1)
    )


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

    def by_rollout(self, pulse: Callable[[], None] = lambda: None) -> History:
        """The same with the first and the last checkpoint as matrices by rows, which share what
        they have in common; the middle one is the last.
        """
        first, _, last = self.sums
        rows = beside(first.by_rows, pulse)
        n = rows.n if last.n is first.n else None
        ending = rows if last is first else beside(lambda: last.by_rows(n), pulse)
        return replace(self, sums=(rows, ending, ending))

    @classmethod
    def of(
        cls, corpora: Sequence[Corpus], paired: bool, pulse: Callable[[], None] = lambda: None
    ) -> History:
        """From one corpus with a loss a checkpoint, or one corpus a checkpoint."""
        types = corpora[-1].types
        found = [
            sums
            for corpus in corpora
            for sums in sums_of(corpus.summed(pulse), corpus.types, corpus.rollouts, types, pulse)
        ]
        hard_from = float(corpora[0].losses[0].mean(dtype=np.float64))
        return cls.of_checkpoints(types, found, paired, hard_from)

    @classmethod
    def of_checkpoints(
        cls, types: np.ndarray, found: Sequence[Sums], paired: bool, hard_from: float
    ) -> History:
        """The first, the middle and the last of the sums at each checkpoint."""
        middle = found[len(found) // 2] if len(found) > 2 else found[-1]
        return cls(types, (found[0], middle, found[-1]), paired, hard_from)

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
        """Bootstrap weights (D, M) that draw the M rollouts of a half, the same ones at every
        checkpoint if they are paired.
        """
        weights: list[np.ndarray] = []
        for c, half in enumerate(halves):
            if weights and self.paired:
                weights.append(weights[0])
            else:
                members = int((half[0] > 0).sum())
                none = np.zeros((draws, 0), np.float32)
                weights.append(stats.resampled(members, draws, seed + c) if members else none)
        return weights


def sums_of(
    cells: Cells,
    of_cells: np.ndarray,
    rollouts: int,
    types: np.ndarray,
    pulse: Callable[[], None] = lambda: None,
) -> list[Sums]:
    """At each checkpoint of the cells, whose types are `of_cells`, the sums of `types` alone; both
    ascend. The cells are in the order of a matrix by columns already, and what is the same at all
    checkpoints is held once.
    """
    from scipy.sparse import csc_matrix

    counts = np.zeros(len(types), np.int64)
    shared, its, mine = np.intersect1d(types, of_cells, True, return_indices=True)
    counts[its] = np.diff(cells.starts)[mine]
    known: Any = slice(None)
    if len(shared) < len(of_cells):
        is_known = np.zeros(len(of_cells), bool)
        is_known[mine] = True
        known = np.repeat(is_known, np.diff(cells.starts))
    rollout = cells.rollout[known]
    ends = np.append(0, np.cumsum(counts)).astype(rollout.dtype if len(rollout) < 2**31 else int)
    shape = (rollouts, len(types))
    found = []
    for values in (cells.n, *cells.sums):
        pulse()
        found.append(csc_matrix((values[known].astype(np.float32), rollout, ends), shape))
    n, *losses = found
    return [Sums(n, loss) for loss in losses]


def draws_for(history: History) -> int:
    """Bootstrap samples: a thousand, or two hundred where a log is so large that they would take a
    minute.
    """
    return 200 if sum(s.n.nnz for s in history.sums) > 3_000_000 else 1000
