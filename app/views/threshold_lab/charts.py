"""How much K types cover and how stable they are, in the manner of app/charts.py."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.charts import NEUTRAL, STUDENT, TEACHER, finish


def cutoff(
    curves: pd.DataFrame, k: int, knee: int, least: float, draws: int, about: str
) -> go.Figure:
    """Coverage and stability over K: k, coverage, jaccard, low, high, nested; the K taken, the
    knee, and the bar for J.
    """
    figure = go.Figure()
    band = pd.concat([curves.high, curves.low[::-1]])
    figure.add_scatter(
        x=pd.concat([curves.k, curves.k[::-1]]),
        y=band,
        fill="toself",
        fillcolor="rgba(224,130,20,0.18)",
        line={"width": 0},
        mode="lines",
        name=f"95 % of {draws} splits",
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
    figure.add_hline(y=least, line={"color": TEACHER, "width": 1, "dash": "dash"})
    for at, name, where in ((k, f"K = {k}", "top right"), (knee, f"knee {knee}", "bottom right")):
        if at:
            figure.add_vline(
                x=at,
                line={"color": NEUTRAL, "width": 1, "dash": "solid" if at == k else "dot"},
                annotation_text=name,
                annotation_position=where,
            )
    figure.update_yaxes(range=[0, 1.05], tickformat=".0%")
    figure.update_layout(hovermode="x unified")
    return finish(
        figure,
        f"How much K types cover, and how stable they are<br>{about}",
        "K (types)",
        "share",
        380,
    )
