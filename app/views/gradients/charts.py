"""Figures of the gradients, in the manner of charts.py: shares over steps, inequality, lengths and
cosines by group, early against late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts import CONTROL, HATCH, NEUTRAL, ROCK, STUDENT, TEACHER, finish, label
from app.components.colours import SERIES

_SHAPES = ("", "/", "x", ".", "-", "\\", "+", "|", "", "/")
_GROUPS = (
    (ROCK, "diamond", "/"),
    (CONTROL, "triangle-up", "x"),
    (NEUTRAL, "circle", ""),
)  # rocks, rare, others
_MOST_POINTS = 3_000
_PANELS = (
    ("tokens_share", "of the tokens"),
    ("kl_share", "of the kl"),
    ("gradient_share", "of the gradient norm"),
)


def shares(frame: pd.DataFrame, labels: Sequence[str], about: str) -> go.Figure:
    """Share of tokens, of kl and of gradient norm by label over the steps, stacked: step, label and
    the three shares.
    """
    figure = make_subplots(
        rows=1,
        cols=3,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[title for _, title in _PANELS],
    )
    single = frame.step.nunique() == 1
    for i, name in enumerate(labels):
        part = frame[frame.label == name]
        colour, shape = SERIES[i % len(SERIES)], _SHAPES[i % len(_SHAPES)]
        pattern = {
            "shape": shape,
            "size": 6,
            "solidity": 0.25,
            "fgcolor": "white",
            "bgcolor": colour,
            "fillmode": "replace",
        }
        for column, (share, _) in enumerate(_PANELS, 1):
            common: dict[str, Any] = {
                "x": part.step,
                "y": part[share],
                "name": label(name),
                "legendgroup": name,
                "showlegend": column == 1,
                "hovertemplate": f"step %{{x}}: %{{y:.1%}}<extra>{label(name)}</extra>",
            }
            if single:
                trace = go.Bar(
                    **common, marker={"color": colour, "pattern": pattern | {"fillmode": "overlay"}}
                )
            else:
                trace = go.Scatter(
                    **common,
                    stackgroup="all",
                    mode="lines",
                    line={"width": 0.5, "color": colour},
                    fillpattern=pattern,
                )
            figure.add_trace(trace, 1, column)
    finish(figure, f"Who takes the gradient<br>{about}", "step (updates)", "", 430)
    figure.update_layout(barmode="stack", margin_t=95, margin_b=110)
    figure.update_yaxes(range=[0, 1], tickformat=".0%", title="")
    figure.update_yaxes(title="share", col=1)
    return figure


def lorenz(curves: Mapping[str, Any], about: str) -> go.Figure:
    """Lorenz curves by what they count, each with population, held, gini and n, and the diagonal of
    equality.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": NEUTRAL, "dash": "dot"},
        name="all alike",
        hoverinfo="skip",
    )
    for (name, curve), (colour, dash) in zip(
        curves.items(), ((STUDENT, "solid"), (TEACHER, "dash")), strict=True
    ):
        figure.add_scatter(
            x=curve.population,
            y=curve.held,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2.5},
            name=f"{curve.n:,} {name}: Gini {curve.gini:.2f}",
            hovertemplate="the lower %{x:.1%} hold %{y:.1%}<extra></extra>",
        )
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    return finish(
        figure,
        f"How unequally the gradient norm is spread<br>{about}",
        "share of types or tokens, the least first",
        "share of the norm",
        400,
    )


def _bars(
    figure: go.Figure,
    at: np.ndarray,
    of: int,
    edges: np.ndarray,
    group: str,
    name: str,
    colour: str,
    shape: str,
) -> None:
    """How many places `at` fall between edges, as shares of the `of` members of a group."""
    counts, _ = np.histogram(at, edges)
    figure.add_bar(
        x=(edges[1:] + edges[:-1]) / 2,
        y=counts / max(of, 1),
        name=name,
        legendgroup=group,
        marker={"color": colour, "pattern": {"shape": shape, **HATCH}},
        customdata=counts,
        hovertemplate=f"%{{customdata}} of {of}<extra>{group}</extra>",
    )


