"""The figure of one token type: its mean loss over the steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from app.charts import NEUTRAL, ROCK, STUDENT, band, finish
from app.words import loss_name

if TYPE_CHECKING:
    from app.data.token import History


def course(found: History, in_set: bool, tau: float | None, about: str) -> go.Figure:
    """Its mean at each step with the interval over texts; a dotted line at the rule's τ, if any."""
    frame, colour = found.frame, ROCK if in_set else STUDENT
    figure = go.Figure()
    band(figure, frame, colour, "mean")
    figure.add_scatter(
        x=frame.step,
        y=frame["mean"],
        mode="lines+markers",
        marker={"size": 7, "symbol": "diamond" if in_set else "circle"},
        line={"color": colour},
        showlegend=False,
        customdata=[_told(*row) for row in zip(frame.low, frame.high, frame.n, strict=True)],
        hovertemplate="step %{x}: %{y:.4f} nats<br>%{customdata}<extra></extra>",
    )
    if tau is not None:
        figure.add_hline(
            y=tau,
            line={"color": NEUTRAL, "width": 1, "dash": "dot"},
            annotation={"text": f"τ {tau:.3g}", "font": {"color": NEUTRAL}},
            annotation_position="top left",
        )
    figure.update_yaxes(rangemode="tozero")
    name = loss_name(found.column)
    return finish(
        figure,
        f"Mean {name} over the steps, 95 % over texts<br>{about}",
        "step (updates)",
        f"mean {name} (nats)",
        320,
        legend=False,
    )


def _told(low: float, high: float, n: int) -> str:
    occurrences = f"{n:,} occurrence{'s' * (n != 1)}"
    if math.isnan(low):
        return f"{occurrences}, too few texts for an interval"
    return f"95 % {low:.3g} to {high:.3g}, {occurrences}"
