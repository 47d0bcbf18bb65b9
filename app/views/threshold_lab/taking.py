"""The filter as a file for a trainer."""

from __future__ import annotations

import shlex

import streamlit as st

from app import data, words

AT_HAND = {  # what most trainers take, one click away: format -> what its button says
    "mask": "Mask of every position (Parquet)",
    "ids": "Token ids (JSON)",
}


def show_taking(run: data.runs.RunKey, rule: data.rocks.RockRule, command: str | None) -> None:
    """A format, a weight, and the file; `command` finds the same set on the command line, None
    where no type is in the set.
    """
    st.subheader("Take this filter to a trainer")
    if command is None:
        st.text("No type is in the set, so there is no filter to take: loosen the rule, or give K.")
        return
    st.text(
        "The filter holds every logged position whose token is of a type in the set, high there or "
        "not: as many as the sentence above says. The thick marks in the text are those of them "
        "that are also high and recurring."
    )
    large = data.rocks.is_large(run, rule)
    left, middle = st.columns([3, 1], vertical_alignment="bottom")
    weight = middle.number_input(
        "Weight of its tokens",
        0.0,
        10.0,
        0.0,
        step=0.1,
        help="How often their loss counts; 0 leaves it out.",
    )
    with left.container(horizontal=True):
        for name, label in AT_HAND.items():
            if not (large and name == "mask"):
                offer_file(run, rule, name, label, weight)
    name = st.selectbox(
        "Format",
        list(data.filters.EXPORTERS),
        format_func=lambda name: f"{name}: {data.filters.EXPORTERS[name].about}".replace("`", ""),
    )
    if name is not None:
        show_format(run, rule, name, weight, command, large)


def offer_file(
    run: data.runs.RunKey, rule: data.rocks.RockRule, name: str, label: str, weight: float
) -> None:
    """A file that is written when it is asked for: a mask takes longer than the page."""
    st.download_button(
        label,
        lambda: data.filters.rendered(run, rule, name, weight),
        data.filters.EXPORTERS[name].file,
        on_click="ignore",
        icon=":material/download:",
        key=f"take {name}",
    )


def show_format(
    run: data.runs.RunKey,
    rule: data.rocks.RockRule,
    name: str,
    weight: float,
    command: str,
    large: bool,
) -> None:
    """One format: its file, what to know of it, and the line that writes it."""
    exporter = data.filters.EXPORTERS[name]
    if large and exporter.needs == "run":
        st.text("A mask of a log of this size is written by the command line:")
    elif name not in AT_HAND:
        try:
            file = data.filters.rendered(run, rule, name, weight)
        except data.runs.RockError as e:
            st.text(str(e))
            return
        st.download_button(
            "Download", file, exporter.file, on_click="ignore", icon=":material/download:"
        )
    if exporter.warning:
        st.warning(words.literal(exporter.warning))
    flags = f"--to {name} --weight {weight:g} --out {shlex.quote(exporter.file)}"
    st.code(f"{command} {flags}", language="sh", wrap_lines=True)
