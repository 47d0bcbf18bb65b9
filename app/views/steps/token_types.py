"""Token types over the steps: the set of the rule, the top by score, or those selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import controls, data, selection
from app.views.steps import words
from app.views.steps.asked import Asked
from app.views.steps.surfaces import (
    MOST_ROWS,
    choose_shade,
    explain,
    explain_change,
    explain_nothing,
    fit,
    show_heatmap,
    show_table,
)
from app.words import literal

if TYPE_CHECKING:
    import pandas as pd
    from streamlit.delta_generator import DeltaGenerator

MOST_LINKED = 300  # types that a link can carry
COLUMNS = [
    *("shown", "category", "class", "score", "frequency", "tokens"),
    *("first", "cursor", "last", "change", "factor", "low", "high"),
    *("slope", "slope_steps", "token_id"),
]


def show_types(asked: Asked, row: DeltaGenerator) -> None:
    as_ratio = choose_shade(asked, row)
    which, top, sort = choose_types(row)
    every = data.steps.types(asked.run, asked.source, asked.signal)
    classes, why = find_classes(asked.run) if which == "set" or sort == "class" else (None, "")
    if why and (classes is None or which == "set"):
        gone = "No set" if classes is not None else "No set and no classes"
        st.text(f"{gone} here, so the types stand by score. {why}")
    picked = choose_selected(every)
    offer_picked(every, picked, asked)
    in_set = None if why or classes is None else data.steps.in_set(classes)
    chosen = {"set": in_set, "picked": picked}
    rows = data.steps.arranged(every, chosen.get(which), top, sort, classes)
    if not len(rows):
        explain_nothing(words.NO_TYPES[which])
        return
    title = f"Mean {asked.spoken} of {len(rows):,} token types by step"
    surface = data.steps.surface_of(every, rows)
    marked = tuple(data.steps.spans_of(rows, picked)) if which != "picked" else ()
    gone = "dotted: the type does not occur"
    drawn = fit(surface, "token type")
    chart = asked.chart(drawn, title, "token type", as_ratio, marked=marked, gone=gone)
    box = show_heatmap(chart)
    if box is not None:
        ids = rows.token_id.iloc[box[0] : box[1] + 1].tolist()[:MOST_LINKED]
        if ids != picked:
            selection.pick("types", ",".join(map(str, ids)))
            st.rerun()
    changed = data.steps.changes(asked.run, asked.source, asked.signal, rows, "token_id")
    explain_change(changed, asked, "token type")
    explain(surface, asked, "token type", as_ratio)
    show_types_table(every, rows, picked, changed, asked)


def choose_types(row: DeltaGenerator) -> tuple[str, int, str]:
    """Which types, at most how many, in what order."""
    box = st.selectbox
    with row:
        which = selection.choose(
            "which",
            box,
            "Types",
            list(words.WHICH),
            "set",
            format_func=words.WHICH.get,
            help=words.WHICH_HELP,
            width=170,
        )
        sort = selection.choose(
            "sort", box, "Sorted by", data.steps.SORTS, "score", help=words.SORT_HELP, width=150
        )
        top = selection.count("rows", "At most", 1, 1_000_000, 40, width=130)
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


MOST_OFFERED = 8  # links to pages of types


def offer_picked(every: data.steps.TypeSteps, picked: list[int], asked: Asked) -> None:
    """The selected types each have a page of their own."""
    names = data.steps.offered(every, [str(i) for i in picked])
    if not picked:
        return
    with st.container(horizontal=True, key="picked types"):
        for i in picked[:MOST_OFFERED]:
            controls.link_token(asked.run, i, f"All about {literal(names[str(i)])}")


def show_types_table(
    every: data.steps.TypeSteps,
    rows: pd.DataFrame,
    picked: list[int],
    changed: data.steps.Changes,
    asked: Asked,
) -> None:
    table = data.steps.type_table(every, rows, asked.step, picked)
    if table.empty:
        st.text(words.OUT_OF_SIGHT)
        table = data.steps.type_table(every, rows, asked.step, [])
    table = data.steps.with_factors(table, "token_id", changed.frame)
    show_table(table, COLUMNS, asked, "Token types")
    st.caption(
        f"{min(len(table), MOST_ROWS):,} of {len(every.frame):,} types of these texts. Drag over "
        "rows to narrow them. Types that are shown because they were hard on these same texts seem "
        "to change for that reason alone: the page Rock tokens has the change on the half that did "
        "not choose."
    )
