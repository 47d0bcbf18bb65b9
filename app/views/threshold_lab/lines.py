"""Lines with marks across them, for a figure that is drawn again with every move of a hand.

Plotly is given the figure at once: one addition after the other takes it ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import plotly.graph_objects as go

from app.charts import look


class Axis(NamedTuple):
    """An axis of a figure that is `drawn`."""

    title: str
    more: dict[str, Any] = {}


class Mark(NamedTuple):
    """A line across a figure that is `drawn`: at `at` of the axis `axis`, x or y; `where` its name
    stands, "top left".
    """

    axis: str
    at: float
    colour: str
    dash: str
    name: str = ""
    where: str = ""


def drawn(
    lines: list[dict[str, Any]],
    title: str,
    x: Axis,
    y: Axis,
    height: int,
    marks: Iterable[Mark],
) -> go.Figure:
    """Lines with marks, in the look of all figures."""
    marks = list(marks)
    axes = (("xaxis", x), ("yaxis", y))
    return go.Figure(
        data=[{"type": "scatter", **line} for line in lines],
        layout={
            **look(title, height),
            **{
                name: {"title": {"text": axis.title}, "automargin": True, **axis.more}
                for name, axis in axes
            },
            "shapes": [_line(mark) for mark in marks],
            "annotations": [_name(mark) for mark in marks if mark.name],
        },
    )


def _line(mark: Mark) -> dict[str, Any]:
    at, other = mark.axis, "y" if mark.axis == "x" else "x"
    return {
        "type": "line",
        f"{at}0": mark.at,
        f"{at}1": mark.at,
        f"{at}ref": at,
        f"{other}0": 0,
        f"{other}1": 1,
        f"{other}ref": f"{other} domain",
        "line": {"color": mark.colour, "width": 1, "dash": mark.dash},
    }


def _name(mark: Mark) -> dict[str, Any]:
    """Beside its line, as Plotly's `add_vline` puts it."""
    high, side = mark.where.split()
    return {
        "text": mark.name,
        "showarrow": False,
        "x": mark.at,
        "xref": "x",
        "xanchor": "right" if side == "left" else "left",
        "y": 1 if high == "top" else 0,
        "yref": "y domain",
        "yanchor": high,
    }
