"""One rollout of a probe, position by position: which places stay hard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import controls, data, selection
from app import words as app_words
from app.views.steps.asked import Asked
from app.views.steps.surfaces import (
    MOST_ROWS,
    explain,
    explain_nothing,
    fit,
    show_heatmap,
    show_table,
)

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

COLUMNS = ["position", "shown", "first", "cursor", "last", "change"]


def choose_rollout(run: data.runs.RunKey, source: str, step: int) -> int | None:
    """One of the texts of a probe; None, and said, where there is none."""
    rollout, _ = controls.rollout(run, source, step, width=250)
    if rollout is None:
        explain_nothing(f"Step {step} has no rollouts of this kind.")
    return rollout


def show_positions(asked: Asked, rollout: int, row: DeltaGenerator) -> None:
    surface = data.steps.positions(asked.run, asked.source, rollout, asked.signal)
    if not surface.cells:
        explain_nothing(f"Rollout {rollout} has no tokens in the log.")
        return
    with row:
        text = selection.words(
            "span",
            "Positions",
            placeholder="all, or 12-40",
            help="The first and the last position, such as 12-40. A box over the heatmap fills "
            "this in.",
            width=150,
        )
    span = read_span(text, len(surface.names))
    title = f"{asked.spoken} of rollout {rollout} by position and step"
    marked = (span,) if span else ()
    drawn = fit(surface, "position")
    first = show_words_first(asked, surface)
    box = show_heatmap(asked.chart(drawn, title, "position", flat=True, marked=marked))
    first.empty()
    if box is not None and (new := f"{box[0]}-{min(box[1], len(surface.names) - 1)}") != text:
        selection.pick("span", new)
        st.rerun()
    explain(surface, asked, "position")
    asked.link_to_trace(rollout)
    rows = data.steps.position_table(surface, asked.step, span)
    if span:
        st.text(data.steps.excerpt(surface, span))
    show_table(rows, COLUMNS, asked, "Positions")
    st.caption(
        f"{min(len(rows), MOST_ROWS):,} of {len(surface.names):,} positions. Drag over the "
        "heatmap to narrow them."
    )


def show_words_first(asked: Asked, surface: data.steps.Surface) -> DeltaGenerator:
    """The text while a large log is measured for its colours, in a place that is emptied then."""
    place = st.empty()
    if data.runs.is_large(asked.run) and not data.runs.is_measured(asked.run, asked.signal):
        place.text("".join(surface.names).replace("␣", " "))
    return place


def read_span(text: str, length: int) -> tuple[int, int] | None:
    """The positions that a person wrote; one that cannot be had is told, and all are shown."""
    try:
        return data.steps.span_of(text, length)
    except data.steps.NoSpan as e:
        st.warning(app_words.literal(str(e)))
        return None
