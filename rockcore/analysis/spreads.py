"""How a number of the token types spreads in groups, ready to be drawn: counts between edges, with
what has no place on the axis told beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

_BINS = 24


class Bars(NamedTuple):
    """One group of values."""

    name: str
    counts: list[int]  # of the values between neighbouring edges
    n: int  # values, those without a place included
    median: float | None  # of all n; None where there are none
    off: int  # values that have no place on the axis, or stand at its ends though they lie beyond


class Spread(NamedTuple):
    """Groups on one axis. On a logarithmic one the edges are logarithms."""

    edges: list[float]
    groups: list[Bars]

    @property
    def n(self) -> int:
        return sum(group.n for group in self.groups)


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _bars(name: str, own: np.ndarray, at: np.ndarray, off: int, edges: np.ndarray) -> Bars:
    counts = np.histogram(at, edges)[0].tolist()
    return Bars(name, counts, len(own), float(np.median(own)) if len(own) else None, off)


def spread_between(values: Mapping[str, np.ndarray], low: float, high: float) -> Spread:
    """Each group, (N,) with NaN left out, from `low` to `high`; what lies beyond stands at the
    ends.
    """
    edges = np.linspace(low, high, _BINS + 1)
    groups = []
    for name, own in values.items():
        own = _known(own)
        at = np.clip(own, low, high)
        groups.append(_bars(name, own, at, int((at != own).sum()), edges))
    return Spread(edges.tolist(), groups)


def spread_of_logarithms(values: Mapping[str, np.ndarray]) -> Spread:
    """Each group by powers of ten: only positive values have a place, the others are `off`."""
    known = {name: _known(own) for name, own in values.items()}
    placed = {name: np.log10(own[own > 0]) for name, own in known.items()}
    every = np.concatenate(list(placed.values()))
    low, high = (np.floor(every.min()), np.ceil(every.max() + 1e-9)) if len(every) else (0.0, 1.0)
    edges = np.linspace(low, high, _BINS + 1)
    return Spread(
        edges.tolist(),
        [
            _bars(name, own, placed[name], len(own) - len(placed[name]), edges)
            for name, own in known.items()
        ],
    )


def spread_of_factors(factors: Mapping[str, np.ndarray]) -> Spread:
    """Positive factors by powers of two, as far to either side of 1, and at least to a half and to
    twice; the median is that of the logarithms.
    """
    logs = {name: np.log2(own) for name, own in factors.items()}
    every = np.abs(np.concatenate(list(logs.values())))
    most = max(1.0, float(np.ceil(every.max() * 2) / 2)) if len(every) else 1.0
    edges = np.linspace(-most, most, _BINS + 1)
    groups = [_bars(name, own, own, 0, edges) for name, own in logs.items()]
    return Spread(
        edges.tolist(),
        [g if g.median is None else g._replace(median=2.0**g.median) for g in groups],
    )
