"""How much K types cover and how stable they are, in the manner of app/charts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import plotly.graph_objects as go

from app.charts import NEUTRAL, STUDENT, TEACHER, finish

if TYPE_CHECKING:
    import pandas as pd


class Marked(NamedTuple):
    """What is drawn over the curves."""

    k: int  # types in the set; 0 if it is empty
    knee: int
    enough: int  # types that hold enough of the loss
    least: float  # the Jaccard index that stability asks for
    draws: int


def cutoff(curves: pd.DataFrame, marked: Marked, about: str) -> go.Figure:
    """Coverage and stability over K: k, coverage, jaccard, low, high, nested; the K taken, how many
    types hold enough of the loss, the knee, and the bar for J. An empty set has neither K nor knee.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[*curves.k, *curves.k[::-1]],
        y=[*curves.high, *curves.low[::-1]],
        fill="toself",
        fillcolor="rgba(224,130,20,0.18)",
        line={"width": 0},
        mode="lines",
        name=f"{marked.draws} splits, middle 95 %",
        hoverinfo="skip",
    )
    lines = (
        ("coverage", "coverage", STUDENT, "solid"),
        ("Jaccard of disjoint halves", "jaccard", TEACHER, "solid"),
        ("Jaccard of nested samples (paper mode)", "nested", NEUTRAL, "dot"),
    )
    for name, column, colour, dash in lines:
        figure.add_scatter(
            x=curves.k,
            y=curves[column],
            mode="lines" if len(curves) > 1 else "markers",
            name=name,
            line={"color": colour, "dash": dash, "width": 2},
            hovertemplate="K = %{x}: %{y:.3f}<extra>" + name + "</extra>",
        )
    figure.add_hline(y=marked.least, line={"color": TEACHER, "width": 1, "dash": "dash"})
    if marked.k:
        _line(figure, marked.k, f"K = {marked.k}", "solid", "top left")
        _line(figure, marked.knee, f"knee {marked.knee}", "dot", "bottom right")
    if marked.enough and marked.enough != marked.k:
        _line(figure, marked.enough, f"{marked.enough} hold enough", "dash", "top right")
    figure.update_yaxes(range=[0, 1.05], tickformat=".0%")
    figure.update_layout(hovermode="x unified")
    return finish(
        figure,
        f"How much K types cover, and how stable they are<br>{about}",
        "K (types)",
        "share",
        380,
    )


def _line(figure: go.Figure, at: int, name: str, dash: str, where: str) -> None:
    figure.add_vline(
        x=at,
        line={"color": NEUTRAL, "width": 1, "dash": dash},
        annotation_text=name,
        annotation_position=where,
    )
