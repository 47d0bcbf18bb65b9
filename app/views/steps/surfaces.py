"""A surface over the steps as a heatmap that fits, the sentence on what to see, and its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import data, tables
from app.components import heatmap
from app.views.steps import words
from app.views.steps.asked import Asked

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1_000  # of a table


def explain_nothing(why: str) -> None:
    st.subheader("Nothing to draw")
    st.text(why)


def fit(surface: data.steps.Surface, rows: str) -> data.steps.Surface:
    """As many rows as can be drawn, each the mean of several where there are more."""
    drawn = data.steps.binned(surface, heatmap.MOST_CELLS)
    if drawn.per > 1:
        st.info(
            f"{surface.cells:,} cells are more than can be drawn: each shows the mean of "
            f"{drawn.per} neighbouring {rows}s."
        )
    return drawn


def show_heatmap(chart: heatmap.Heatmap, selectable: bool = True) -> tuple[int, int] | None:
    """The heatmap; returns the rows that a box has just selected."""
    surface = chart.surface
    box = heatmap.show(f"heatmap of {chart.rows}", chart, selectable)
    return box and (box[0], min(box[1], len(surface.names) * surface.per - 1))


def explain(surface: data.steps.Surface, asked: Asked, rows: str) -> None:
    """The sentence on what to see."""
    scale = asked.scale
    high = data.steps.steadily_high(surface, scale)
    if high is None:
        st.text(
            f"This run has no logged values of {asked.signal}, so there is no scale to colour by."
        )
        return
    if asked.signal != "kl":
        st.caption(words.meaning(asked.signal))
    st.text(words.steadily_high(high, surface, scale, rows))


def show_table(rows: pd.DataFrame, order: list[str], asked: Asked, what: str) -> None:
    tables.show(
        rows.head(MOST_ROWS),
        hide_index=True,
        column_order=order,
        column_config=asked.columns,
        alt=f"{what} with their values over the steps",
    )
