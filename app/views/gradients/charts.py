"""Figures of the gradients, in the manner of charts.py: shares over steps, inequality, lengths and
cosines by group, early against late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts import CONTROL, HATCH, NEUTRAL, ROCK, finish, label
from app.components.colours import CLASSES, CLEAR, PAIR, SERIES

if TYPE_CHECKING:
    import pandas as pd

_SHAPES = ("", "/", "x", ".", "-", "\\", "+", "|", "", "/")
_GROUPS = (
    (ROCK, "diamond", "/"),
    (CONTROL, "triangle-up", "x"),
    (NEUTRAL, "circle", ""),
)  # rocks, rare, others
_OUTLINE = {"width": 1, "color": NEUTRAL}
_MOST_POINTS = 3_000
_PANELS = (
    ("tokens_share", "of the tokens"),
    ("kl_share", "of the KL"),
    ("gradient_share", "of the gradient norm"),
)


def _look(name: str, by: str, order: Sequence[str]) -> tuple[str, str]:
    """Colour and pattern of a label, the same at every step and in every run."""
    at = order.index(name) if name in order else len(order)
    if by == "set":
        return (NEUTRAL, "/") if at else (ROCK, "")
    shape = _SHAPES[at % len(_SHAPES)]
    if by == "class" and at < len(CLASSES):
        return (NEUTRAL if CLASSES[at] == CLEAR else CLASSES[at][0]), shape
    return SERIES[at % len(SERIES)], shape


def _area(part: pd.DataFrame, share: str, look: tuple[str, str], single: bool) -> Any:
    """One label of one panel: a band over the steps, or where there is one step a bar."""
    colour, shape = look
    name = label(str(part.label.iloc[0]))
    common: dict[str, Any] = {
        "x": part.step,
        "y": part[share],
        "name": name,
        "legendgroup": name,
        "showlegend": share == _PANELS[0][0],
        "hovertemplate": f"step %{{x}}: %{{y:.1%}}<extra>{name}</extra>",
    }
    pattern = {
        "shape": shape,
        "size": 6,
        "solidity": 0.25,
        "fgcolor": "#ffffff",
        "bgcolor": colour,
        "fillmode": "overlay" if single else "replace",
    }
    if single:
        return go.Bar(**common, marker={"color": colour, "pattern": pattern})
    line = {"width": 0.5, "color": colour}
    return go.Scatter(**common, stackgroup="all", mode="lines", line=line, fillpattern=pattern)


def shares(
    frame: pd.DataFrame, labels: Sequence[str], about: str, by: str, order: Sequence[str]
) -> go.Figure:
    """Share of tokens, of KL and of gradient norm by label over the steps, stacked: step, label and
    the three shares. `order`: the labels that there may be, from which each has its colour.
    """
    figure = make_subplots(
        rows=1,
        cols=3,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[title for _, title in _PANELS],
    )
    single = len(set(frame.step)) == 1
    for name in labels:
        part = frame.loc[frame.label == name]
        for column, (share, _) in enumerate(_PANELS, 1):
            figure.add_trace(_area(part, share, _look(name, by, order), single), 1, column)
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
        curves.items(), ((PAIR[0], "solid"), (PAIR[1], "dash")), strict=True
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


def _middles(edges: Sequence[float]) -> list[float]:
    return [(a + b) / 2 for a, b in zip(edges, edges[1:], strict=False)]


def _bars(figure: go.Figure, spread: Any, group: Any, name: str, style: tuple[str, str]) -> None:
    """The counts of one group of a Spread, as shares of the group."""
    colour, shape = style
    figure.add_bar(
        x=_middles(spread.edges),
        y=[n / max(group.n, 1) for n in group.counts],
        name=name,
        legendgroup=group.name,
        marker={"color": colour, "pattern": {"shape": shape, **HATCH}},
        customdata=group.counts,
        hovertemplate=f"%{{customdata}} of {group.n}<extra>{group.name}</extra>",
    )


def group_histogram(spread: Any, title: str, axis: str, about: str, logarithmic: bool) -> go.Figure:
    """How a value of the types spreads in each group of a Spread, as shares of the group.

    On a logarithmic axis only positive values have a place: the others are told in the legend. On
    any other, what lies beyond its ends is drawn there, and told too.
    """
    figure = go.Figure()
    low, high = spread.edges[0], spread.edges[-1]
    for group, (colour, symbol, shape) in zip(spread.groups, _GROUPS, strict=True):
        off = f", {group.off} {'not positive' if logarithmic else 'beyond the axis'}"
        median = "none" if group.median is None else f"median {group.median:.3g}"
        name = f"{group.name}: {group.n} types, {median}{off if group.off else ''}"
        _bars(figure, spread, group, name, (colour, shape))
        if group.median is not None and (group.median > 0 or not logarithmic):
            at = math.log10(group.median) if logarithmic else min(max(group.median, low), high)
            figure.add_scatter(
                x=[at],
                y=[-0.03],
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 12, "line": _OUTLINE},
                legendgroup=group.name,
                showlegend=False,
                hovertemplate=f"median of {group.name}<extra></extra>",
            )
    figure.update_layout(barmode="group", bargap=0.05)
    figure.update_yaxes(tickformat=".0%", range=[-0.07, None])
    figure.update_xaxes(range=[low, high])
    if logarithmic:
        ticks = list(range(round(low), round(high) + 1))
        figure.update_xaxes(tickvals=ticks, ticktext=[f"{10.0**t:g}" for t in ticks])
    return finish(figure, f"{title}<br>{about}", axis, "share of the group", 400)


def _points(
    figure: go.Figure,
    frame: pd.DataFrame,
    x: str,
    y: str,
    hover: str,
    size: Callable[[float], float] | None = None,
) -> None:
    """One trace a group, rocks on top, its points carrying token id, name and category; `size`: the
    diameter for a share of the gradient, which is told too.
    """
    for name, (colour, symbol, _), inside in (
        ("other types", _GROUPS[2], False),
        ("Rock Tokens", _GROUPS[0], True),
    ):
        part = frame[frame.in_set == inside]
        details = list(part.category)
        marker: dict[str, Any] = {"size": 9}
        if size is not None:
            marker = {"size": [size(x) for x in part.gradient_share], "sizemode": "diameter"}
            details = [
                f"{category}, {share:.2%} of the norm"
                for category, share in zip(details, part.gradient_share, strict=True)
            ]
        figure.add_scatter(
            x=part[x],
            y=part[y],
            mode="markers",
            name=f"{name}: {len(part)}",
            marker={"color": colour, "symbol": symbol, "line": _OUTLINE, "opacity": 0.8, **marker},
            customdata=[
                [int(token_id), label(shown), detail]
                for token_id, shown, detail in zip(part.token_id, part.shown, details, strict=True)
            ],
            hovertemplate=f"<b>%{{customdata[1]}}</b> %{{customdata[2]}}<br>{hover}<extra></extra>",
        )


def early_late(ends: Any, title: str, axis: str, about: str) -> go.Figure:
    """A positive number of each type early against late, both logarithmic, with the diagonal: Ends
    of a change.
    """
    figure = go.Figure()
    if len(ends.frame):
        figure.add_scatter(
            x=ends.span,
            y=ends.span,
            mode="lines",
            line={"color": NEUTRAL, "dash": "dot"},
            name="unchanged",
            hoverinfo="skip",
        )
    _points(figure, ends.frame, "early", "late", "early %{x:.4g}, late %{y:.4g}")
    figure.update_xaxes(type="log", dtick=1, tickformat="~g")
    figure.update_yaxes(type="log", dtick=1, tickformat="~g")
    return finish(figure, f"{title}<br>{about}", f"{axis}, early", f"{axis}, late", 430)


def change_histogram(factors: Any, title: str, about: str) -> go.Figure:
    """The factor from early to late over the types, on a logarithmic axis, rocks beside the others:
    a Spread.
    """
    figure = go.Figure()
    for group, (colour, _, shape) in zip(factors.groups, (_GROUPS[0], _GROUPS[2]), strict=True):
        if group.n:
            name = f"{group.name}: {group.n}, median ×{group.median:.2f}"
            _bars(figure, factors, group, name, (colour, shape))
    most = math.floor(factors.edges[-1])
    ticks = [t for t in range(-most, most + 1) if t % -(-(2 * most + 1) // 9) == 0]
    figure.update_xaxes(tickvals=ticks, ticktext=[f"×{2.0**t:.3g}" for t in ticks])
    figure.update_yaxes(tickformat=".0%")
    figure.add_vline(x=0, line={"color": NEUTRAL, "dash": "dot"})
    figure.update_layout(barmode="group", bargap=0.05)
    return finish(figure, f"{title}<br>{about}", "late over early", "share of the types", 430)


def bubbles(frame: pd.DataFrame, about: str) -> go.Figure:
    """Frequency against mean kl; the area of a bubble is its share of the norm. `frame`:
    gradients.at_step, by falling share.
    """
    frame = frame[frame.kl > 0].head(_MOST_POINTS)
    biggest = max([*frame.gradient_share.head(1), 1e-12])
    figure = go.Figure()
    _points(
        figure,
        frame,
        "n",
        "kl",
        "%{x} tokens, mean KL %{y:.4g} nats",
        lambda share: max(45 * math.sqrt(share / biggest), 3),
    )
    figure.update_xaxes(type="log", dtick=1, tickformat="~s")
    figure.update_yaxes(type="log", dtick=1, tickformat="~g")
    return finish(
        figure,
        f"Frequency, loss and gradient of each type: area is the share of the norm<br>{about}",
        "frequency (tokens)",
        "mean KL (nats)",
        480,
    )


def second_moments(frame: pd.DataFrame, about: str) -> go.Figure:
    """Frequency in the logged training texts against Adam's second moment: n, second_moment,
    token_id, shown, category, in_set.
    """
    figure = go.Figure()
    positive = frame[frame.second_moment > 0].head(_MOST_POINTS)
    _points(figure, positive, "n", "second_moment", "%{x} tokens, second moment %{y:.3g}")
    figure.update_xaxes(type="log", dtick=1, tickformat="~s")
    figure.update_yaxes(type="log", tickformat="~e")
    return finish(
        figure,
        f"Adam's second moment by frequency<br>{about}",
        "frequency in logged rollouts (tokens)",
        "mean second moment of the row",
        400,
    )
