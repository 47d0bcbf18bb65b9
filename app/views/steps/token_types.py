"""Token types over the steps: the set of the rule, the top by score, or those selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import data, selection
from app.views.steps import words
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
    import pandas as pd

MOST_LINKED = 300  # types that a link can carry
COLUMNS = [
    *("shown", "category", "class", "score", "frequency", "tokens"),
    *("first", "cursor", "last", "change", "slope", "slope_steps", "token_id"),
]


def show_types(asked: Asked) -> None:
    which, top, sort = choose_types()
    every = data.steps.types(asked.run, asked.source, asked.signal)
    classes, why = find_classes(asked.run) if which == "set" or sort == "class" else (None, "")
    if why and (classes is None or which == "set"):
        gone = "No set" if classes is not None else "No set and no classes"
        st.text(f"{gone} here, so the types stand by score. {why}")
    picked = choose_selected(every)
    in_set = None if why or classes is None else data.steps.in_set(classes)
    chosen = {"set": in_set, "picked": picked}
    rows = data.steps.arranged(every, chosen.get(which), top, sort, classes)
    if not len(rows):
        explain_nothing(words.NO_TYPES[which])
        return
    title = f"Mean {asked.signal} of {len(rows):,} token types by step"
    surface = data.steps.surface_of(every, rows)
    marked = tuple(data.steps.spans_of(rows, picked)) if which != "picked" else ()
    gone = "dotted: the type does not occur"
    drawn = fit(surface, "token type")
    box = show_heatmap(asked.chart(drawn, title, "token type", marked=marked, gone=gone))
    if box is not None:
        ids = rows.token_id.iloc[box[0] : box[1] + 1].tolist()[:MOST_LINKED]
        if ids != picked:
            selection.pick("types", ",".join(map(str, ids)))
            st.rerun()
    explain(surface, asked, "token type")
    show_types_table(every, rows, picked, asked)


def choose_types() -> tuple[str, int, str]:
    """Which types, at most how many, in what order."""
    left, right = st.columns([5, 2], vertical_alignment="bottom")
    pills = st.segmented_control
    with left:
        which = selection.choose(
            "which",
            pills,
            "Types",
            list(words.WHICH),
            "set",
            format_func=words.WHICH.get,
            required=True,
            help=words.WHICH_HELP,
        )
    with right:
        top = selection.count("rows", "At most", 1, 1_000_000, 40)
    sort = selection.choose(
        "sort",
        pills,
        "Sorted by",
        data.steps.SORTS,
        "score",
        required=True,
        help=words.SORT_HELP,
    )
    return which, top, sort


def find_classes(run: data.runs.RunKey) -> tuple[pd.DataFrame | None, str]:
    """Classes under the rule, or None; and why there is no set."""
    try:
        rule = data.rocks.rule(selection.text("rule", "default"))
        return data.steps.classes(run, rule), data.rocks.no_set(run, rule)
    except data.runs.RockError as e:
        return None, str(e)


def choose_selected(every: data.steps.TypeSteps) -> list[int]:
    """The selected types, which a box fills in and a hand may change."""
    names = data.steps.offered(every, selection.asked("types").split(","))
    picked = selection.choose_some(
        "types",
        st.multiselect,
        "Selected types",
        list(names),
        format_func=names.get,
        placeholder="none; a box over the heatmap fills this in",
    )
    return [int(i) for i in picked]


def show_types_table(
    every: data.steps.TypeSteps, rows: pd.DataFrame, picked: list[int], asked: Asked
) -> None:
    table = data.steps.type_table(every, rows, asked.step, picked)
    if table.empty:
        st.text(words.OUT_OF_SIGHT)
        table = data.steps.type_table(every, rows, asked.step, [])
    show_table(table, COLUMNS, asked, "Token types")
    st.caption(
        f"{min(len(table), MOST_ROWS):,} of {len(every.frame):,} types of these texts. Drag over "
        "rows to narrow them."
    )
