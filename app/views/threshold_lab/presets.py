"""Rules by name: presets and saved ones to take, the rule at hand to save."""

from __future__ import annotations

import shlex

import streamlit as st

from app import access, data, selection, words
from app.views.threshold_lab.knobs import put_rule


def find_stored(name: str) -> data.rocks.RockRule | None:
    """A preset or a saved rule; None if its file cannot be used."""
    try:
        return data.rocks.named_rule(name)
    except data.runs.RockError:
        return None


def put_named(name: str | None) -> None:
    """Take a preset or a saved rule; a file that holds none is told."""
    if name is None:
        return
    try:
        put_rule(data.rocks.named_rule(name))
    except data.runs.RockError as e:
        selection.complain(str(e))


def show_presets(rule: data.rocks.RockRule) -> None:
    names = data.rocks.rule_names()
    base = find_stored(rule.name) if rule.name in names else None
    changed = base is not None and rule != base
    way_back = f" (changed from {rule.name}: pick it again to go back)" if changed else ""
    picked = rule.name if base == rule else None
    selection.control(
        "preset",
        st.pills,
        f"Preset{way_back}",
        picked,
        put_named,
        names,
        label_visibility="visible" if changed else "collapsed",
    )
    for label, act, can in (
        ("Undo", selection.undo, selection.previous("rule") is not None),
        ("Redo", selection.redo, selection.can_redo("rule")),
    ):
        st.button(
            label,
            on_click=act,
            args=("rule",),
            disabled=not can,
            icon=f":material/{label.lower()}:",
        )
    save = st.popover("Save", icon=":material/save:", on_change="rerun", key="save rule")
    if save.open:
        with save:
            show_saving(rule)


def show_saving(rule: data.rocks.RockRule) -> None:
    """Write the rule under a name; one that cannot be is told beside the field."""
    name = st.text_input(
        "Name", key="save name", placeholder="my rule", help="Goes to ./rules/NAME.json."
    ).strip()
    may_save = access.may_act()
    if not may_save:
        st.text("\n".join(f"{sentence}." for sentence in access.how_to_act()))
    if st.button("Save the rule", type="primary", disabled=not (name and may_save)):
        try:
            path = shlex.quote(str(data.rocks.save_rule(rule, name)))
            st.text(f"Saved. On the command line: rockcore rocks RUN --rule {path}")
        except data.runs.RockError as e:
            st.warning(words.literal(str(e)))
    st.download_button(
        "Download as JSON",
        rule.to_json(),
        f"{name or rule.name}.json",
        "application/json",
        on_click="ignore",
    )
