"""The types in a table, with search, facets and downloads, and where the picked one stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import data, selection, tables, words
from app.views.rock_tokens import columns
from app.views.rock_tokens.found import Found

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1_000  # more are a megabyte a rerun; search and facets reach the others


def show_types(found: Found) -> int | None:
    """The table with its controls; returns the token id of the picked row."""
    rows = filter_types(found)
    picked = show_table(rows.head(MOST_ROWS), found.rule.column)
    cut = f", the first {MOST_ROWS:,} shown" if len(rows) > MOST_ROWS else ""
    name = words.literal(found.facts.meta.name)
    unstable = " · an unstable ranking: no stable set" if found.report.unstable else ""
    st.caption(
        f"{len(rows):,} of {len(found.types):,} types{cut} · {name} · {found.report.span}{unstable}"
    )
    offer_downloads(found)
    return picked


def filter_types(found: Found) -> pd.DataFrame:
    """Search and facets above the table; returns the rows left."""
    left, right = st.columns([2, 1])
    with left:
        search = selection.words(
            "find", "Search a token or id", placeholder="part of a token, or a whole id"
        )
    with right:
        only = selection.choose(
            "only",
            st.segmented_control,
            "Show",
            ["all types", "the set"],
            "all types",
            required=True,
        )
    facets = {name: choose_facet(found, name) for name in ("category", "class", "knockout")}
    explain_classes(found.report.hard_from)
    explain_knockouts(found)
    return data.rocks.Pick(search, facets, only == "the set").rows(found.types)


def choose_facet(found: Found, name: str) -> list[str]:
    """Values of a column, each with its number of types."""
    counts = data.rocks.types_by(found.types, name)
    return selection.choose_some(
        name,
        st.pills,
        name.capitalize(),
        list(counts),
        selection_mode="multi",
        format_func=lambda value: f"{value} {counts.get(value, 0)}",
    )


def explain_classes(hard_from: float) -> None:
    with st.expander("What the classes mean"):
        st.text(
            f"{data.rocks.HARD} Here that is {hard_from:.3g} nats. What changed is measured "
            "on rollouts that did not choose the type."
        )
        for name, meaning in data.rocks.CLASSES.items():
            st.markdown(f"**{name}**: {meaning}")


def explain_knockouts(found: Found) -> None:
    """What is known of the answers without a token, or how to find out."""
    measured = data.knockouts.measured(found.run)
    if measured.verdicts:
        selection.link("knockout", "What the knockouts did to the answers")
        if measured.note:
            st.caption(words.literal(measured.note))
    else:
        st.caption(words.literal(f"Knockout {measured.missing}"))


def show_table(rows: pd.DataFrame, column: str) -> int | None:
    event = tables.show(
        rows,
        hide_index=True,
        height=430,
        on_select="rerun",
        selection_mode="single-row",
        key="types",
        column_order=columns.WHOLE,
        column_config=columns.config(column),
        alt="Token types by falling score",
    )
    picked = event.selection.rows if event else []
    return int(rows.token_id.iloc[picked[0]]) if picked else None


def offer_downloads(found: Found) -> None:
    left, right, _ = st.columns([1, 1, 3])
    name = words.file_name(f"{found.facts.meta.name}-rocks")
    left.download_button(
        "Table as CSV", found.report.to_csv, f"{name}.csv", "text/csv", on_click="ignore"
    )
    right.download_button(
        "Set as JSON",
        found.report.rock_set.to_json,
        f"{name}.json",
        "application/json",
        on_click="ignore",
        help="What a training can filter by.",
    )


def show_contexts(found: Found, picked: int | None) -> None:
    """Where a type stands, keyword in context: that of the picked row, or of the link."""
    if selection.is_new("row", picked):
        selection.pick("token", str(picked))
    names = data.rocks.labels(found.run, found.rule, MOST_ROWS, selection.asked("token"))
    ids = list(names)
    token = selection.choose(
        "token",
        st.selectbox,
        "Contexts of",
        ids,
        ids[0],
        format_func=names.get,
        help="Pick a row above, or choose here.",
    )
    rows = data.rocks.examples(found.run, found.rule, token)
    tables.show(
        rows,
        hide_index=True,
        height=320,
        column_order=columns.CONTEXTS,
        column_config=columns.contexts(),
        alt="Occurrences of the type in their contexts",
    )
    of = int(found.types.frequency[found.types.token_id == token].iloc[0])
    st.caption(
        f"{len(rows)} of {of} occurrences: those in the set first, then kept, then persistent, "
        "each by falling loss."
    )
