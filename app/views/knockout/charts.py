"""Figures of a screen, in the manner of app/charts.py: every candidate by what its knockout did to
the answers, and one predictor against it.

A verdict has a colour and a shape: to the left a Pillar falls, to the right a stumbling block
rises. Δ is in points: hundredths of the accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import plotly.graph_objects as go

from app.charts import NEUTRAL, finish, label, whiskers
from app.components.colours import VERDICTS

if TYPE_CHECKING:
    import pandas as pd

LOOKS = {  # verdict -> colour, symbol
    verdict: (colour, symbol)
    for (verdict, colour), symbol in zip(
        VERDICTS.items(), ("triangle-left", "triangle-right", "diamond", "circle-open"), strict=True
    )
}
_ROW, _NAME = 22, 22  # pixels of a row, characters of its name


class Bands(NamedTuple):
    """What a Δ is held against, in shares of the answers; None where there is none."""

    epsilon: float
    sham_low: float | None
    sham_high: float | None
    shams: int


def points(share: float) -> float:
    """A share of the answers in hundredths of them."""
    return 100 * share


def deltas(
    rows: pd.DataFrame, names: Sequence[str], bands: Bands, picked: str, about: str
) -> go.Figure:
    """Every candidate with its 95 % interval, a row each, as they come: candidate, verdict, delta,
    low, high, changed, needed. `names` (a row each); `picked`: the candidate that is opened.
    """
    figure = go.Figure()
    _bands(figure, len(rows), bands)
    places = dict(zip(rows.candidate, range(len(rows)), strict=True))
    if picked in places:
        low, high = places[picked] - 0.5, places[picked] + 0.5
        look: dict[str, Any] = {"line_width": 0, "fillcolor": NEUTRAL, "opacity": 0.2}
        figure.add_hrect(low, high, layer="below", **look)
    for verdict in LOOKS:
        _verdict(figure, rows, names, verdict)
    _needed(figure, rows)
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1})
    finish(
        figure,
        f"Accuracy without each token, minus with it<br>{about}<br>95 % intervals over problems",
        "Δ (points of accuracy)",
        "",
        height := 220 + _ROW * len(rows),
    )
    figure.update_xaxes(tickformat="+~g", zeroline=False)
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[label(n[:_NAME] + ("…" if len(n) > _NAME else "")) for n in names],
        range=[len(rows) - 0.4, -0.6],
        zeroline=False,
        showgrid=False,
    )
    return figure.update_layout(margin_t=95, margin_b=125, title_y=1 - 15 / height)


def _bands(figure: go.Figure, rows: int, bands: Bands) -> None:
    """±ε, plain, and where 95 % of the shams lie, hatched."""
    epsilon, plural = bands.epsilon, "s" * (bands.epsilon != 0.01)
    name = f"±ε = {points(epsilon):g} point{plural}"
    _band(figure, rows, (-epsilon, epsilon), name, "rgba(140,140,140,0.22)", "")
    if bands.sham_low is not None and bands.sham_high is not None:
        ends, name = (bands.sham_low, bands.sham_high), f"placebo: 95 % of {bands.shams} shams"
        _band(figure, rows, ends, name, "rgba(90,180,214,0.10)", "/")


def _band(
    figure: go.Figure, rows: int, ends: tuple[float, float], name: str, fill: str, shape: str
) -> None:
    low, high = map(points, ends)
    pattern = {"shape": shape, "size": 7, "solidity": 0.15, "fgcolor": NEUTRAL, "bgcolor": fill}
    figure.add_scatter(
        x=[low, high, high, low],
        y=[-0.6, -0.6, rows - 0.4, rows - 0.4],
        mode="lines",
        fill="toself",
        fillcolor=fill,
        **({"fillpattern": pattern} if shape else {}),
        line={"width": 0},
        name=name,
        hoverinfo="skip",
    )


def _verdict(figure: go.Figure, rows: pd.DataFrame, names: Sequence[str], verdict: str) -> None:
    """The candidates of one verdict, with their intervals."""
    colour, symbol = LOOKS[verdict]
    at = [i for i, each in enumerate(rows.verdict) if each == verdict]
    part = rows.iloc[at]
    middle, low, high = ([points(v) for v in part[c]] for c in ("delta", "low", "high"))
    figure.add_scatter(
        x=middle,
        y=at,
        name=f"{verdict}: {len(part)}",
        mode="markers",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": 11,
            "line": {"width": 2, "color": colour},
        },
        error_x=whiskers(middle, low, high, color=colour, width=3),
        customdata=[
            [key, label(names[i]), w, h, points(changed)]
            for key, i, w, h, changed in zip(
                part.candidate, at, low, high, part.changed, strict=True
            )
        ],
        hovertemplate="<b>%{customdata[1]}</b> Δ %{x:+.2f} points, 95 %: %{customdata[2]:+.2f} to "
        "%{customdata[3]:+.2f}<br>%{customdata[4]:.0f} % of the rollouts changed"
        f"<extra>{verdict}</extra>",
    )


def _needed(figure: go.Figure, rows: pd.DataFrame) -> None:
    """A frame around what the answer itself is written with."""
    at = [i for i, needed in enumerate(rows.needed) if needed]
    if at:
        figure.add_scatter(
            x=[points(d) for d in rows.delta.iloc[at]],
            y=at,
            name=f"needed by the answer itself: {len(at)}",
            mode="markers",
            marker={"color": NEUTRAL, "symbol": "square-open", "size": 18, "line": {"width": 1.5}},
            hoverinfo="skip",
        )


def predictor(rows: pd.DataFrame, names: Sequence[str], column: str, axis: str, title: str) -> Any:
    """Δ of each candidate against one predictor, with its interval faint: `column`, delta, low,
    high, verdict. Candidates for which the predictor is not known are left out.
    """
    figure = go.Figure()
    for verdict, (colour, symbol) in LOOKS.items():
        at = [
            i
            for i, (x, each) in enumerate(zip(rows[column], rows.verdict, strict=True))
            if each == verdict and x == x
        ]
        part = rows.iloc[at]
        middle, low, high = ([points(v) for v in part[c]] for c in ("delta", "low", "high"))
        figure.add_scatter(
            x=part[column],
            y=middle,
            mode="markers",
            name=verdict,
            marker={
                "color": colour,
                "symbol": symbol,
                "size": 9,
                "line": {"width": 1.5, "color": colour},
            },
            error_y=whiskers(
                middle, low, high, color="rgba(140,140,140,0.4)", thickness=1, width=0
            ),
            customdata=[[label(names[i])] for i in at],
            hovertemplate=f"<b>%{{customdata[0]}}</b> Δ %{{y:+.2f}} points<br>{axis}: %{{x:.4g}}"
            f"<extra>{verdict}</extra>",
        )
    figure.add_hline(y=0, line={"color": NEUTRAL, "width": 1})
    finish(figure, title, axis, "Δ (points)", 300, legend=False)
    return figure.update_layout(showlegend=False, margin_t=70, margin_b=50)
