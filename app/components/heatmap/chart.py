"""A signal over steps as a heatmap, in the manner of charts.py, and what its two painters share:
Plotly here, app/heatmap.

Colours are those of the text pane: bins of the run's own quantile scale, viridis, and blue–orange
around zero. The rare, large values stand out most in both themes. A step that is not logged is
hatched; a row without a value at a logged step is dotted; neither has a colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from app.charts import NEUTRAL, finish, label

_CLEAR = "rgba(0,0,0,0)"
# (on a light page, on a dark one), from low to high, as in app/token_pane; there, too, the most
# usual bin shows the page
SEQUENTIAL = (
    ("#f6f7cf", "#2b2550"),
    ("#e6f0a0", "#352d68"),
    ("#c5e58a", "#3e4989"),
    ("#8fd3a0", "#31688e"),
    ("#4fb8a0", "#26828e"),
    ("#2a938f", "#1f9e89"),
    ("#32708e", "#35b779"),
    ("#40478a", "#9bd93c"),
    ("#440154", "#fde725"),
)
DIVERGING = (
    ("#08519c", "#9ecae1"),
    ("#2f7fbc", "#6aaad4"),
    ("#6baed6", "#3a82bd"),
    ("#a9cfe6", "#2a5f8f"),
    ("#dcebf6", "#1c3a57"),
    (_CLEAR, _CLEAR),
    ("#fdeeda", "#4a2c14"),
    ("#fdd0a2", "#7a4516"),
    ("#fd9a3e", "#c96a1b"),
    ("#d9680f", "#ef9237"),
    ("#a63603", "#ffc078"),
)
NOT_LOGGED, NO_VALUE = "hatched: step not logged", "dotted: no value there"
# beyond, a figure of Plotly weighs more than a megabyte; from 50,000 on it is slow, too, and a
# canvas is not
MOST_CELLS = 30_000
_MOST_TICKS = 40


@dataclass(frozen=True)
class Heatmap:
    """What a painter needs. Rows stand below each other, steps run to the right; if `flat`, rows
    run right and steps up.
    """

    values: np.ndarray  # (R, S), NaN where there is no value
    names: list[str]  # R, whitespace made visible
    steps: list[int]
    logged: list[bool]  # S
    edges: list[float]
    quantiles: list[float]
    signed: bool
    signal: str
    unit: str
    title: str
    about: str  # run, texts, estimator
    rows: str  # what a row is: position, token type, category
    step: int  # the cursor
    flat: bool = False
    per: int = 1  # rows of the log in one row here
    marked: tuple[tuple[int, int], ...] = ()  # spans of rows that are selected, both ends in
    gone: str = NO_VALUE  # what a dotted cell means

    @property
    def palette(self) -> tuple[tuple[str, str], ...]:
        """A pair of colours (light, dark) for each bin, one more than edges."""
        bins = len(self.edges) + 1
        if self.signed and bins == len(DIVERGING):
            return DIVERGING
        last = len(SEQUENTIAL) - 1
        return (
            (_CLEAR, _CLEAR),
            *(SEQUENTIAL[int(i * last / max(bins - 2, 1) + 0.5)] for i in range(bins - 1)),
        )

    @property
    def quantity(self) -> str:
        return f"{self.signal} ({self.unit})" if self.unit else self.signal

    @property
    def step_edges(self) -> np.ndarray:
        """(S + 1,) where the cell of each step begins and ends on a true axis: half-way to the
        next.
        """
        steps = np.array(self.steps, float)
        if len(steps) == 1:
            return np.array([steps[0] - 0.5, steps[0] + 0.5])
        between = (steps[1:] + steps[:-1]) / 2
        return np.array([2 * steps[0] - between[0], *between, 2 * steps[-1] - between[-1]])

    @property
    def row_edges(self) -> np.ndarray:
        """(R + 1,) in rows of the log, so that the axis counts positions whatever is binned."""
        return np.arange(len(self.names) + 1) * self.per - 0.5


def shades(values: np.ndarray, edges: list[float]) -> np.ndarray:
    """The bin of each value, as float, NaN where there is none: how many edges lie at or below it."""
    return np.where(np.isfinite(values), np.searchsorted(edges, values, side="right"), np.nan)


def rows_within(span: tuple[float, float], rows: int, per: int = 1) -> tuple[int, int] | None:
    """The first and last row of the log whose cell a box from one end of `span` to the other covers
    at its middle.

    A box narrower than a cell takes the cell it lies in; None if it lies outside.
    """
    low, high = sorted(span)
    first, last = int(np.ceil(low)), int(np.floor(high))
    if first > last:
        first = last = int(np.floor((low + high) / 2 + 0.5))
    if per > 1:
        first, last = (
            int(np.floor(low + 0.5)) // per * per,
            int(np.floor(high + 0.5)) // per * per + per - 1,
        )
    return None if last < 0 or first >= rows else (max(first, 0), min(last, rows - 1))


def number(x: float) -> str:
    return f"{x:.3g}".replace("-", "−")


def edge_label(edge: float, quantile: float) -> str:
    return f"{number(edge)} · {100 * quantile:.4g} %"


def figure(chart: Heatmap, dark: bool) -> go.Figure:
    """The heatmap in Plotly. A box over it selects rows; Plotly keeps the box, `marked` is drawn
    from what was made of it.
    """
    fig = go.Figure(_cells(chart, dark))
    gapped = _gaps(fig, chart)
    _frames(fig, chart, *(("#ffffff", "#000000") if dark else ("#000000", "#ffffff")))
    steps, rows = "step (updates)", f"{chart.rows} (tokens)" if chart.flat else chart.rows
    along, across = (rows, steps) if chart.flat else (steps, rows)
    most = 34 if chart.flat else 24
    size = len(chart.steps) if chart.flat else len(chart.names)
    height = int(np.clip(most * size, 210, 640)) + (165 if gapped else 140)
    finish(fig, f"{chart.title}<br>{chart.about}", along, across, height, legend=gapped)
    fig.update_layout(dragmode="select", selectdirection="h" if chart.flat else "v", margin_r=5)
    fig.update_xaxes(
        showgrid=False,
        zeroline=False,
        range=_range(chart.row_edges if chart.flat else chart.step_edges),
    )
    fig.update_yaxes(
        showgrid=False,
        zeroline=False,
        range=_range(chart.step_edges if chart.flat else chart.row_edges[::-1]),
    )
    _ticks(fig, chart)
    return fig


def _range(edges: np.ndarray) -> list[float]:
    return [float(edges[0]), float(edges[-1])]


def _cells(chart: Heatmap, dark: bool) -> go.Heatmap:
    bins, values = shades(chart.values, chart.edges), chart.values
    names = [label(name) for name in chart.names]
    text = np.repeat(np.array(names, dtype=object)[:, None], len(chart.steps), axis=1)
    if chart.flat:
        bins, values, text = bins.T, values.T, text.T
    colours = [pair[dark] for pair in chart.palette]
    scale = [[(i + j) / len(colours), c] for i, c in enumerate(colours) for j in (0, 1)]
    place = "position %{x}, step %{y}" if chart.flat else "step %{x}"
    return go.Heatmap(
        z=bins.astype(np.float32),
        x=chart.row_edges if chart.flat else chart.step_edges,
        y=chart.step_edges if chart.flat else chart.row_edges,
        customdata=values.astype(np.float32),
        text=text,
        hovertemplate=f"<b>%{{text}}</b><br>{place}<br>{chart.signal} %{{customdata:.4g}} "
        f"{chart.unit}<extra></extra>",
        hoverongaps=False,
        colorscale=scale,
        zmin=-0.5,
        zmax=len(colours) - 0.5,
        colorbar={
            "title": {"text": chart.quantity, "side": "top"},
            "tickvals": [i + 0.5 for i in range(len(chart.edges))],
            "ticktext": [
                edge_label(*pair) for pair in zip(chart.edges, chart.quantiles, strict=True)
            ],
            "thickness": 14,
            "len": 1,
            "outlinewidth": 1,
            "outlinecolor": NEUTRAL,
        },
    )


def gaps(chart: Heatmap) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Steps that are not logged, as indices, and runs of rows without a value at a logged step:
    (step, first row, last row).
    """
    runs = []
    for s in np.flatnonzero(chart.logged):
        empty = np.flatnonzero(~np.isfinite(chart.values[:, s]))
        for part in np.split(empty, np.flatnonzero(np.diff(empty) > 1) + 1) if len(empty) else []:
            runs.append((int(s), int(part[0]), int(part[-1])))
    return [s for s, there in enumerate(chart.logged) if not there], runs


