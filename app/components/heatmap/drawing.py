"""A signal over steps as a heatmap: what is drawn, and what the browser is sent to draw it.

Colours are those of the text pane: bins of the run's own quantile scale. A step that is not logged
is hatched; a row without a value at a logged step is dotted; neither has a colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from app.components import colours
from app.components.packing import Array, Body, pack, rounded_bits
from rockcore.analysis.signals import SPOKEN, USUAL, Scale
from rockcore.analysis.steps import Surface

NOT_LOGGED, NO_VALUE = "hatched: step not logged", "dotted: no value there"
_LAST_BYTE = np.uint32(0x100)  # one step on the grid of three-byte floats


@dataclass(frozen=True)
class Heatmap:
    """What is drawn. Rows stand below each other, steps run to the right; if `flat`, rows run right
    and steps up.
    """

    surface: Surface
    scale: Scale
    title: str
    about: str  # run, texts, estimator
    rows: str  # what a row is: position, token type, category
    step: int  # the cursor
    flat: bool = False
    marked: tuple[tuple[int, int], ...] = ()  # spans of rows of the log, both ends in
    gone: str = NO_VALUE  # what a dotted cell means

    @property
    def palette(self) -> tuple[colours.Pair, ...]:
        """A pair of colours (light, dark) for each bin, one more than edges."""
        return colours.palette(len(self.scale.edges) + 1, self.scale.signed)

    def sent(self, **settings: bool) -> Body:
        """What the browser is sent: selectable, movable as `settings`."""
        surface, scale = self.surface, self.scale
        marked = [(low // surface.per, high // surface.per) for low, high in self.marked]
        said: dict[str, Any] = {
            **settings,
            "names": surface.names,
            "steps": surface.axis.steps,
            "logged": surface.axis.logged,
            "stepEdges": step_edges(surface.axis.steps),
            "edges": scale.edges,
            "legend": legend(scale),
            "anchors": anchors(scale),
            "palette": self.palette,
            "signal": SPOKEN.get(scale.name, scale.name),
            "kind": scale.kind,
            "high": scale.at(USUAL),
            "unit": scale.unit,
            "title": self.title,
            "about": self.about,
            "rows": self.rows,
            "step": self.step,
            "flat": self.flat,
            "per": surface.per,
            "marked": marked,
            "notLogged": NOT_LOGGED,
            "gone": self.gone,
            "neutral": colours.NEUTRAL,
        }
        return pack(said, {("cells",): Array(cells_sent(surface.values, scale.edges), "float")})


def step_edges(steps: list[int]) -> list[float]:
    """(S + 1) where the cell of each step begins and ends on a true axis: half-way to the next."""
    if len(steps) == 1:
        return [steps[0] - 0.5, steps[0] + 0.5]
    between = [(a + b) / 2 for a, b in zip(steps, steps[1:], strict=False)]
    return [2 * steps[0] - between[0], *between, 2 * steps[-1] - between[-1]]


def shades(values: np.ndarray, edges: list[float]) -> np.ndarray:
    """The bin of each value, as float, NaN where there is none: the edges at or below it."""
    return np.where(np.isfinite(values), np.searchsorted(edges, values, side="right"), np.nan)


def cells_sent(values: np.ndarray, edges: list[float]) -> np.ndarray:
    """Values (rows, S) as their upper three bytes will be; one that rounding would carry over an
    edge is moved back into its bin.
    """
    rounded = rounded_bits(values) & np.uint32(0xFFFFFF00)
    now, right = shades(rounded.view("<f4"), edges), shades(values, edges)
    away = (now < right) == (values > 0)  # whether the bin it belongs to is further from zero
    wrong = (now != right) & np.isfinite(values) & np.isfinite(now)
    moved = np.where(away, rounded + _LAST_BYTE, rounded - _LAST_BYTE)
    return np.where(wrong, moved, rounded).astype("<u4").view("<f4")


def number(x: float) -> str:
    """Three digits, as the browser writes them too."""
    return f"{x:.3g}".replace("-", "−")


def legend(scale: Scale) -> list[tuple[str, str]]:
    """For each bin its edge nearer the usual values, and the quantile that edge stands at."""
    if not scale.edges:
        return []
    if scale.kind == "ratio":
        return ratio_legend(scale.edges)
    shares = [f"{100 * q:.4g} %" for q in scale.quantiles] or [""] * len(scale.edges)
    ends = list(zip([number(e) for e in scale.edges], shares, strict=True))
    above = [(f"≥ {edge}", share) for edge, share in ends]
    below = [(f"< {edge}", share) for edge, share in ends]
    if not scale.signed:
        return [(below[0][0], "the rest"), *above]
    half = len(ends) // 2
    return [*below[:half], ("between", "the rest"), *above[half:]]


def ratio_legend(edges: list[float]) -> list[tuple[str, str]]:
    """The same for log2 of a ratio: the factor by which a value fell or rose at least."""
    half = len(edges) // 2
    above = [(f"× {number(2**e)}", "or more") for e in edges[half:]]
    below = [(f"÷ {number(2**-e)}", "or more") for e in edges[:half]]
    return [*below, ("about", "the same"), *above]


def anchors(scale: Scale) -> str:
    """What the colours stand for, as a heading of the legend."""
    spoken = SPOKEN.get(scale.name, scale.name)
    named = f"{spoken} ({scale.unit})" if scale.unit else spoken
    if not scale.edges:
        return f"{named}: no value is logged to set a scale by, so nothing is coloured"
    if scale.kind == "ratio":
        return f"{scale.meaning}: blue fell, orange rose"
    of = "|value| over " if scale.signed else ""
    return f"{named}, colours change at quantiles of {of}{scale.over}"
