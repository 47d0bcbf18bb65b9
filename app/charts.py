"""Frame -> Plotly figure. No data access, and of Streamlit only whether the page is shown to a
hall. Each figure names unit, run, step and estimator.

Colours are those of rockcore/colours.py, mid-toned so that they read on a light and on a dark page;
symbols, dashes or patterns carry the same distinction. Token text passes
through `label`: Plotly renders markup.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from app import chart_theme, selection
from app.components.colours import CONTROL, NEUTRAL, PHASES, ROCK, SKY, STUDENT, TEACHER
from app.words import printable

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CONTROL",
    "HATCH",
    "NEUTRAL",
    "ROCK",
    "STUDENT",
    "TEACHER",
    "band",
    "finish",
    "fit",
    "label",
    "look",
    "whiskers",
]

chart_theme.teach()  # before the first figure

# Letters of a heading, and of the lines below it, that fit a phone of 390 pixels and a half of a
# small screen, in the wider letters of the system too, which stand there until Streamlit's own are
# loaded: Plotly cuts what is longer, and knows no other way.
_HEADING, _ABOUT = 43, 70
_NAME = 46  # of a legend
_LINE_PX = 18  # what one more of them takes
_IN_HALL = 4 / 3  # 16 px for 12
HATCH = {"size": 5, "fillmode": "overlay", "fgcolor": "white"}  # over a bar, with a shape


def label(shown: str) -> str:
    """A token, its whitespace made visible, that Plotly shows as it is: it reads tags and some
    entities, and &quot; is none of them.
    """
    shown = printable(shown)
    return html.escape(shown if len(shown) <= 40 else shown[:39] + "…", quote=False)


def finish(
    figure: go.Figure, title: str, x: str, y: str, height: int = 340, legend: bool = True
) -> go.Figure:
    """Heading, axes and margins. `title`: the heading and the lines below it, parted by <br>; names
    from a log are shown as they are.
    """
    figure.update_layout(look(title, height, legend))
    figure.update_xaxes(title=x, automargin=True)
    figure.update_yaxes(title=y, automargin=True)
    return fit(figure)


def fit(figure: go.Figure) -> go.Figure:
    """Names of a legend in lines that fit a phone, and the axes in the size of the layout's text
    where that is a hall's.
    """
    figure.for_each_trace(_wrap_name)
    if selection.presents():
        size = round(12 * _IN_HALL)
        about: dict[str, Any] = {"tickfont_size": size, "title_font_size": size}
        figure.update_xaxes(**about).update_yaxes(**about)
        figure.update_annotations(font_size=size)
    return figure


def _wrap_name(trace: Any) -> None:
    if trace.name and len(trace.name) > _NAME:
        trace.name = "<br>".join(textwrap.wrap(trace.name, _NAME))


def look(title: str, height: int, legend: bool = True) -> dict[str, Any]:
    """The layout that all figures share: see `finish`."""
    times = _IN_HALL if selection.presents() else 1
    first, *rest = printable(title).split("<br>")
    heading, about = _wrapped([first], _HEADING), _wrapped(rest, _ABOUT)
    more = _LINE_PX * (len(heading) - 1 + max(len(about) - 1, 0))
    text = {"font": {"size": round(12 * times)}}
    return {
        "title": {
            "text": "<br>".join(heading),
            "subtitle": {"text": "<br>".join(about), **text},
            "font": {"size": round(15 * times)},
            "x": 0,
            "xref": "container",
            "y": 1 - 10 / (height + more),
            "yanchor": "top",
            "automargin": True,
        },
        "height": round((height + more) * times),
        "margin": {
            "l": 10,
            "r": 10,
            "t": round((75 + more) * times),
            "b": round((80 if legend else 45) * times),
        },
        "legend": {
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            **text,
        },
        "hoverlabel": text,
        "hovermode": "closest",
        **(text if times != 1 else {}),
    }


def _wrapped(lines: list[str], letters: int) -> list[str]:
    """Names in them are shown as they are."""
    parts = (part for line in lines for part in textwrap.wrap(line, letters) or [""])
    return [html.escape(part, quote=False) for part in parts]


def whiskers(
    middle: Iterable[float], low: Iterable[float], high: Iterable[float], **look: Any
) -> dict[str, Any]:
    """Error bars from the ends of intervals, as Plotly wants them: by their distance from the
    middle.
    """
    ends = list(zip(middle, low, high, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [h - m for m, _, h in ends],
        "arrayminus": [m - w for m, w, _ in ends],
        **look,
    }


def band(figure: go.Figure, frame: pd.DataFrame, colour: str, group: str) -> None:
    """An interval over the steps: step, low, high; none where an end is unknown."""
    frame = frame.dropna(subset=["low", "high"])
    fill = f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},0.22)"
    figure.add_scatter(
        x=[*frame.step, *frame.step[::-1]],
        y=[*frame.high, *frame.low[::-1]],
        mode="lines",
        fill="toself",
        fillcolor=fill,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=group,
    )


def loss_curve(means: pd.DataFrame, loss: str, run: str, about: str) -> go.Figure:
    """Mean `loss` of each step's fresh rollouts with its 95 % interval: step, mean, low, high,
    interval, tokens. `about`: what the loss is.
    """
    figure = go.Figure()
    band(figure, means, STUDENT, loss)
    figure.add_scatter(
        x=means.step,
        y=means["mean"],
        mode="lines+markers",
        marker={"size": 4},
        line={"color": STUDENT},
        showlegend=False,
        customdata=means[["interval", "tokens"]],
        hovertemplate="step %{x}<br>%{y:.4f} nats<br>%{customdata[0]}"
        "<br>%{customdata[1]} tokens<extra></extra>",
    )
    figure.update_yaxes(rangemode="tozero")
    return finish(
        figure,
        f"Mean {loss} of fresh rollouts, 95 % interval over rollouts<br>{run} · {about}",
        "step (updates)",
        f"{loss} (nats)",
        legend=False,
    )


def accuracy_curve(evals: pd.DataFrame, run: str) -> go.Figure:
    """Held-out accuracy by decoding with Wilson intervals: step, decoding, n, correct, accuracy,
    low, high.
    """
    figure = go.Figure()
    styles = {"greedy": (STUDENT, "solid", "circle"), "sampled": (SKY, "dash", "diamond")}
    for decoding in sorted(set(evals.decoding)):
        frame = evals.loc[evals.decoding == decoding]
        colour, dash, symbol = styles.get(str(decoding), (NEUTRAL, "dot", "square"))
        band(figure, frame, colour, str(decoding))
        figure.add_scatter(
            x=frame.step,
            y=frame.accuracy,
            name=str(decoding),
            legendgroup=str(decoding),
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 7},
            customdata=frame[["correct", "n", "low", "high"]],
            hovertemplate="step %{x}: %{customdata[0]} of %{customdata[1]}"
            "<br>95 %: %{customdata[2]:.3f}–%{customdata[3]:.3f}<extra>%{fullData.name}</extra>",
        )
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    figure.update_xaxes(rangemode="nonnegative")
    n = "–".join(sorted({str(n) for n in (evals.n.min(), evals.n.max())}))
    return finish(
        figure,
        f"Accuracy on {n} held-out problems, 95 % Wilson interval<br>{run}",
        "step (updates)",
        "share right",
    )


def phase_times(seconds: pd.DataFrame, run: str) -> go.Figure:
    """Seconds a step spends in each phase, stacked: step, and those of sample_s, teacher_s,
    student_s, update_s and log_s that are there; each is known, or nothing could stand on it.
    """
    figure = go.Figure()
    patterns = (
        ("", "/", "x", ".", "-") if len(seconds) <= 60 else ("",) * 5
    )  # in a thin bar a pattern is noise
    for (phase, colour), pattern in zip(PHASES.items(), patterns, strict=True):
        if f"{phase}_s" not in seconds:
            continue
        figure.add_bar(
            x=seconds.step,
            y=seconds[f"{phase}_s"],
            name=phase,
            marker={"color": colour, "pattern": {"shape": pattern, **HATCH}},
            hovertemplate="step %{x}: %{y:.3f} s<extra>" + phase + "</extra>",
        )
    figure.update_layout(barmode="stack", bargap=0)
    return finish(figure, f"Time per phase of a step<br>{run}", "step (updates)", "time (s)")
