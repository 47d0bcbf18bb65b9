"""How much K types cover and how stable they are, in the manner of app/charts.py."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import plotly.graph_objects as go

from app.charts import NEUTRAL
from app.components.colours import PAIR
from app.views.threshold_lab.lines import Axis, Mark, drawn

if TYPE_CHECKING:
    import pandas as pd


class Marked(NamedTuple):
    """What is drawn over the curves."""

    k: int  # types in the set; 0 if it is empty
    knee: int
    enough: int  # types that hold enough of the loss
    least: float  # the Jaccard index that stability asks for
    draws: int


class Curves(NamedTuple):
    """Columns of RockReport.curves; None where a value is unknown."""

    k: tuple[float | None, ...]
    coverage: tuple[float | None, ...]
    jaccard: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    nested: tuple[float | None, ...]


def cutoff(curves: pd.DataFrame, marked: Marked, about: str) -> go.Figure:
    """Coverage and stability over K: k, coverage, jaccard, low, high, nested; the K taken, how many
    types hold enough of the loss, the knee, and the bar for J. An empty set has neither K nor knee.
    """
    columns = (curves[name].tolist() for name in Curves._fields)
    return _cutoff(Curves(*(tuple(map(_known, column)) for column in columns)), marked, about)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


@lru_cache(maxsize=32)  # Plotly takes longer to check a figure than the page to draw all else
def _cutoff(curves: Curves, marked: Marked, about: str) -> go.Figure:
    ks = list(curves.k)
    spread = {
        "x": [*ks, *ks[::-1]],
        "y": [*curves.high, *curves.low[::-1]],
        "fill": "toself",
        "fillcolor": "rgba(128,115,172,0.22)",
        "line": {"width": 0},
        "mode": "lines",
        "name": f"{marked.draws} splits, middle 95 %",
        "hoverinfo": "skip",
    }
    lines = (
        ("coverage", "coverage", PAIR[0], "solid"),
        ("Jaccard of disjoint halves", "jaccard", PAIR[1], "solid"),
        ("Jaccard of nested samples (paper mode)", "nested", NEUTRAL, "dot"),
    )
    traces = [
        {
            "x": ks,
            "y": list(getattr(curves, column)),
            "mode": "lines" if len(ks) > 1 else "markers",
            "name": name,
            "line": {"color": colour, "dash": dash, "width": 2},
            "hovertemplate": "K = %{x}: %{y:.3f}<extra>" + name + "</extra>",
        }
        for name, column, colour, dash in lines
    ]
    return drawn(
        [spread, *traces],
        f"How much K types cover, and how stable they are<br>{about}",
        Axis("K (types)"),
        Axis("share", {"range": [0, 1.05], "tickformat": ".0%"}),
        380,
        _marks(marked),
    )


def _marks(marked: Marked) -> list[Mark]:
    found = [Mark("y", marked.least, PAIR[1], "dash")]
    if marked.k:
        found.append(Mark("x", marked.k, NEUTRAL, "solid", f"K = {marked.k}", "top left"))
        found.append(Mark("x", marked.knee, NEUTRAL, "dot", f"knee {marked.knee}", "bottom right"))
    if marked.enough and marked.enough != marked.k:
        told = f"{marked.enough} hold enough"
        found.append(Mark("x", marked.enough, NEUTRAL, "dash", told, "top right"))
    return found
