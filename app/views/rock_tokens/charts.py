"""Figures of a detection, in the manner of charts.py: funnel, cutoff curves, rock against control,
densities, class flow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts import CONTROL, HATCH, NEUTRAL, ROCK, STUDENT, finish, label

_MOST_POINTS = 4_000


def funnel(tokens: pd.DataFrame, controls: list[int], about: str, column: str) -> go.Figure:
    """Frequency against mean loss of each type, both logarithmic: rocks, types with control
    positions, the others.

    `tokens`: token_id, shown, frequency, mean, rock_score, share, category, class, in_set, ccr. The
    band holds the middle 80 % of the types of similar frequency; along a dotted line the Rock Score
    is the same. Types whose mean is 0 or less have no place on a logarithmic axis; beyond 4,000
    types the lowest scores are left out.
    """
    above = tokens.loc[tokens["mean"] > 0]
    frame = above.head(_MOST_POINTS)
    figure = go.Figure()
    _binned_band(figure, above)
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
            mode="markers",
            marker={
                "color": colour,
                "symbol": symbol,
                "size": size,
                "line": {"width": 1, "color": colour},
            },
            customdata=np.stack(
                [
                    [label(t) for t in part.shown],
                    part.rock_score.round(3),
                    (100 * part.share).round(2),
                    part.category,
                    part["class"],
                ],
                axis=1,
            )
            if len(part)
            else None,
            hovertemplate="<b>%{customdata[0]}</b> %{customdata[3]}, %{customdata[4]}<br>R = "
            "%{customdata[1]} nats, "
            f"%{{customdata[2]}} % of the {column}<br>"
            + "%{x} tokens, mean %{y:.4f} nats<extra></extra>",
        )
    figure.update_xaxes(type="log", dtick="D2", tickformat="~s")
    figure.update_yaxes(type="log", dtick="D2", tickformat="~g")
    return finish(
        figure,
        f"Token types by frequency and mean {column}<br>{about}",
        "frequency (tokens)",
        f"mean {column} (nats)",
        520,
    )


def _binned_band(figure: go.Figure, frame: pd.DataFrame) -> None:
    """Median and middle 80 % of the mean loss of the types in each doubling of frequency; bins of
    fewer than 5 types are left out.
    """
    bins = np.floor(np.log2(frame.frequency.to_numpy(dtype=float)))
    means = frame.groupby(bins)["mean"]
    rows = pd.DataFrame({q: means.quantile(q) for q in (0.1, 0.5, 0.9)})[means.size() >= 5]
    if len(rows) < 2:
        return
    x = 2.0 ** (rows.index.to_numpy() + 0.5)
    figure.add_scatter(
        x=[*x, *x[::-1]],
        y=[*rows[0.9], *rows[0.1][::-1]],
        fill="toself",
        fillcolor="rgba(140,140,140,0.18)",
        line={"width": 0},
        mode="lines",
        name="middle 80 % of types by frequency",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=rows[0.5],
        mode="lines",
        line={"color": NEUTRAL, "width": 2},
        name="their median",
        hoverinfo="skip",
    )


def _iso_scores(figure: go.Figure, frame: pd.DataFrame) -> None:
    if frame.empty:
        return
    x = np.array([frame.frequency.min(), frame.frequency.max()], dtype=float) * [0.8, 1.25]
    low, high = frame["mean"].min() * 0.8, frame["mean"].max() * 1.25
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
            name=f"{name}: {int(rows[f'n_{name}'].sum()):,} positions",
            orientation="h",
            marker={"color": colour, "pattern": {"shape": pattern, **HATCH}},
            text=[f"{100 * v:.0f} %" for v in rows[name]],
            textposition="outside",
            cliponaxis=False,
            customdata=rows[f"n_{name}"],
            hovertemplate="%{y}: %{customdata} positions, %{x:.1%}<extra>" + name + "</extra>",
        )
    figure.update_layout(barmode="group", legend={"traceorder": "reversed"})
    most = float(max(frame.rocks.max(), frame.control.max(), 0.01))
    figure.update_xaxes(tickformat=".0%", range=[0, 1.15 * most])
    return finish(
        figure,
        f"What rocks are made of, against a matched control<br>{about}",
        "share of the positions",
        "",
        120 + 48 * len(frame),
    )


def densities(frame: pd.DataFrame, about: str) -> go.Figure:
    """How dense rollouts are with rocks, under both definitions: type, occurrence (absent where
    unknown), one row a rollout.
    """
    figure = go.Figure()
    names = {
        "type": "type density: every token of a rock type",
        "occurrence": "occurrence density: kept occurrences only",
    }
    looks = {"type": (STUDENT, "/"), "occurrence": (ROCK, "")}
    edges = {
        "start": 0,
        "end": 1.0001,
        "size": 0.02 if frame.drop(columns="rollout_id").max().max() > 0.2 else 0.005,
    }
    for column in (c for c in names if c in frame):
        colour, pattern = looks[column]
        figure.add_histogram(
            x=frame[column],
            xbins=edges,
            name=f"{names[column]}, median {frame[column].median():.1%}",
            marker={"color": colour, "pattern": {"shape": pattern, **HATCH}},
            opacity=0.7,
            hovertemplate="%{x}: %{y} rollouts<extra>" + column + "</extra>",
        )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(
        tickformat=".0%",
        range=[0, min(1.0, 1.1 * float(frame.drop(columns="rollout_id").max().max()) + 0.01)],
    )
    return finish(
        figure,
        f"Rock density of each rollout, two definitions<br>{about}",
        "share of its tokens",
        "rollouts",
        360,
    )


def flow(frame: pd.DataFrame, steps: Sequence[int], about: str) -> go.Figure:
    """Types that are hard or not at the first, middle and last checkpoint: first, middle, last
    (bool), types, tokens.
    """
    places = ["first", "middle", "last"] if len(steps) > 2 else ["first", "last"]
    nodes = [(name, hard) for name in places for hard in (True, False)]
    sizes = [int(frame.types[frame[name] == hard].sum()) for name, hard in nodes]
    links = [
        (a, b, ha, hb)
        for a, b in zip(places, places[1:], strict=False)
        for ha in (True, False)
        for hb in (True, False)
    ]
    colours = {True: "rgba(224,130,20,0.45)", False: "rgba(58,130,189,0.35)"}
    across = [places.index(name) / (len(places) - 1) for name, _ in nodes]
    figure = go.Figure(
        go.Sankey(
            domain={"y": [0, 0.88]},
            textfont={
                "size": 1,
                "color": "rgba(0,0,0,0)",
            },  # its labels lie on the ribbons; ours stand beside the nodes
            node={
                "color": [ROCK if hard else STUDENT for _, hard in nodes],
                "pad": 30,
                "thickness": 16,
                "hovertemplate": "%{value} types<extra></extra>",
            },
            link={
                "source": [nodes.index((a, ha)) for a, _, ha, _ in links],
                "target": [nodes.index((b, hb)) for _, b, _, hb in links],
                "value": [
                    int(frame.types[(frame[a] == ha) & (frame[b] == hb)].sum())
                    for a, b, ha, hb in links
                ],
                "color": [colours[ha] for _, _, ha, _ in links],
                "hovertemplate": "%{value} types<extra></extra>",
            },
        )
    )
    for i, (_name, step) in enumerate(zip(places, steps, strict=True)):
        hard, easy = sizes[2 * i], sizes[2 * i + 1]
        anchor = ("left", "center", "right")[round(2 * across[2 * i])]
        figure.add_annotation(
            x=across[2 * i], y=1.0, xref="paper", yref="paper", xanchor=anchor, yanchor="bottom", showarrow=False,
            text=f"step {step}<br><b style='color:{ROCK}'>hard {hard}</b> · <b "
                 f"style='color:{STUDENT}'>not {easy}</b>",
        )  # fmt: skip
    finish(
        figure,
        f"Types that are hard, from checkpoint to checkpoint<br>{about}",
        "",
        "",
        380,
        legend=False,
    )
    return figure.update_layout(margin_t=115)


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
        name="chosen on one half, measured on the other, 95 % over rollouts",
        mode="markers",
        marker={"color": STUDENT, "size": 11, "symbol": "circle"},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": rows.high - rows.crossed,
            "arrayminus": rows.crossed - rows.low,
            "color": STUDENT,
        },
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
