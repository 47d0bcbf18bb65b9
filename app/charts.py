"""Frame -> Plotly figure. No Streamlit, no data access. Each figure names unit, run, step and estimator.

Colours are blue, orange, violet and grey, never red against green, and mid-toned so that they read on a light and on a
dark page; symbols or dashes carry the same distinction. Token text passes through `label`: Plotly renders markup.
"""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
import plotly.graph_objects as go

STUDENT, TEACHER, NEUTRAL = "#3a82bd", "#e08214", "#8c8c8c"
CATEGORY_LOOK = {
    "whitespace": ("#8c8c8c", "square"),
    "digit": ("#e08214", "circle"),
    "latex": ("#3a82bd", "diamond"),
    "markdown": ("#8073ac", "cross"),
    "operator": ("#5ab4d6", "x"),
    "discourse": ("#b35806", "star"),
    "punctuation": ("#b2abd2", "triangle-up"),
    "content": ("#35978f", "triangle-down"),
    "special": ("#6b6b9e", "pentagon"),
}
_OTHER = (NEUTRAL, "hexagon")
_MOST_POINTS = 4_000


def label(shown: str) -> str:
    """A token, its whitespace made visible, that Plotly shows as it is."""
    return html.escape(shown if len(shown) <= 40 else shown[:39] + "…", quote=True)


def _finish(figure: go.Figure, title: str, x: str, y: str, height: int = 340, legend: bool = True) -> go.Figure:
    heading, about = title.split("<br>", 1)
    figure.update_layout(
        title={
            "text": heading,
            "subtitle": {"text": about},
            "font": {"size": 15},
            "x": 0,
            "xref": "container",
            "y": 0.97,
            "yanchor": "top",
        },
        height=height,
        margin={"l": 10, "r": 10, "t": 75, "b": 80 if legend else 45},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        hovermode="closest",
    )
    figure.update_xaxes(title=x, automargin=True)
    figure.update_yaxes(title=y, automargin=True)
    return figure


def _band(figure: go.Figure, frame: pd.DataFrame, colour: str, group: str) -> None:
    x = pd.concat([frame.step, frame.step[::-1]])
    y = pd.concat([frame.high, frame.low[::-1]])
    fill = f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},0.22)"
    figure.add_scatter(
        x=x, y=y, mode="lines", fill="toself", fillcolor=fill, line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=group
    )


def kl_curve(metrics: pd.DataFrame, run: str, estimator: str) -> go.Figure:
    """Mean kl of each step's fresh rollouts with its 95 % interval: step, kl_mean, low, high, tokens, rollouts."""
    figure = go.Figure()
    _band(figure, metrics, STUDENT, "kl")
    figure.add_scatter(
        x=metrics.step,
        y=metrics.kl_mean,
        mode="lines+markers",
        marker={"size": 4},
        line={"color": STUDENT},
        showlegend=False,
        customdata=metrics[["low", "high", "tokens", "rollouts"]],
        hovertemplate="step %{x}<br>%{y:.4f} nats, 95 %: %{customdata[0]:.4f}–%{customdata[1]:.4f}"
        "<br>%{customdata[2]} tokens, %{customdata[3]} rollouts<extra></extra>",
    )
    figure.update_yaxes(rangemode="tozero")
    return _finish(
        figure,
        f"Mean kl of fresh rollouts, 95 % interval over rollouts<br>{label(run)} · {estimator}",
        "step (updates)",
        "kl (nats)",
        legend=False,
    )


def accuracy_curve(evals: pd.DataFrame, run: str) -> go.Figure:
    """Held-out accuracy by decoding with Wilson intervals: step, decoding, n, correct, accuracy, low, high."""
    figure = go.Figure()
    looks = {"greedy": (STUDENT, "solid", "circle"), "sampled": (TEACHER, "dash", "diamond")}
    for decoding, frame in evals.groupby("decoding"):
        colour, dash, symbol = looks.get(str(decoding), (NEUTRAL, "dot", "square"))
        _band(figure, frame, colour, str(decoding))
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
    n = "–".join(sorted({str(n) for n in (evals.n.min(), evals.n.max())}))
    return _finish(figure, f"Accuracy on {n} held-out problems, 95 % Wilson interval<br>{label(run)}", "step (updates)", "share right")


