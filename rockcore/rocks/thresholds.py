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
from rockcore.rocks.plane import Frontier, Grid, Sums
from rockcore.rocks.rule import RockRule
from rockcore.schema import noise_floor

_GRID = [i / 200 for i in range(201)]  # quantiles worked out in advance
_WHOLE = 4_000_000  # occurrences: of more only the upper half is prepared
EDGES = np.geomspace(1e-4, 20.0, 121)  # of the bars over which a hand moves a threshold


def _stops() -> np.ndarray:
    """Every edge, and between two of them the middle to three digits."""
    between = [float(f"{middle:.3g}") for middle in np.sqrt(EDGES[:-1] * EDGES[1:])]
    return np.sort(np.concatenate([EDGES, between]))


STOPS = _stops()  # where a hand can put a threshold


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


class Course(NamedTuple):
    """What is persistent at each place where a hand can put a threshold."""

    moved: tuple[str, ...]  # the fields of a rule that are moved; the other one stays
    at: list[float]  # nats, ascending
    readings: list[Reading]


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
        self._frontier = Frontier(corpus.type[kept], pre, post)
        norm = None if corpus.grad_norm is None else np.nan_to_num(corpus.grad_norm[kept])
        self._grid = Grid(pre, post, norm, STOPS)
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

    def course(self, tau_pre: float, tau_post: float, moved: tuple[str, ...]) -> Course:
        """What `read` answers at all STOPS that are not slow, at once: of both thresholds as one,
        or of the one of `moved` while the other stays. Counts are the same, sums to 1e-12.
        """
        fixed = np.array([tau_pre, tau_post], np.float32)
        axis = None if len(moved) > 1 else int(moved == ("tau_post",))
        slow = axis is not None and fixed[1 - axis] < self.floor
        stops = STOPS[:0] if slow else STOPS[STOPS.astype(np.float32) >= self.floor]
        found = self._grid.course(stops, axis, fixed)
        types = self._frontier.course(stops, axis, fixed)
        readings = [self._reading(*both) for both in zip(types, found, strict=True)]
        return Course(moved, stops.tolist(), readings)

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