def group_histogram(
    members: pd.DataFrame,
    groups: Sequence[str],
    column: str,
    title: str,
    axis: str,
    about: str,
    limits: tuple[float, float] | None,
) -> go.Figure:
    """How a value of the types spreads in each group, as shares of the group: group and `column`;
    NaN is left out.

    `limits`: the ends of the axis, at which what lies beyond is drawn; None for a logarithmic axis,
    on which only positive values have a place: the others are told in the legend.
    """
    values = {
        name: members.loc[members.group == name, column].dropna().to_numpy(float) for name in groups
    }
    placed = {
        name: np.log10(own[own > 0]) if limits is None else np.clip(own, *limits)
        for name, own in values.items()
    }
    known = np.concatenate(list(placed.values()))
    figure = go.Figure()
    low, high = limits or (
        (np.floor(known.min()), np.ceil(known.max() + 1e-9)) if len(known) else (0.0, 1.0)
    )
    edges = np.linspace(low, high, 25)
    for name, (colour, symbol, shape) in zip(groups, _GROUPS, strict=True):
        own, at = values[name], placed[name]
        off = (
            len(own) - len(at)
            if limits is None
            else int((np.abs(own - np.clip(own, *limits)) > 0).sum())
        )
        beyond = f", {off} {'not positive' if limits is None else 'beyond the axis'}" if off else ""
        median = f"median {np.median(own):.3g}" if len(own) else "none"
        _bars(
            figure,
            at,
            len(own),
            edges,
            name,
            f"{name}: {len(own)} values, {median}{beyond}",
            colour,
            shape,
        )
        middle = np.median(own) if len(own) else np.nan
        if middle > 0 or (limits is not None and np.isfinite(middle)):
            figure.add_scatter(
                x=[float(np.log10(middle) if limits is None else np.clip(middle, *limits))],
                y=[-0.03],
                mode="markers",
                marker={
                    "color": colour,
                    "symbol": symbol,
                    "size": 12,
                    "line": {"width": 1, "color": NEUTRAL},
                },
                legendgroup=name,
                showlegend=False,
                hovertemplate=f"median of {name}<extra></extra>",
            )
    figure.update_layout(barmode="group", bargap=0.05)
    figure.update_yaxes(tickformat=".0%", range=[-0.07, None])
    figure.update_xaxes(range=[low, high])
    if limits is None:
        ticks = np.arange(low, high + 1)
        figure.update_xaxes(tickvals=ticks, ticktext=[f"{10.0**t:g}" for t in ticks])
    return finish(figure, f"{title}<br>{about}", axis, "share of the group", 400)


def _points(
    figure: go.Figure, frame: pd.DataFrame, x: str, y: str, hover: str, **marker: Any
) -> None:
    """One trace a group, rocks on top, its points carrying token id and name."""
    for name, (colour, symbol, _) in zip(
        ("other types", "Rock Tokens"), (_GROUPS[2], _GROUPS[0]), strict=True
    ):
        part = frame[frame.in_set == (name == "Rock Tokens")]
        sizes = {
            key: value[part.index] if isinstance(value, pd.Series) else value
            for key, value in marker.items()
        }
        figure.add_scatter(
            x=part[x],
            y=part[y],
            mode="markers",
            name=f"{name}: {len(part)}",
            marker={
                "color": colour,
                "symbol": symbol,
                "line": {"width": 1, "color": NEUTRAL},
                "opacity": 0.8,
                **sizes,
            },
            customdata=np.stack(
                [part.token_id, [label(t) for t in part.shown], part.category], axis=1
            )
            if len(part)
            else None,
            hovertemplate="<b>%{customdata[1]}</b> %{customdata[2]}<br>"
            + hover
            + "<extra></extra>",
        )


