"""Two sides in one figure, in the manner of charts.py: A is blue, solid, a circle; B orange,
dashed, a diamond.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts import NEUTRAL, STUDENT, TEACHER, band, finish, label

LOOKS = {"A": (STUDENT, "solid", "circle"), "B": (TEACHER, "dash", "diamond")}
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
    """The runs and what is drawn stand on lines of their own, so that none is cut on a narrow page."""
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


def kl_curves(curves: list[Curve], cursors: dict[str, int], estimator: str) -> go.Figure:
    """Mean kl of each step's fresh rollouts with its 95 % interval: kl_mean, tokens, rollouts."""
    figure = go.Figure()
    hover = "%{y:.4f} nats, 95 %: %{customdata[0]:.4f}–%{customdata[1]:.4f}<br>%{customdata[2]} tokens, %{customdata[3]} rollouts"
    _draw(figure, curves, "kl_mean", 4, ["low", "high", "tokens", "rollouts"], hover)
    _cursors(figure, cursors)
    figure.update_yaxes(rangemode="tozero")
    return _finish(
        figure,
        "Mean kl of fresh rollouts",
        _runs(curves, cursors),
        f"{estimator}, 95 % interval over rollouts",
        "kl (nats)",
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
    y = np.arange(len(rows))
    ways = np.stack(
        [rows.rank_a, rows.rank_b, np.full(len(rows), np.nan)], axis=1
    )  # one trace: a shape a row took ten times as long
    figure.add_scatter(
        x=ways.ravel(),
        y=np.repeat(y, 3),
        mode="lines",
        line={"color": NEUTRAL, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    for side, column in (("A", "a"), ("B", "b")):
        colour, _, symbol = LOOKS[side]
        inside = rows["where"].isin(["both", f"only {side}"])
        for chosen, kind, shape in (
            (inside, "in its set", symbol),
            (~inside, "not in it", f"{symbol}-open"),
        ):
            there = (chosen & rows[f"rank_{column}"].notna()).to_numpy()
            part, at = rows.loc[there], y[there]
            figure.add_scatter(
                x=part[f"rank_{column}"],
                y=at,
                name=f"{side}, {kind}: {len(part)}",
                mode="markers",
                marker={
                    "color": colour,
                    "symbol": shape,
                    "size": _SIZES[side],
                    "line": {"width": 2, "color": colour},
                },
                customdata=np.stack(
                    [[label(t) for t in part.shown], part[f"score_{column}"].round(4)], axis=1
                )
                if len(part)
                else None,
                hovertemplate=f"<b>%{{customdata[0]}}</b> rank %{{x}} in {side}<br>score "
                f"%{{customdata[1]}} nats<extra>{side}</extra>",
            )
    most = float(np.nanmax(rows[["rank_a", "rank_b"]].to_numpy(float))) if len(rows) else 1.0
    figure.update_xaxes(
        type="log", range=[np.log10(0.8), np.log10(1.3 * max(most, 2))], dtick="D2", tickformat="~s"
    )
    finish(
        figure,
        f"Rank of each type in A and in B<br>{about}",
        "rank (1 is the highest score)",
        "",
        175 + _ROW * len(rows),
    )
    figure.update_yaxes(
        tickvals=y, ticktext=[label(t[:_NAME] + ("…" if len(t) > _NAME else "")) for t in rows.shown], range=[len(rows) - 0.4, -0.6],
        zeroline=False,
    )  # fmt: skip
    return figure.update_layout(margin_t=95, margin_b=100)
