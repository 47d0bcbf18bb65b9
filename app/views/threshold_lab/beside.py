"""The rule beside another: what is in one set and not in the other."""

from __future__ import annotations

import streamlit as st

from app import data, selection, tables, words
from app.views.threshold_lab.types import show_links

MOST_NAMED = 40


def show_beside(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    """A choice of another rule, and both sets side by side; closed, nothing is worked out."""
    asked = selection.asked("beside")
    box = st.expander(
        "Compare with a preset", expanded=bool(asked), key="lab beside", on_change="rerun"
    )
    if not box.open:
        selection.text("beside", "")
        return
    with box:
        names = data.rocks.rule_names()
        name = selection.choose(
            "beside",
            st.selectbox,
            "Beside",
            ["", *names],
            "",
            format_func=lambda n: n or "choose a rule",
        )
        if name:
            show_sides(run, rule, name)
        show_presets_table(run, rule)


def show_sides(run: data.runs.RunKey, rule: data.rocks.RockRule, name: str) -> None:
    """What either set holds alone, on the same texts."""
    try:
        both = data.rocks.beside(run, rule, name)
    except data.runs.RockError as e:
        st.text(str(e))
        return
    st.text(both.sentence)
    left, right = st.columns(2)
    for column, whose, share, ids in (
        (left, "this rule", both.shares[0], both.only_first),
        (right, name, both.shares[1], both.only_second),
    ):
        with column:
            st.text(share.sentence)
            if ids:
                show_links(f"Only by {words.literal(whose)}", ids[:MOST_NAMED], both.names, [])
            else:
                st.text(f"No type is in the set by {whose} alone.")
    if both.shared:
        show_links("In both", both.shared[:MOST_NAMED], both.names, [])


def show_presets_table(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    if data.rocks.is_large(run, rule) and not st.toggle(
        "All presets", help="On a log of this size this takes minutes."
    ):
        return
    tables.show(
        data.rocks.beside_presets(run, rule), hide_index=True, alt="This rule beside the presets"
    )
    single = data.rocks.found(run, rule).report.single
    st.caption(
        "This rule beside the presets, on the same texts. J with this: Jaccard index of the two "
        "sets." + (" Presets that need a second checkpoint are left out." if single else "")
    )
