"""Answers while a threshold moves: which occurrences are persistent at (tau_pre, tau_post), in
milliseconds at any size.

A question is a corner of the plane of both losses. The occurrences are put into cells of that plane
once, and whatever lies in whole cells is summed up in advance, so a question looks at one row and
one column of cells, and at the few occurrences of each type that no other exceeds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rockcore import stats
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.rule import RockRule
from rockcore.schema import noise_floor

_GRID = [i / 200 for i in range(201)]  # quantiles worked out in advance
_WHOLE = 4_000_000  # occurrences: of more only the upper half is prepared
_BINS, _SAMPLE, _BLOCK = 256, 2**17, 2**22


class Quantiles:
    """The quantiles of losses (N,) by linear interpolation, each worked out once."""

    def __init__(self, losses: np.ndarray, dtype: str = "float32"):
        """`dtype`: what they were computed in, which says how large their noise is."""
        self._losses, self._known = losses, dict[float, float]()
        self.floor = noise_floor(dtype)

    def __call__(self, share: float) -> float:
        if share not in self._known:
            self._known[share] = stats.quantiles(self._losses, [share])[0]
        return self._known[share]

    def prepare(self) -> None:
        """Work out a grid of them, so that a slider over it is answered in microseconds."""
        self._known |= zip(_GRID, stats.quantiles(self._losses, _GRID), strict=True)


def taus(rule: RockRule, before: Quantiles) -> tuple[float, float]:
    """tau_pre and tau_post in nats: as given, or one quantile of the loss before for both, never
    below its noise.
    """
    if rule.tau_pre is not None and rule.tau_post is not None:
        return rule.tau_pre, rule.tau_post
    value = max(before(rule.tau_quantile), before.floor)
    return value, value


class Reading(NamedTuple):
    """What is persistent at two thresholds; shares are of all occurrences of the corpus."""

    types: int
    occurrences: int
    token_share: float
    loss_share: float  # of the summed loss after training
    grad_share: (
        float | None
    )  # of the summed gradient norm after training; None where it is not logged


class Instant(NamedTuple):
    """What is known the moment a threshold moves: the thresholds in nats, and what is persistent at
    them.
    """

    tau_pre: float
    tau_post: float
    reading: Reading


class ThresholdTable:
    """A paired corpus, prepared for questions about its thresholds.

    Of a large one only occurrences whose two losses are at least `floor`, the median of the loss
    before, are kept; below it a question looks at all.
    """

    def __init__(self, corpus: Corpus):
        self.corpus = corpus
        self._n = len(corpus)
        before, after = corpus.losses[0], corpus.losses[-1]
        self.floor = _median(before) if self._n > _WHOLE else -np.inf
        kept = (before >= self.floor) & (after >= self.floor) if self._n > _WHOLE else slice(None)
        pre, post = before[kept], after[kept]
        self._frontier = _Frontier(corpus.type[kept], pre, post)
        norm = None if corpus.grad_norm is None else np.nan_to_num(corpus.grad_norm[kept])
        self._grid = _Grid(pre, post, norm)
        self.total_loss = float(after.sum(dtype=np.float64))
        self.total_grad = (
            0.0
            if corpus.grad_norm is None
            else float(np.nansum(corpus.grad_norm, dtype=np.float64))
        )

    def is_slow(self, tau_pre: float, tau_post: float) -> bool:
        """Whether every occurrence has to be looked at: below the floor, of a large corpus."""
        return bool(min(np.float32(tau_pre), np.float32(tau_post)) < self.floor)

    def read(self, tau_pre: float, tau_post: float) -> Reading:
        """Exact, whatever the thresholds."""
        pre, post = (
            np.float32(tau_pre),
            np.float32(tau_post),
        )  # as the losses are stored, and as a detection compares them
        if self.is_slow(tau_pre, tau_post):
            return self._scan(pre, post)
        return self._reading(self._frontier.types(pre, post), self._grid.sums(pre, post))

    def _scan(self, pre: np.float32, post: np.float32) -> Reading:
        high = (self.corpus.losses[0] >= pre) & (self.corpus.losses[-1] >= post)
        norm, present = self.corpus.grad_norm, np.zeros(len(self.corpus.types), bool)
        present[self.corpus.type[high]] = True
        loss = float(self.corpus.losses[-1][high].sum(dtype=np.float64))
        grad = None if norm is None else float(np.nansum(norm[high], dtype=np.float64))
        return self._reading(int(present.sum()), Sums(int(high.sum()), loss, grad))

    def _reading(self, types: int, sums: Sums) -> Reading:
        n, loss, grad = sums
        return Reading(
            types=types,
            occurrences=n,
            token_share=n / max(self._n, 1),
            loss_share=loss / self.total_loss if self.total_loss > 0 else 0.0,
            grad_share=None if grad is None or self.total_grad <= 0 else grad / self.total_grad,
        )


def _median(losses: np.ndarray) -> np.float32:
    """The lower one: no quantile from 0.5 up lies below it."""
    middle = (len(losses) - 1) // 2
    return np.partition(losses, middle)[middle]


class Sums(NamedTuple):
    """Over the occurrences that are high at both ends."""

    n: int
    loss: float  # after training
    grad: float | None


class _Grid:
    """K occurrences in cells of loss before by loss after. Whole cells are summed up in advance,
    and a question looks at the occurrences of one row and one column of cells.
    """

    def __init__(self, pre: np.ndarray, post: np.ndarray, norm: np.ndarray | None):
        self._edges = [_edges(values) for values in (pre, post)]
        rows, columns = (
            _binned(edges, values) for edges, values in zip(self._edges, (pre, post), strict=True)
        )
        order = np.argsort(rows, kind="stable")
        rows, columns = rows[order], columns[order]
        self._pre, self._post = pre[order], post[order]
        self._norm = None if norm is None else norm[order]
        del order
        self._by_column = np.argsort(columns, kind="stable").astype(np.int32)
        self._row_at, self._column_at = (_starts(of) for of in (rows, columns))
        self._n, self._loss = (_summed_up(rows, columns, of) for of in (np.ones(1), self._post))
        self._grad = None if self._norm is None else _summed_up(rows, columns, self._norm)

    def sums(self, pre: np.float32, post: np.float32) -> Sums:
        row, column = (
            int(np.searchsorted(edges, tau, side="right"))
            for edges, tau in zip(self._edges, (pre, post), strict=True)
        )
        begin, end = self._row_at[row : row + 2]
        at = self._by_column[self._column_at[column] : self._column_at[column + 1]]
        at = at[np.searchsorted(at, end) :]  # in whole rows; the one that is cut has its turn here
        at = at[self._post[at] >= post]
        high = (self._pre[begin:end] >= pre) & (self._post[begin:end] >= post)
        at = np.append(begin + np.flatnonzero(high), at)
        cell = (row + 1, column + 1)
        return Sums(
            round(self._n[cell]) + len(at),
            float(self._loss[cell] + self._post[at].sum(dtype=np.float64)),
            None
            if self._norm is None or self._grad is None
            else float(self._grad[cell] + self._norm[at].sum(dtype=np.float64)),
        )


def _edges(values: np.ndarray) -> np.ndarray:
    """Between bins that hold about as many each, from a sample: any edges give the same answers."""
    sample = values[:: max(1, len(values) // _SAMPLE)]
    shares = np.linspace(0, 1, _BINS + 1)[1:-1]
    return np.unique(np.quantile(sample, shares)).astype(np.float32) if len(sample) else sample


def _binned(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(K,) the bin of each value, which is at least the edge below it."""
    found = np.empty(len(values), np.uint16)
    for at in range(0, len(values), _BLOCK):
        found[at : at + _BLOCK] = np.searchsorted(edges, values[at : at + _BLOCK], side="right")
    return found


