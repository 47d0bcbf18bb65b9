"""The types in a table, with search, order, filters and downloads; each row leads to the page of
its type.
"""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection, words
from app.views.rock_tokens import columns
from app.views.rock_tokens.found import Found

MOST_ROWS = 1_000  # more are a megabyte a rerun; search and filters reach the others
FACETS = ("category", "class", "knockout")


def show_types(found: Found) -> None:
    """The table with its controls."""
    pick = asked_rows(found)
    rows = pick.rows(found.types)
    controls.show_types(
        found.run,
        rows.head(MOST_ROWS),
        "types",
        height=430,
        column_order=columns.order(pick.sort),
        column_config=columns.config(found.rule.column, pick.sort),
        alt=f"Token types by {columns.HEADS[pick.sort]}",
    )
    cut = f", the first {MOST_ROWS:,} shown" if len(rows) > MOST_ROWS else ""
    name = words.literal(found.facts.meta.name)
    unstable = " · an unstable ranking: no stable set" if found.report.unstable else ""
    st.caption(
        f"{len(rows):,} of {len(found.types):,} types{cut} · {name} · {found.report.span}"
        f"{unstable} · {words.literal(data.rocks.ranked_by(found.report))}"
    )
    offer_downloads(found)
    explain(found)


def asked_rows(found: Found) -> data.rocks.Pick:
    """Search, order and filters in one row above the table."""
    by_search, by_sort, by_set, others = st.columns([3, 2, 2, 1], vertical_alignment="bottom")
    with by_search:
        search = selection.words(
            "find", "Search a token or id", placeholder="part of a token, or a whole id"
        )
    with by_sort:
        sort = selection.choose(
            "sorted",
            st.selectbox,
            "Sort by",
            list(data.rocks.SORTS),
            data.rocks.RANK,
            format_func=columns.HEADS.get,
            help="It is in the link: who opens it sees the same order.",
        )
    with by_set:
        only = selection.choose(
            "only",
            st.segmented_control,
            "Show",
            ["all types", "the set"],
            "all types",
            required=True,
        )
    with others, st.popover("Filters", width="stretch"):
        facets = {name: choose_facet(found, name) for name in FACETS}
    chosen = [f"{name}: {', '.join(values)}" for name, values in facets.items() if values]
    if chosen:
        st.caption(words.literal(f"Filtered by {'; '.join(chosen)}."))
    return data.rocks.Pick(search, facets, only == "the set", sort)


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


def explain(found: Found) -> None:
    """What the classes mean, and what is known of the answers without a token."""
    measured = data.knockouts.measured(found.run)
    with st.expander("What the classes and knockouts mean"):
        st.text(
            f"{data.rocks.HARD} Here that is {found.report.hard_from:.3g} nats. What changed is "
            "measured on rollouts that did not choose the type."
        )
        for name, meaning in data.rocks.CLASSES.items():
            st.markdown(f"**{name}**: {meaning}")
        if measured.verdicts:
            selection.link(
                "knockout", "What the knockouts did to the answers", knockout_figure="each"
            )
            if measured.note:
                st.caption(words.literal(measured.note))
        else:
            st.caption(words.literal(f"Knockout {measured.missing}"))
