"""Occurrences in the plane of loss before by loss after, summed up so that the corner at or above
two thresholds is known without a look at those inside of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BINS, _SAMPLE, _BLOCK = 256, 2**17, 2**22


class Sums(NamedTuple):
    """Over the occurrences that are high at both ends."""

    n: int
    loss: float  # after training
    grad: float | None


class Grid:
    """K occurrences in cells of loss before by loss after. Whole cells are summed up in advance,
    and a question looks at the occurrences of one row and one column of cells.
    """

    def __init__(
        self, pre: np.ndarray, post: np.ndarray, norm: np.ndarray | None, stops: np.ndarray
    ):
        """`stops`: thresholds that lie between cells, so that whole courses of them are known."""
        self._edges = [_edges(values, stops) for values in (pre, post)]
        shape = (len(self._edges[0]) + 1, len(self._edges[1]) + 1)
        rows, columns = (
            _binned(edges, values) for edges, values in zip(self._edges, (pre, post), strict=True)
        )
        order = np.argsort(rows, kind="stable")
        rows, columns = rows[order], columns[order]
        self._losses = (pre[order], post[order])
        self._norm = None if norm is None else norm[order]
        del order
        self._by_column = np.argsort(columns, kind="stable").astype(np.int32)
        self._row_at, self._column_at = (
            _starts(of, bins) for of, bins in zip((rows, columns), shape, strict=True)
        )
        self._n, self._loss = (
            _summed_up(rows, columns, of, shape) for of in (np.ones(1), self._losses[1])
        )
        self._grad = None if self._norm is None else _summed_up(rows, columns, self._norm, shape)

    def sums(self, pre: np.float32, post: np.float32) -> Sums:
        row, column = (int(self._bin(axis, tau)) for axis, tau in enumerate((pre, post)))
        begin, end = self._row_at[row : row + 2]
        at = self._by_column[self._column_at[column] : self._column_at[column + 1]]
        at = at[np.searchsorted(at, end) :]  # in whole rows; the one that is cut has its turn here
        at = at[self._losses[1][at] >= post]
        high = (self._losses[0][begin:end] >= pre) & (self._losses[1][begin:end] >= post)
        at = np.append(begin + np.flatnonzero(high), at)
        cell = (row + 1, column + 1)
        return Sums(
            round(self._n[cell]) + len(at),
            float(self._loss[cell] + self._losses[1][at].sum(dtype=np.float64)),
            None
            if self._norm is None or self._grad is None
            else float(self._grad[cell] + self._norm[at].sum(dtype=np.float64)),
        )

    def course(self, stops: np.ndarray, axis: int | None, fixed: np.ndarray) -> list[Sums]:
        """The sums at some of the stops: of both thresholds as one where `axis` is None, else of
        that of loss before (0) or after (1) while the other stays where it is `fixed` (2,).
        """
        if axis is None:
            cells = tuple(self._bin(side, stops.astype(np.float32)) + 1 for side in (0, 1))
            n, loss = self._n[cells], self._loss[cells]
            grad = None if self._grad is None else self._grad[cells]
        else:
            n, loss, grad = self._line(self._bin(axis, stops.astype(np.float32)) + 1, axis, fixed)
        grads = [None] * len(stops) if grad is None else grad.tolist()
        return [
            Sums(*each)
            for each in zip(n.round().astype(int).tolist(), loss.tolist(), grads, strict=True)
        ]

    def _line(
        self, bins: np.ndarray, axis: int, fixed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The sums from each of `bins` on along one axis: whole cells, and what is high of those
        that the threshold of the other axis cuts.
        """
        cut = int(self._bin(1 - axis, fixed[1 - axis]))
        at = (
            self._by_column[self._column_at[cut] : self._column_at[cut + 1]]
            if axis == 0
            else np.arange(self._row_at[cut], self._row_at[cut + 1])
        )
        at = at[self._losses[1 - axis][at] >= fixed[1 - axis]]
        here = _binned(self._edges[axis], self._losses[axis][at])

        def total(summed: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
            whole = summed[:, cut + 1] if axis == 0 else summed[cut + 1]
            part = np.bincount(here, weights, len(whole))
            return (whole + part[::-1].cumsum()[::-1])[bins]

        grad = None
        if self._grad is not None and self._norm is not None:
            grad = total(self._grad, self._norm[at])
        return total(self._n, None), total(self._loss, self._losses[1][at]), grad

    def _bin(self, axis: int, tau: np.ndarray | np.float32) -> np.ndarray:
        """The bins that thresholds cut; one on an edge cuts off nothing of the bin below it."""
        return np.searchsorted(self._edges[axis], tau, side="left")


def _edges(values: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Between bins that hold about as many each, from a sample, and the stops: any edges give the
    same answers.
    """
    sample = values[:: max(1, len(values) // _SAMPLE)]
    shares = np.linspace(0, 1, _BINS + 1)[1:-1]
    even = np.quantile(sample, shares) if len(sample) else sample
    return np.union1d(even.astype(np.float32), stops.astype(np.float32))


def _binned(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(K,) the bin of each value, which is at least the edge below it."""
    found = np.empty(len(values), np.uint16)
    for at in range(0, len(values), _BLOCK):
        found[at : at + _BLOCK] = np.searchsorted(edges, values[at : at + _BLOCK], side="right")
    return found


def _starts(bins: np.ndarray, count: int) -> np.ndarray:
    """Where each bin begins among those in order, and where the last one ends."""
    return np.append(0, np.cumsum(np.bincount(bins, minlength=count)))


def _summed_up(
    rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """(rows + 1, columns + 1) float64: the sum over all cells from each one on; 0 behind the
    last.
    """
    cells = np.zeros(shape[0] * shape[1])
    for at in range(0, len(rows), _BLOCK):
        block = slice(at, at + _BLOCK)
        cell = rows[block].astype(np.int64) * shape[1] + columns[block]
        weights = None if len(values) != len(rows) else values[block]
        cells += np.bincount(cell, weights, len(cells))
    found = np.zeros((shape[0] + 1, shape[1] + 1))
    found[:-1, :-1] = cells.reshape(shape)[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1]
    return found


class Frontier:
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
        self._type, self._losses = type[first], (pre[first], post[first])

    def types(self, pre: np.float32, post: np.float32) -> int:
        """How many types are high at both ends somewhere."""
        found = self._type[(self._losses[0] >= pre) & (self._losses[1] >= post)]
        return int(len(found) > 0) + int(np.count_nonzero(np.diff(found)))

    def course(self, stops: np.ndarray, axis: int | None, fixed: np.ndarray) -> list[int]:
        """The same at each of the stops; see Grid.course."""
        if axis is None:
            type, loss = self._type, np.minimum(*self._losses)
        else:
            high = self._losses[1 - axis] >= fixed[1 - axis]
            type, loss = self._type[high], self._losses[axis][high]
        first = np.flatnonzero(np.diff(type, prepend=-1))
        best = np.sort(np.maximum.reduceat(loss, first)) if len(first) else loss
        return (len(best) - np.searchsorted(best, stops.astype(np.float32))).tolist()
