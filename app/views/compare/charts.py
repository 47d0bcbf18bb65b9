"""Two sides in one figure, in the manner of charts.py: A is teal, solid, a circle; B violet,
dashed, a diamond.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import plotly.graph_objects as go

from app.charts import NEUTRAL, band, finish, label
from app.components.colours import PAIR

if TYPE_CHECKING:
    import pandas as pd

LOOKS = {"A": (PAIR[0], "solid", "circle"), "B": (PAIR[1], "dash", "diamond")}
_SIZES = {"A": 15, "B": 10}  # where both stand at one place, both are seen
_ROW, _NAME = 24, 22  # pixels of a row, characters of its token


class Curve(NamedTuple):
    """One run over its steps: `frame` has step, low, high and what the figure draws."""

    side: str  # A or B
    name: str
    frame: pd.DataFrame


def _draw(
    figure: go.Figure, curves: list[Curve], column: str, size: int, details: list[str], hover: str
) -> None:
    for side, name, frame in curves:
        colour, dash, symbol = LOOKS[side]
        band(figure, frame, colour, side)
        figure.add_scatter(
            x=frame.step,
            y=frame[column],
            name=f"{side} · {label(name)}" if len(curves) > 1 else label(name),
            legendgroup=side,
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": size},
            customdata=frame[details],
            hovertemplate=f"step %{{x}}<br>{hover}<extra>%{{fullData.name}}</extra>",
        )


def _cursors(figure: go.Figure, cursors: dict[str, int]) -> None:
    """Where each side stands: a line in its look, its letter above the plot."""
    for side, step in cursors.items():
        colour, dash, _ = LOOKS[side]
        figure.add_vline(x=step, line={"color": colour, "dash": dash, "width": 2})
    for step in dict.fromkeys(cursors.values()):
        here = [side for side, at in cursors.items() if at == step]
        text = ", ".join(f"<b style='color:{LOOKS[side][0]}'>{side}</b>" for side in here)
        figure.add_annotation(
            x=step, y=1, yref="paper", yanchor="bottom", showarrow=False, text=text
        )


def _finish(figure: go.Figure, title: str, runs: str, about: str, y: str) -> go.Figure:
    """Runs and what is drawn on lines of their own, so that none is cut on a narrow page."""
    return finish(figure, f"{title}<br>{runs}<br>{about}", "step (updates)", y, 380).update_layout(
        margin_t=110
    )


def _runs(curves: list[Curve], cursors: dict[str, int]) -> str:
    if len(curves) == 1:
        return f"{curves[0].name} · " + " · ".join(
            f"{side} at step {step}" for side, step in cursors.items()
        )
    return "<br>".join(
        f"{side}: {name}, step {cursors[side]}" for side, name, _ in curves if side in cursors
    )


def loss_curves(curves: list[Curve], loss: str, cursors: dict[str, int], about: str) -> go.Figure:
    """Mean `loss` of each step's fresh rollouts with its 95 % interval: mean, interval, tokens."""
    figure = go.Figure()
    hover = "%{y:.4f} nats<br>%{customdata[0]}<br>%{customdata[1]} tokens"
    _draw(figure, curves, "mean", 4, ["interval", "tokens"], hover)
    _cursors(figure, cursors)
    figure.update_yaxes(rangemode="tozero")
    return _finish(
        figure,
        f"Mean {loss} of fresh rollouts",
        _runs(curves, cursors),
        f"{about}, 95 % interval over rollouts",
        f"{loss} (nats)",
    )


def accuracy_curves(curves: list[Curve], cursors: dict[str, int], decoding: str) -> go.Figure:
    """Held-out accuracy of one decoding with Wilson intervals: accuracy, n, correct."""
    figure = go.Figure()
    hover = (
        "%{customdata[0]} of %{customdata[1]}<br>95 %: %{customdata[2]:.3f}–%{customdata[3]:.3f}"
    )
    _draw(figure, curves, "accuracy", 8, ["correct", "n", "low", "high"], hover)
    _cursors(figure, cursors)
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    n = " and ".join(dict.fromkeys(str(int(curve.frame.n.max())) for curve in curves))
    about = f"{n} problems, 95 % Wilson interval"
    return _finish(
        figure, f"Held-out accuracy, {decoding}", _runs(curves, cursors), about, "share right"
    )


def ranks(rows: pd.DataFrame, about: str) -> go.Figure:
    """Where each type stands on either side, a row a type: shown, where, rank_a, rank_b (NaN: not
    there), moved, score_a, score_b.

    A filled marker is in the set of its side, an open one is not. The best rank is on the left; the
    axis is logarithmic.
    """
    figure = go.Figure()
    # one trace for all ways: a shape a row took ten times as long
    figure.add_scatter(
        x=[x for a, b in zip(rows.rank_a, rows.rank_b, strict=True) for x in (a, b, None)],
        y=[y for y in range(len(rows)) for _ in range(3)],
        mode="lines",
        line={"color": NEUTRAL, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    for side in LOOKS:
        for inside in (True, False):
            _ranks_of(figure, rows, side, inside)
    ranked = [r for r in (*rows.rank_a, *rows.rank_b) if not math.isnan(r)]
    ends = math.log10(0.8), math.log10(1.3 * max(ranked, default=2))
    figure.update_xaxes(type="log", range=ends, dtick="D2", tickformat="~s")
    title = f"Rank of each type in A and in B<br>{about}"
    finish(figure, title, "rank (1 is the highest score)", "", 175 + _ROW * len(rows))
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[label(t[:_NAME] + ("…" if len(t) > _NAME else "")) for t in rows.shown],
        range=[len(rows) - 0.4, -0.6],
        zeroline=False,
    )
    return figure.update_layout(margin_t=95, margin_b=100)


def _ranks_of(figure: go.Figure, rows: pd.DataFrame, side: str, inside: bool) -> None:
    """The markers of one side: of the types in its set, or of the others."""
    colour, _, symbol = LOOKS[side]
    column = side.lower()
    ranks, scores = rows[f"rank_{column}"], rows[f"score_{column}"]
    points = [
        (rank, y, label(shown), round(score, 4))
        for y, (rank, score, shown, where) in enumerate(
            zip(ranks, scores, rows.shown, rows["where"], strict=True)
        )
        if not math.isnan(rank) and (where in ("both", f"only {side}")) == inside
    ]
    figure.add_scatter(
        x=[rank for rank, *_ in points],
        y=[y for _, y, *_ in points],
        name=f"{side}, {'in its set' if inside else 'not in it'}: {len(points)}",
        mode="markers",
        marker={
            "color": colour,
            "symbol": symbol if inside else f"{symbol}-open",
            "size": _SIZES[side],
            "line": {"width": 2, "color": colour},
        },
        customdata=[[shown, score] for *_, shown, score in points],
        hovertemplate=f"<b>%{{customdata[0]}}</b> rank %{{x}} in {side}<br>score "
        f"%{{customdata[1]}} nats<extra>{side}</extra>",
    )