def _starts(bins: np.ndarray) -> np.ndarray:
    """Where each bin begins among those in order, and where the last one ends."""
    return np.append(0, np.cumsum(np.bincount(bins, minlength=_BINS)))


def _summed_up(rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(bins + 1, bins + 1) float64: the sum over all cells from each one on; 0 behind the last."""
    cells = np.zeros(_BINS * _BINS)
    for at in range(0, len(rows), _BLOCK):
        block = slice(at, at + _BLOCK)
        cell = rows[block].astype(np.int64) * _BINS + columns[block]
        weights = None if len(values) != len(rows) else values[block]
        cells += np.bincount(cell, weights, len(cells))
    found = np.zeros((_BINS + 1, _BINS + 1))
    found[:-1, :-1] = cells.reshape(_BINS, _BINS)[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1]
    return found


class _Frontier:
    """The occurrences of each type that no other of it exceeds at both ends: whether a type is high
    anywhere is told by these few.
    """

    def __init__(self, type: np.ndarray, pre: np.ndarray, post: np.ndarray):
        best = np.full(int(type.max()) + 1 if len(type) else 0, -np.inf, np.float32)
        np.maximum.at(best, type, np.minimum(pre, post))
        # whatever is higher at neither end than the best of its type is at both is exceeded by it
        left = np.flatnonzero(np.maximum(pre, post) >= best[type])
        type, pre, post = type[left], pre[left], post[left]
        order = np.lexsort((-post, -pre, type))
        type, pre, post = type[order], pre[order], post[order]
        code = type.astype(np.int64) << 32 | np.unique(post, return_inverse=True)[1]
        first = np.append(True, code[1:] > np.maximum.accumulate(code)[:-1])[: len(code)]
        self._type, self._pre, self._post = type[first], pre[first], post[first]

    def types(self, pre: np.float32, post: np.float32) -> int:
        """How many types are high at both ends somewhere."""
        found = self._type[(self._pre >= pre) & (self._post >= post)]
        return int(len(found) > 0) + int(np.count_nonzero(np.diff(found)))