def _gaps(fig: go.Figure, chart: Heatmap) -> bool:
    """Hatch what has no colour; returns whether there is any."""
    missing, empty = gaps(chart)
    last = len(chart.names) - 1
    kinds = (
        (NOT_LOGGED, "/", 0.35, [(s, 0, last) for s in missing]),
        (chart.gone, ".", 0.25, empty),
    )
    steps, rows = chart.step_edges, chart.row_edges
    for name, pattern, solidity, boxes in kinds:
        if not boxes:
            continue
        a: list[float | None] = []
        b: list[float | None] = []
        for s, low, high in boxes:
            a += [steps[s], steps[s + 1], steps[s + 1], steps[s], steps[s], None]
            b += [rows[low], rows[low], rows[high + 1], rows[high + 1], rows[low], None]
        fig.add_scatter(
            x=b if chart.flat else a,
            y=a if chart.flat else b,
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=_CLEAR,
            fillpattern={
                "shape": pattern,
                "fgcolor": NEUTRAL,
                "bgcolor": _CLEAR,
                "size": 8,
                "solidity": solidity,
            },
            name=name,
            showlegend=True,
            hoverinfo="skip",
        )
    return bool(missing or empty)


def _frames(fig: go.Figure, chart: Heatmap, ink: str, halo: str) -> None:
    """The step cursor as a solid frame, selected rows as dashed ones."""
    s = chart.steps.index(chart.step)
    steps, rows = chart.step_edges, chart.row_edges
    boxes = [((steps[s], steps[s + 1]), (rows[0], rows[-1]), "solid")]
    boxes += [
        ((steps[0], steps[-1]), (rows[low], rows[high + 1]), "dash") for low, high in chart.marked
    ]
    for along, across, dash in boxes:
        x, y = (across, along) if chart.flat else (along, across)
        for colour, width, line in (
            (halo, 4, "solid"),
            (ink, 2, dash),
        ):  # one of the two is seen, whatever lies below
            fig.add_shape(
                type="rect",
                x0=x[0],
                x1=x[1],
                y0=y[0],
                y1=y[1],
                line={"color": colour, "width": width, "dash": line},
            )


def _ticks(fig: go.Figure, chart: Heatmap) -> None:
    every = -(-len(chart.steps) // (12 if chart.flat else 16))
    where = [s for i, s in enumerate(chart.steps) if i % every == 0]
    (fig.update_yaxes if chart.flat else fig.update_xaxes)(
        tickvals=where, ticktext=[str(s) for s in where]
    )
    if not chart.flat:
        every = -(-len(chart.names) // _MOST_TICKS)
        at = range(0, len(chart.names), every)
        middle = (chart.row_edges[1:] + chart.row_edges[:-1]) / 2
        fig.update_yaxes(
            tickvals=[middle[i] for i in at], ticktext=[label(chart.names[i][:24]) for i in at]
        )
