"""Figures of a detection, in the manner of app/charts.py: funnel, rock against control, densities,
class flow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from app.charts import CONTROL, HATCH, NEUTRAL, ROCK, finish, label, whiskers
from app.components.colours import EASY, HARD, VIOLET
from app.views.rock_tokens.labels import places
from app.words import loss_name, percent

if TYPE_CHECKING:
    import pandas as pd

    from app.data.rocks import Densities, Flow

_MOST_POINTS = 4_000


def funnel(
    tokens: pd.DataFrame, controls: list[int], band: pd.DataFrame, about: str, column: str
) -> go.Figure:
    """Frequency against mean loss of each type, both logarithmic: rocks, types with control
    positions, the others.

    `tokens`: token_id, shown, frequency, mean, rock_score, share, category, class, in_set, ccr.
    `band` (frequency, low, median, high) holds the middle 80 % of the types of similar frequency;
    along a dotted line the Rock Score is the same. Types whose mean is 0 or less have no place on a
    logarithmic axis; beyond 4,000 types the lowest scores are left out.
    """
    frame = tokens.loc[tokens["mean"] > 0].head(_MOST_POINTS)
    figure = go.Figure()
    _band(figure, band)
    _iso_scores(figure, frame)
    control = frame.token_id.isin(controls) & ~frame.in_set
    groups = (
        ("other types", ~frame.in_set & ~control, NEUTRAL, "circle-open", 7),
        ("types with control positions", control, CONTROL, "triangle-up", 8),
        ("Rock Tokens", frame.in_set, ROCK, "diamond", 11),
    )
    for name, chosen, colour, symbol, size in groups:
        part = frame[chosen]
        figure.add_scatter(
            x=part.frequency,
            y=part["mean"],
            name=f"{name}: {len(part)}",
            **(_names(part, frame) if name == "Rock Tokens" else {"mode": "markers"}),
            marker={
                "color": colour,
                "symbol": symbol,
                "size": size,
                "line": {"width": 1, "color": colour},
            },
            customdata=_hover(part),
            hovertemplate="<b>%{customdata[0]}</b> %{customdata[3]}, %{customdata[4]}<br>R = "
            "%{customdata[1]} nats, "
            f"%{{customdata[2]}} % of the {loss_name(column)}<br>"
            + "%{x} tokens, mean %{y:.4f} nats<extra></extra>",
        )
    figure.update_xaxes(type="log", dtick="D2", tickformat="~s")
    figure.update_yaxes(type="log", dtick="D2", tickformat="~g")
    return finish(
        figure,
        f"Token types by frequency and mean {loss_name(column)}<br>{about}",
        "frequency (tokens)",
        f"mean {loss_name(column)} (nats)",
        520,
    )


def _names(part: pd.DataFrame, frame: pd.DataFrame) -> dict[str, object]:
    """The spelling beside each point that has room for it."""
    names = [label(shown) for shown in part.shown]
    points, of = (
        list(zip(rows.frequency.tolist(), rows["mean"].tolist(), strict=True))
        for rows in (part, frame)
    )
    found = places(points, names, of)
    return {
        "mode": "markers+text",
        "text": [name for name, _ in found],
        "textposition": [place for _, place in found],
        "textfont": {"size": 13},
    }


def _hover(part: pd.DataFrame) -> list[list[object]]:
    columns = (part.shown, part.rock_score, part.share, part.category, part["class"], part.token_id)
    return [
        [label(shown), round(score, 3), round(100 * share, 2), category, name, int(token_id)]
        for shown, score, share, category, name, token_id in zip(*columns, strict=True)
    ]


def _band(figure: go.Figure, band: pd.DataFrame) -> None:
    if len(band) < 2:
        return
    x = band.frequency.tolist()
    figure.add_scatter(
        x=[*x, *x[::-1]],
        y=[*band.high, *band.low[::-1]],
        fill="toself",
        fillcolor="rgba(140,140,140,0.18)",
        line={"width": 0},
        mode="lines",
        name="middle 80 % of types by frequency",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=band["median"],
        mode="lines",
        line={"color": NEUTRAL, "width": 2},
        name="their median",
        hoverinfo="skip",
    )


def _iso_scores(figure: go.Figure, frame: pd.DataFrame) -> None:
    """Lines of equal Rock Score through the four decades below the highest."""
    if frame.empty:
        return
    first, last = min(frame.frequency) * 0.8, max(frame.frequency) * 1.25
    low, high = min(frame["mean"]) * 0.8, max(frame["mean"]) * 1.25
    top = math.floor(math.log10(max(frame.rock_score)))
    for exponent in range(top - 3, top + 1):
        score = 10.0**exponent
        left, right = max(first, score / high), min(last, score / low)
        if left < right:
            figure.add_scatter(
                x=[left, right],
                y=[score / left, score / right],
                mode="lines+text",
                text=[f"R = {score:g}", ""],
                textposition="top right",
                textfont={"size": 11, "color": NEUTRAL},
                line={"color": NEUTRAL, "width": 1, "dash": "dot"},
                hoverinfo="skip",
                showlegend=False,
            )


def category_pair(frame: pd.DataFrame, about: str) -> go.Figure:
    """Rock occurrences against the control's positions by category: category, rocks, control,
    n_rocks, n_control.
    """
    figure = go.Figure()
    rows = frame[::-1]
    for name, colour, pattern in (("control", CONTROL, "/"), ("rocks", ROCK, "")):
        figure.add_bar(
            y=rows.category,
            x=rows[name],
            name=f"{name}: {sum(rows[f'n_{name}']):,} positions",
            orientation="h",
            marker={"color": colour, "pattern": {"shape": pattern, **HATCH}},
            text=[f"{100 * v:.0f} %" for v in rows[name]],
            textposition="outside",
            cliponaxis=False,
            customdata=rows[f"n_{name}"],
            hovertemplate="%{y}: %{customdata} positions, %{x:.1%}<extra>" + name + "</extra>",
        )
    figure.update_layout(barmode="group", legend={"traceorder": "reversed"})
    most = max(*frame.rocks, *frame.control, 0.01)
    figure.update_xaxes(tickformat=".0%", range=[0, 1.15 * most])
    return finish(
        figure,
        f"What rocks are made of, against a matched control<br>{about}",
        "share of the positions",
        "",
        120 + 48 * len(frame),
    )


def densities(found: Densities, about: str) -> go.Figure:
    """How dense rollouts are with rocks, under both definitions."""
    figure = go.Figure()
    names = {
        "type": "type density: every token of a rock type",
        "occurrence": "occurrence density: kept occurrences only",
    }
    styles = {"type": (NEUTRAL, "/"), "occurrence": (ROCK, "")}
    edges = {
        "start": 0,
        "end": 1.0001,
        "size": 0.02 if found.most > 0.2 else 0.005,
    }
    for column, median in found.medians.items():
        colour, pattern = styles[column]
        figure.add_histogram(
            x=found.frame[column],
            xbins=edges,
            name=f"{names[column]}, median {percent(median)}",
            marker={"color": colour, "pattern": {"shape": pattern, **HATCH}},
            opacity=0.7,
            hovertemplate="%{x}: %{y} rollouts<extra>" + column + "</extra>",
        )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(
        tickformat=".0%",
        range=[0, min(1.0, 1.1 * found.most + 0.01)],
    )
    return finish(
        figure,
        f"Rock density of each rollout, two definitions<br>{about}",
        "share of its tokens",
        "rollouts",
        360,
    )


def flow(found: Flow, steps: Sequence[int], about: str) -> go.Figure:
    """Types that are hard or not at the first, middle and last checkpoint."""
    places = found.places
    nodes = [(name, hard) for name in places for hard in (True, False)]
    colours = {True: "rgba(168,145,43,0.45)", False: "rgba(31,158,137,0.35)"}
    across = [places.index(name) / (len(places) - 1) for name, _ in nodes]
    figure = go.Figure(
        go.Sankey(
            domain={"y": [0, 0.88]},
            # its labels lie on the ribbons; ours stand above the nodes
            textfont={"size": 1, "color": "rgba(0,0,0,0)"},
            node={
                "color": [HARD if hard else EASY for _, hard in nodes],
                "pad": 30,
                "thickness": 16,
                "hovertemplate": "%{value} types<extra></extra>",
            },
            link={
                "source": [nodes.index((places[i], hard)) for i, hard, _, _ in found.links],
                "target": [nodes.index((places[i + 1], hard)) for i, _, hard, _ in found.links],
                "value": [types for *_, types in found.links],
                "color": [colours[hard] for _, hard, _, _ in found.links],
                "hovertemplate": "%{value} types<extra></extra>",
            },
        )
    )
    for i, end in enumerate(zip(steps, found.hard, found.easy, strict=True)):
        _label_column(figure, across[2 * i], *end)
    finish(
        figure,
        f"Types that are hard, from checkpoint to checkpoint<br>{about}",
        "",
        "",
        380,
        legend=False,
    )
    return figure.update_layout(margin_t=115)


def _label_column(figure: go.Figure, x: float, step: int, hard: int, easy: int) -> None:
    """What stands above the two nodes of a checkpoint; `x`: from 0 to 1."""
    figure.add_annotation(
        x=x,
        y=1.0,
        xref="paper",
        yref="paper",
        xanchor=("left", "center", "right")[round(2 * x)],
        yanchor="bottom",
        showarrow=False,
        text=f"step {step}<br><b style='color:{HARD}'>hard {hard}</b> · "
        f"<b style='color:{EASY}'>not {easy}</b>",
    )


def group_changes(frame: pd.DataFrame, about: str) -> go.Figure:
    """Relative change of three groups of types, naive and cross-fitted: group, types, tokens,
    naive, crossed, low, high.
    """
    figure = go.Figure()
    rows = frame[::-1]
    names = [f"{g}: {t} types" for g, t in zip(rows.group, rows.types, strict=True)]
    figure.add_scatter(
        x=rows.crossed,
        y=names,
        name="chosen on one half, measured on the other, 95 % over rollouts and types",
        mode="markers",
        marker={"color": VIOLET, "size": 11, "symbol": "circle"},
        error_x=whiskers(rows.crossed, rows.low, rows.high, color=VIOLET),
        hovertemplate="%{y}: %{x:+.1%}<extra>cross-fitted</extra>",
    )
    figure.add_scatter(
        x=rows.naive,
        y=names,
        name="naive: chosen and measured on the same",
        mode="markers",
        marker={
            "color": NEUTRAL,
            "size": 11,
            "symbol": "x-thin",
            "line": {"width": 2, "color": NEUTRAL},
        },
        hovertemplate="%{y}: %{x:+.1%}<extra>naive</extra>",
    )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1})
    figure.update_xaxes(tickformat="+.0%")
    return finish(
        figure,
        f"Change of the mean from first to last checkpoint<br>{about}",
        "relative change",
        "",
        300,
    )
