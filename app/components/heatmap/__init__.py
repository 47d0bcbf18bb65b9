"""A heatmap of up to a million cells on a canvas, for what is too large for Plotly; it looks and
answers alike.

The cells travel as one typed array; drawing, reading out and boxes happen in the browser, and
Python hears of a box that is finished. Where a pixel covers several cells it shows their mean, and
the caption says so. Every string reaches the page through `textContent`.
"""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from streamlit.components.v2 import component

from app.components.heatmap.chart import NOT_LOGGED, Heatmap, edge_label, shades

MOST_CELLS = 1_000_000
_HERE = Path(__file__).parent
_component = component(
    "rock_heatmap",
    css=(_HERE / "heatmap.css").read_text(encoding="utf-8"),
    js=(_HERE / "heatmap.js").read_text(encoding="utf-8"),
)


class TooLarge(ValueError):
    """More cells than the browser should be given."""


def packed(values: np.ndarray, edges: list[float]) -> str:
    """Values as float16, little-endian, base64; one that rounding would carry over an edge is moved
    back into its bin.
    """
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    now, right = shades(half.astype(np.float32), edges), shades(values, edges)
    for wrong, way in ((now > right, -np.inf), (now < right, np.inf)):
        half[wrong] = np.nextafter(half[wrong], np.float16(way))
    return base64.b64encode(half.astype("<f2").tobytes()).decode()


def show(key: str, chart: Heatmap, selectable: bool = True) -> tuple[float, float] | None:
    """Draw `chart`; in the run after a box over its rows is finished, the rows of the log that the
    box spans, else None.

    Raises TooLarge for more than a million cells: bin them first.
    """
    if chart.values.size > MOST_CELLS:
        raise TooLarge(
            f"{chart.values.size:,} cells: the browser is given at most {MOST_CELLS:,}. Bin the "
            "rows first."
        )
    answer = _component(
        key=key,
        data={
            "cells": packed(chart.values, chart.edges),
            "names": chart.names,
            "steps": chart.steps,
            "logged": chart.logged,
            "stepEdges": chart.step_edges.tolist(),
            "edges": chart.edges,
            "edgeLabels": [
                edge_label(*pair) for pair in zip(chart.edges, chart.quantiles, strict=True)
            ],
            "palette": chart.palette,
            "signal": chart.signal,
            "unit": chart.unit,
            "title": chart.title,
            "about": chart.about,
            "rows": chart.rows,
            "step": chart.step,
            "flat": chart.flat,
            "per": chart.per,
            "marked": chart.marked,
            "notLogged": NOT_LOGGED,
            "gone": chart.gone,
            "selectable": selectable,
        },
        on_box_change=lambda: None,
    )
    box = answer.get("box")
    return None if box is None else (box["low"] * chart.per, (box["high"] + 1) * chart.per - 1)
