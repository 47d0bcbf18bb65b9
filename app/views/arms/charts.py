"""Frame -> Plotly figure for the Arms page. An arm has one colour, dash and symbol everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import plotly.graph_objects as go

from app.charts import HATCH, NEUTRAL, band, finish, label
from app.components.colours import ARMS, PHASES

if TYPE_CHECKING:
    import pandas as pd

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
_SYMBOLS = ("circle", "diamond", "square", "x", "triangle-up", "star", "cross", "hexagon")
LOOKS = {
    arm: (colour, dash, symbol)
    for (arm, colour), dash, symbol in zip(ARMS.items(), _DASHES, _SYMBOLS, strict=True)
}
AXES = {
    "step": "step (updates)",
    "seconds": "training time without the log (s, mean over seeds)",
    "trained": "tokens trained on (mean over seeds)",
}
_PHASES = {
    phase: (colour, shape)
    for (phase, colour), shape in zip(PHASES.items(), ("", "/", "x", ".", "-"), strict=True)
}
_ROW = 20  # pixels of a type


class Hover(NamedTuple):
    """What a point says: its value, and its interval, of low (0) and high (1)."""

    value: str
    interval: str


def _look(arm: str) -> tuple[str, str, str]:
    return LOOKS.get(arm, (NEUTRAL, "dot", "circle-open"))


def _curve(
    figure: go.Figure, arm: str, frame: pd.DataFrame, x: str, y: str, hover: Hover, name: str = ""
) -> None:
    """One arm with its interval, where one is known."""
    colour, dash, symbol = _look(arm)
    places = frame if x == "step" else frame.drop(columns="step").rename(columns={x: "step"})
    known = bool(frame.low.notna().all())
    if known:
        band(figure, places, colour, f"{arm} {name}")
    figure.add_scatter(
        x=frame[x],
        y=frame[y],
        name=label(f"{arm}{name}"),
        legendgroup=f"{arm} {name}",
        mode="lines+markers" if len(frame) <= 60 else "lines",
        line={"color": colour, "dash": dash},
        marker={"symbol": symbol if not name else f"{symbol}-open", "size": 7},
        customdata=frame[["low", "high", "seeds", "step"]],
        hovertemplate=f"step %{{customdata[3]}}<br>{hover.value}"
        f"{hover.interval if known else ', no interval'}<br>seeds: %{{customdata[2]}}"
        "<extra>%{fullData.name}</extra>",
    )


def accuracy(frames: dict[str, pd.DataFrame], decoding: str, x: str, about: str) -> go.Figure:
    """Held-out accuracy by arm over `x` of AXES: accuracy, low, high, problems."""
    figure = go.Figure()
    hover = Hover("%{y:.1%} right", ", 95 %: %{customdata[0]:.1%}–%{customdata[1]:.1%}")
    for arm, frame in frames.items():
        _curve(figure, arm, frame, x, "accuracy", hover)
    figure.update_yaxes(tickformat=".0%")
    figure.update_xaxes(rangemode="nonnegative")
    title = f"Held-out accuracy, {decoding}, 95 % over seeds and problems<br>{about}"
    return finish(figure, title, AXES[x], "share right", 400)


def differences(frames: dict[str, pd.DataFrame], y: str, about: str) -> go.Figure:
    """Each arm less the baseline over the steps: difference, low, high. `y`: what it is, with its
    unit.
    """
    figure = go.Figure()
    hover = Hover("%{y:+.4f}", ", 95 %: %{customdata[0]:+.4f} to %{customdata[1]:+.4f}")
    for arm, frame in frames.items():
        _curve(figure, arm, frame, "step", "difference", hover)
    figure.add_hline(y=0, line={"color": NEUTRAL, "width": 1})
    title = f"Difference to the baseline, paired, 95 % over seeds and problems<br>{about}"
    return finish(figure, title, AXES["step"], y, 400)


def kl(frames: dict[str, pd.DataFrame], title: str, about: str) -> go.Figure:
    """Mean kl by arm over the steps: kl, low, high."""
    figure = go.Figure()
    hover = Hover("%{y:.4f} nats", ", 95 %: %{customdata[0]:.4f}–%{customdata[1]:.4f}")
    for arm, frame in frames.items():
        _curve(figure, arm, frame, "step", "kl", hover)
    return finish(figure, f"{title}<br>{about}", AXES["step"], "kl (nats)", 400)


def rock_kl(
    rocks: dict[str, pd.DataFrame], others: dict[str, pd.DataFrame], about: str
) -> go.Figure:
    """Mean kl of the set's types, filled markers, and of all other tokens, open ones."""
    figure = go.Figure()
    hover = Hover("%{y:.4f} nats", ", 95 %: %{customdata[0]:.4f}–%{customdata[1]:.4f}")
    for name, frames in (("", rocks), (", others", others)):
        for arm, frame in frames.items():
            _curve(figure, arm, frame, "step", "kl", hover, name)
    title = f"KL of the set's types (filled) and of all others (open), 95 % over seeds<br>{about}"
    finish(figure, title, AXES["step"], "kl (nats)", 460)
    return figure.update_layout(margin_b=110)


def phase_times(costs: pd.DataFrame, about: str) -> go.Figure:
    """Seconds a step spends in each phase, a bar an arm."""
    figure = go.Figure()
    for phase, (colour, pattern) in _PHASES.items():
        figure.add_bar(
            y=[label(arm) for arm in costs.arm],
            x=costs[f"{phase}_s"],
            name=phase,
            orientation="h",
            marker={"color": colour, "pattern": {"shape": pattern, **HATCH}},
            hovertemplate="%{y}: %{x:.4f} s<extra>" + phase + "</extra>",
        )
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    title = f"Time per phase of a step, median over steps, mean over seeds<br>{about}"
    finish(figure, title, "time (s)", "", 190 + 40 * len(costs))
    figure.update_yaxes(autorange="reversed")
    return figure


def type_weights(weights: pd.DataFrame, shown: list[str], about: str) -> go.Figure:
    """The weight of each type over the steps: a row a type, `shown` as it is spelled in each row of
    `weights` (step, weight, lowest, highest).
    """
    figure = go.Figure(
        go.Heatmap(
            x=[str(step) for step in weights.step],
            y=[label(f"{token} {i}") for token, i in zip(shown, weights.token_id, strict=True)],
            z=weights.weight,
            customdata=weights[["lowest", "highest"]],
            zmin=0,
            zmax=1,
            colorscale="Cividis",
            colorbar={"title": {"text": "weight"}},
            hovertemplate="%{y} from step %{x} on: %{z:.2f}, by seed %{customdata[0]:.2f}–"
            "%{customdata[1]:.2f}<extra></extra>",
        )
    )
    rows = len(set(weights.token_id))
    title = f"Weight of token types, mean over seeds; with its id<br>{about}"
    finish(figure, title, AXES["step"], "", 150 + _ROW * rows, legend=False)
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(type="category")
    return figure
