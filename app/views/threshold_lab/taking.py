"""The filter as a file for a trainer."""

from __future__ import annotations

import shlex

import streamlit as st

from app import data, words


def show_taking(run: data.runs.RunKey, rule: data.rocks.RockRule, command: str | None) -> None:
    """A format, a weight, and the file; `command` finds the same set on the command line, None
    where no type is in the set.
    """
    st.subheader("Take this filter to a trainer")
    if command is None:
        st.text("No type is in the set, so there is no filter to take: loosen the rule, or give K.")
        return
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    name = left.selectbox(
        "Format",
        list(data.filters.EXPORTERS),
        format_func=lambda name: f"{name}: {data.filters.EXPORTERS[name].about}".replace("`", ""),
    )
    if name is None:
        return
    exporter = data.filters.EXPORTERS[name]
    weight = middle.number_input(
        "Weight of its tokens",
        0.0,
        10.0,
        0.0,
        step=0.1,
        help="How often their loss counts; 0 leaves it out.",
    )
    large = exporter.needs == "run" and data.rocks.is_large(run, rule)
    if not large:
        try:
            file = data.filters.rendered(run, rule, name, weight)
        except data.runs.RockError as e:
            st.text(str(e))
            return
        right.download_button(
            "Download", file, exporter.file, on_click="ignore", icon=":material/download:"
        )
    if exporter.warning:
        st.warning(words.literal(exporter.warning))
    flags = f"--to {name} --weight {weight:g} --out {shlex.quote(exporter.file)}"
    if large:
        st.text("A mask of a log of this size is written by the command line:")
    st.code(f"{command} {flags}", language="sh", wrap_lines=True)