def early_late(
    frame: pd.DataFrame, first: str, last: str, title: str, axis: str, about: str
) -> go.Figure:
    """A positive number of each type early against late, both logarithmic, with the diagonal:
    token_id, shown, category, in_set.
    """
    figure = go.Figure()
    frame = frame.loc[(frame[first] > 0) & (frame[last] > 0)].head(_MOST_POINTS)
    if len(frame):
        ends = [float(frame[[first, last]].min().min()), float(frame[[first, last]].max().max())]
        figure.add_scatter(
            x=ends,
            y=ends,
            mode="lines",
            line={"color": NEUTRAL, "dash": "dot"},
            name="unchanged",
            hoverinfo="skip",
        )
    _points(figure, frame, first, last, "early %{x:.4g}, late %{y:.4g}", size=9)
    figure.update_xaxes(type="log", dtick=1, tickformat="~g")
    figure.update_yaxes(type="log", dtick=1, tickformat="~g")
    return finish(figure, f"{title}<br>{about}", f"{axis}, early", f"{axis}, late", 430)


def change_histogram(
    frame: pd.DataFrame, first: str, last: str, title: str, about: str
) -> go.Figure:
    """The factor from early to late over the types, on a logarithmic axis, rocks beside the others."""
    frame = frame.loc[(frame[first] > 0) & (frame[last] > 0)]
    factors = np.log2(frame[last] / frame[first])
    most = max(1.0, float(np.ceil(np.abs(factors).max() * 2) / 2)) if len(frame) else 1.0
    edges = np.linspace(-most, most, 25)
    figure = go.Figure()
    for name, (colour, _, shape), chosen in zip(
        ("Rock Tokens", "other types"),
        (_GROUPS[0], _GROUPS[2]),
        (frame.in_set, ~frame.in_set),
        strict=True,
    ):
        own = factors[chosen]
        if not len(own):
            continue
        _bars(
            figure,
            own.to_numpy(),
            len(own),
            edges,
            name,
            f"{name}: {len(own)}, median ×{2 ** own.median():.2f}",
            colour,
            shape,
        )
    ticks = np.arange(-np.floor(most), np.floor(most) + 1)
    ticks = ticks[ticks % -(-len(ticks) // 9) == 0]
    figure.update_xaxes(tickvals=ticks, ticktext=[f"×{2.0**t:.3g}" for t in ticks])
    figure.update_yaxes(tickformat=".0%")
    figure.add_vline(x=0, line={"color": NEUTRAL, "dash": "dot"})
    figure.update_layout(barmode="group", bargap=0.05)
    return finish(figure, f"{title}<br>{about}", "late over early", "share of the types", 430)


def bubbles(frame: pd.DataFrame, about: str) -> go.Figure:
    """Frequency against mean kl; the area of a bubble is its share of the norm. `frame`:
    gradients.at_step.
    """
    frame = frame.loc[frame.kl > 0].nlargest(_MOST_POINTS, "gradient_share")
    figure = go.Figure()
    biggest = float(frame.gradient_share.max()) if len(frame) else 1.0
    sized = frame.assign(
        size=np.maximum(45 * np.sqrt(frame.gradient_share / max(biggest, 1e-12)), 3),
        category=frame.category + [f", {x:.2%} of the norm" for x in frame.gradient_share],
    )
    _points(
        figure,
        sized,
        "n",
        "kl",
        "%{x} tokens, mean kl %{y:.4g} nats",
        size=sized["size"],
        sizemode="diameter",
    )
    figure.update_xaxes(type="log", dtick=1, tickformat="~s")
    figure.update_yaxes(type="log", dtick=1, tickformat="~g")
    return finish(
        figure,
        f"Frequency, loss and gradient of each type: area is the share of the norm<br>{about}",
        "frequency (tokens)",
        "mean kl (nats)",
        480,
    )


def second_moments(frame: pd.DataFrame, about: str) -> go.Figure:
    """Frequency in the logged training texts against Adam's second moment: n, second_moment,
    token_id, shown, category, in_set.
    """
    figure = go.Figure()
    _points(
        figure,
        frame[frame.second_moment > 0].head(_MOST_POINTS),
        "n",
        "second_moment",
        "%{x} tokens, second moment %{y:.3g}",
        size=9,
    )
    figure.update_xaxes(type="log", dtick=1, tickformat="~s")
    figure.update_yaxes(type="log", tickformat="~e")
    return finish(
        figure,
        f"Adam's second moment by frequency<br>{about}",
        "frequency in logged rollouts (tokens)",
        "mean second moment of the row",
        400,
    )
