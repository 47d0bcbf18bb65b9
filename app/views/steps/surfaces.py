"""A surface over the steps as a heatmap that fits, the sentence on what to see, and its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import data, selection, tables
from app.components import heatmap
from app.views.steps import words
from app.views.steps.asked import Asked

if TYPE_CHECKING:
    import pandas as pd
    from streamlit.delta_generator import DeltaGenerator

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
    key = f"heatmap of {chart.rows}"
    box = heatmap.show(key, chart, selectable, lambda: follow_the_cursor(key))
    return box and (box[0], min(box[1], len(surface.names) * surface.per - 1))


def follow_the_cursor(key: str) -> None:
    """The cursor was moved over the heatmap: the page is at that step."""
    if (step := selection.told(key, "cursor").get("step")) is not None:
        selection.pick("step", str(step))


def choose_shade(asked: Asked, row: DeltaGenerator) -> bool:
    """Whether the colours are those of the change since the first step rather than of the values;
    a signed signal has no ratio.
    """
    if not asked.has_ratio:
        return False
    with row:
        shade = selection.choose(
            "shade",
            st.selectbox,
            "Colour",
            list(words.SHADES),
            "ratio",
            format_func=words.SHADES.get,
            help=words.SHADES_HELP,
            width=170,
        )
    return shade == "ratio"


def explain_change(found: data.steps.Changes, asked: Asked, rows: str) -> None:
    """By how much these rows changed, with its interval."""
    if found.whole is not None:
        st.text(words.change(found.whole, asked.spoken, asked.scale.unit, rows))


def explain(surface: data.steps.Surface, asked: Asked, rows: str, as_ratio: bool = False) -> None:
    """The sentence on what to see."""
    scale = asked.scale
    high = data.steps.steadily_high(surface, scale)
    if high is None:
        st.text(
            f"This run has no logged values of {asked.spoken}, so there is no scale to colour by."
        )
        return
    if asked.signal != "kl":
        st.caption(words.meaning(asked.signal))
    st.text(words.steadily_high(high, surface, scale, rows, "ratio" if as_ratio else rows))


def show_table(
    rows: pd.DataFrame, order: list[str], asked: Asked, what: str, **options: Any
) -> Any:
    return tables.show(
        rows.head(MOST_ROWS),
        hide_index=True,
        column_order=data.steps.columns_of(order, asked.axis, asked.step),
        column_config=asked.columns,
        alt=f"{what} with their values over the steps",
        **options,
    )
