"""The figures of Learn. No Streamlit, no data access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from app.charts import HATCH, NEUTRAL, ROCK, STUDENT, TEACHER, band, finish, label, whiskers
from app.components.colours import KL
from app.words import percent

if TYPE_CHECKING:
    import pandas as pd

_HEIGHT = 280


def draws(loss: list[float], mean: list[float], exact: float, title: str) -> go.Figure:
    """Losses of drawn tokens one by one, their running mean, and the KL that it hovers around."""
    n = list(range(1, len(loss) + 1))
    figure = go.Figure()
    figure.add_hline(y=0, line={"color": NEUTRAL, "width": 1})
    for name, symbol, keep in (("a draw, below 0", "x", True), ("a draw", "circle-open", False)):
        at = [i for i, value in enumerate(loss) if (value < 0) == keep]
        figure.add_scatter(
            x=[n[i] for i in at],
            y=[loss[i] for i in at],
            mode="markers",
            name=name,
            marker={"color": STUDENT, "symbol": symbol, "size": 7},
            hovertemplate="draw %{x}: %{y:.2f} nats<extra></extra>",
        )
    figure.add_scatter(
        x=n,
        y=mean,
        mode="lines",
        name="mean so far",
        line={"color": STUDENT, "width": 3},
        hovertemplate="mean of %{x}: %{y:.2f} nats<extra></extra>",
    )
    figure.add_scatter(
        x=[1, len(loss)],
        y=[exact, exact],
        mode="lines",
        name="KL",
        line={"color": KL, "dash": "dash", "width": 3},
        hovertemplate="KL %{y:.2f} nats<extra></extra>",
    )
    return finish(figure, title, "draw", "sampled loss (nats)", _HEIGHT)


def alternatives(
    names: list[str], student: list[float | None], teacher: list[float | None], title: str
) -> go.Figure:
    """What either model holds likely at one place; None where its list does not say."""
    figure = go.Figure()
    shown = [f"{i + 1} {label(name)}" for i, name in enumerate(names)]
    for who, p, colour, shape in (
        ("student", student, STUDENT, ""),
        ("teacher", teacher, TEACHER, "/"),
    ):
        figure.add_bar(
            y=shown,
            x=p,
            name=who,
            orientation="h",
            marker={"color": colour, "pattern": {"shape": shape, **HATCH}},
            hovertemplate="%{x:.1%}<extra>" + who + "</extra>",
        )
    figure.update_layout(barmode="group")
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(autorange="reversed", ticktext=[label(n) for n in names], tickvals=shown)
    return finish(figure, title, "probability", "", _HEIGHT)


def over_steps(steps: list[int], kl: list[float], title: str) -> go.Figure:
    """The kl of one place by step."""
    figure = go.Figure()
    figure.add_scatter(
        x=steps,
        y=kl,
        mode="lines+markers",
        line={"color": KL, "width": 3},
        marker={"size": 8},
        hovertemplate="step %{x}: %{y:.2f} nats<extra></extra>",
    )
    figure.update_yaxes(rangemode="tozero")
    return finish(figure, title, "step (updates)", "KL (nats)", _HEIGHT, legend=False)


def gates(counts: dict[str, int], title: str) -> go.Figure:
    """How many tokens are left behind each gate."""
    names = list(counts)
    figure = go.Figure()
    figure.add_bar(
        y=names,
        x=list(counts.values()),
        orientation="h",
        text=[f"{n:,}" for n in counts.values()],
        textposition="auto",
        marker={"color": [NEUTRAL, KL, KL, ROCK][: len(names)]},
        hovertemplate="%{y}: %{text} tokens<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed")
    return finish(figure, title, "tokens", "", 250, legend=False)


def shares(known: dict[str, tuple[float, float, float]], guess: float, title: str) -> go.Figure:
    """The part of Rock Tokens in each whole with its interval, and what the reader guessed of the
    gradient.
    """
    figure = go.Figure()
    middle = [share[0] for share in known.values()]
    names = [f"{name}: {percent(share)}" for name, share in zip(known, middle, strict=True)]
    low, high = ([share[i] for share in known.values()] for i in (1, 2))
    figure.add_bar(
        y=names,
        x=middle,
        orientation="h",
        name="Rock Tokens",
        marker={"color": ROCK},
        error_x=whiskers(middle, low, high, color=NEUTRAL),
        hovertemplate="%{y}<extra></extra>",
    )
    figure.add_scatter(
        x=[guess],
        y=names[-1:],
        mode="markers",
        name="your guess",
        marker={"symbol": "diamond-open", "size": 14, "color": NEUTRAL, "line": {"width": 3}},
        hovertemplate="you said %{x:.0%}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    return finish(figure, title, "share", "", 260)


def course(frames: dict[str, pd.DataFrame], colours: dict[str, str], title: str) -> go.Figure:
    """Mean KL over the steps of the set and of all other tokens, with intervals: who -> step, mean,
    low, high.
    """
    figure = go.Figure()
    for who, frame in frames.items():
        colour = colours[who]
        band(figure, frame, colour, who)
        figure.add_scatter(
            x=frame.step,
            y=frame["mean"],
            mode="lines+markers",
            name=who,
            legendgroup=who,
            line={"color": colour, "dash": "solid" if colour == ROCK else "dot"},
            hovertemplate="step %{x}: %{y:.3f} nats<extra>" + who + "</extra>",
        )
    # a fall by half is as steep everywhere, and all runs have one axis
    figure.update_yaxes(type="log", range=[-2, 0.9], dtick=1)
    return finish(figure, title, "step (updates)", "KL (nats)", 340)


def deltas(rows: list[dict[str, Any]], title: str) -> go.Figure:
    """What each knockout of a set did to the accuracy: name, delta, low, high (shares)."""
    middle, low, high = ([row[k] for row in rows] for k in ("delta", "low", "high"))
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1})
    shown = [f"{i + 1} {label(row['name'])}" for i, row in enumerate(rows)]
    figure.add_scatter(
        x=middle,
        y=shown,
        mode="markers",
        marker={"color": ROCK, "size": 10, "symbol": "diamond"},
        error_x=whiskers(middle, low, high, color=ROCK),
        hovertemplate="%{x:+.1%}<extra></extra>",
    )
    figure.update_xaxes(tickformat="+.1%")
    figure.update_yaxes(
        autorange="reversed", ticktext=[label(row["name"]) for row in rows], tickvals=shown
    )
    return finish(figure, title, "change of right answers", "", 280, legend=False)