def phase_times(metrics: pd.DataFrame, run: str) -> go.Figure:
    """Seconds a step spends in each phase, stacked: sample_s, teacher_s, student_s, update_s, log_s."""
    figure = go.Figure()
    looks = {"sample": "#3a82bd", "teacher": "#e08214", "student": "#8073ac", "update": "#5ab4d6", "log": "#8c8c8c"}
    patterns = ("", "/", "x", ".", "-") if len(metrics) <= 60 else ("",) * 5  # in a thin bar a pattern is noise
    for (phase, colour), pattern in zip(looks.items(), patterns, strict=True):
        figure.add_bar(
            x=metrics.step,
            y=metrics[f"{phase}_s"],
            name=phase,
            marker={"color": colour, "pattern": {"shape": pattern, "size": 5, "fillmode": "overlay", "fgcolor": "#ffffff"}},
            hovertemplate="step %{x}: %{y:.3f} s<extra>" + phase + "</extra>",
        )
    figure.update_layout(barmode="stack", bargap=0)
    return _finish(figure, f"Time per phase of a step<br>{label(run)}", "step (updates)", "time (s)")


def funnel(ranking: pd.DataFrame, run: str, step: int, estimator: str) -> go.Figure:
    """Frequency against mean kl of each token type, both logarithmic; along a dotted line the Rock Score is the same.

    Types whose mean kl is 0 have no place on a logarithmic axis; beyond 4,000 types the lowest scores are left out.
    """
    frame = ranking[ranking.mean_kl > 0].head(_MOST_POINTS)
    figure = go.Figure()
    _iso_scores(figure, frame)
    for category, group in frame.groupby("category"):
        colour, symbol = CATEGORY_LOOK.get(str(category), _OTHER)
        figure.add_scatter(
            x=group.frequency,
            y=group.mean_kl,
            name=str(category),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 9, "line": {"width": 0.5, "color": NEUTRAL}},
            customdata=np.stack(
                [[label(t) for t in group.shown], group.rock_score.round(3), (100 * group.share).round(2), group["rank"]], axis=1
            ),
            hovertemplate="<b>%{customdata[0]}</b><br>rank %{customdata[3]}, R = %{customdata[1]} nats, %{customdata[2]} % of the kl"
            "<br>%{x} tokens, mean kl %{y:.4f} nats<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(type="log", dtick="D2", tickformat="~s")
    figure.update_yaxes(type="log", dtick="D2", tickformat="~g")
    return _finish(
        figure,
        f"Token types by frequency and mean kl<br>{label(run)} · step {step} · {estimator}",
        "frequency (tokens)",
        "mean kl (nats)",
        520,
    )


def _iso_scores(figure: go.Figure, frame: pd.DataFrame) -> None:
    if frame.empty:
        return
    x = np.array([frame.frequency.min(), frame.frequency.max()], dtype=float) * [0.8, 1.25]
    low, high = frame.mean_kl.min() * 0.8, frame.mean_kl.max() * 1.25
    top = np.floor(np.log10(frame.rock_score.max()))
    for exponent in np.arange(top - 3, top + 1):
        score = 10.0**exponent
        left, right = max(x[0], score / high), min(x[1], score / low)
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


def category_bars(shares: pd.DataFrame, run: str, step: int, estimator: str) -> go.Figure:
    """Share of tokens against share of kl by category: category, types, frequency, token_share, kl_share."""
    figure = go.Figure()
    frame = shares[::-1]
    bars = (("share of tokens", "token_share", NEUTRAL, "/"), ("share of kl", "kl_share", STUDENT, ""))
    for name, column, colour, pattern in bars:
        figure.add_bar(
            y=frame.category,
            x=frame[column],
            name=name,
            orientation="h",
            marker={"color": colour, "pattern": {"shape": pattern, "size": 5, "fillmode": "overlay", "fgcolor": "#ffffff"}},
            text=[f"{100 * v:.1f} %" for v in frame[column]],
            textposition="outside",
            cliponaxis=False,
            customdata=frame[["types", "frequency"]],
            hovertemplate="%{y}: %{x:.1%}<br>%{customdata[0]} types, %{customdata[1]} tokens<extra>" + name + "</extra>",
        )
    figure.update_layout(barmode="group", legend={"traceorder": "reversed"})
    figure.update_xaxes(tickformat=".0%", range=[0, 1.12 * float(max(frame.token_share.max(), frame.kl_share.max()))])
    return _finish(
        figure, f"Categories: share of tokens and of kl<br>{label(run)} · step {step} · {estimator}", "share", "", 100 + 48 * len(frame)
    )
