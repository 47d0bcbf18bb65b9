"""Answers while a threshold moves: which occurrences are persistent at (tau_pre, tau_post), in
milliseconds at any size.

The occurrences are sorted once by the smaller of their two losses. Whatever is persistent at
thresholds of at least t then lies before the place of t, so a question reads only that much: a
tenth of the log where the thresholds usually stand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rockcore import stats
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.rule import RockRule
from rockcore.schema import noise_floor

_GRID = [i / 200 for i in range(201)]  # quantiles worked out in advance
_SORTED_AT_MOST = (
    30_000_000  # further ones are searched through on the rare question that reaches them
)


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
    """A paired corpus, prepared for questions about its thresholds."""

    def __init__(self, corpus: Corpus):
        self.corpus = corpus
        self._n, self._types = len(corpus), len(corpus.types)
        smaller = np.minimum(corpus.losses[0], corpus.losses[-1])
        n = len(corpus)
        kept = (
            np.argpartition(smaller, n - _SORTED_AT_MOST)[n - _SORTED_AT_MOST :]
            if n > _SORTED_AT_MOST
            else np.arange(n)
        )
        order = kept[np.argsort(-smaller[kept])]
        self._key = -smaller[order]  # ascending
        self._type, self._pre, self._post = (
            corpus.type[order],
            corpus.losses[0][order],
            corpus.losses[-1][order],
        )
        self._norm = None if corpus.grad_norm is None else np.nan_to_num(corpus.grad_norm[order])
        self._loss = self._post.cumsum(dtype=np.float64)
        self._grad = None if self._norm is None else self._norm.cumsum(dtype=np.float64)
        self.total_loss = float(corpus.losses[-1].sum(dtype=np.float64))
        self.total_grad = (
            0.0
            if corpus.grad_norm is None
            else float(np.nansum(corpus.grad_norm, dtype=np.float64))
        )

    def read(self, tau_pre: float, tau_post: float) -> Reading:
        """Exact, whatever the thresholds."""
        pre, post = (
            np.float32(tau_pre),
            np.float32(tau_post),
        )  # as the losses are stored, and as a detection compares them
        end = int(np.searchsorted(self._key, -min(pre, post), side="right"))
        if end == len(self._key) < self._n:
            return self._scan(pre, post)
        if pre == post:
            return self._reading(self._type[:end], _last(self._loss, end), _last(self._grad, end))
        inside = self._pre[:end] >= pre if pre > post else self._post[:end] >= post
        at = np.flatnonzero(inside)
        loss = float(self._post[at].sum(dtype=np.float64))
        grad = None if self._norm is None else float(self._norm[at].sum(dtype=np.float64))
        return self._reading(self._type[at], loss, grad)

    def _scan(self, pre: np.float32, post: np.float32) -> Reading:
        before, after = self.corpus.losses[0], self.corpus.losses[-1]
        at = np.flatnonzero((before >= pre) & (after >= post))
        grad = self.corpus.grad_norm
        return self._reading(
            self.corpus.type[at],
            float(after[at].sum(dtype=np.float64)),
            None if grad is None else float(np.nansum(grad[at], dtype=np.float64)),
        )

    def _reading(self, types: np.ndarray, loss: float | None, grad: float | None) -> Reading:
        present = np.zeros(self._types, bool)
        present[types] = True
        return Reading(
            types=int(present.sum()),
            occurrences=len(types),
            token_share=len(types) / max(self._n, 1),
            loss_share=(loss or 0.0) / self.total_loss if self.total_loss > 0 else 0.0,
            grad_share=None if grad is None or self.total_grad <= 0 else grad / self.total_grad,
        )


def _last(cumulated: np.ndarray | None, end: int) -> float | None:
    if cumulated is None:
        return None
    return float(cumulated[end - 1]) if end else 0.0
