"""One rollout at both ends of the training, with what the rule makes of it."""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection
from app.components import token_pane

HEIGHT = 330  # pixels: as tall as the histogram beside it


def show_preview(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    """One rollout before and after, or at the only checkpoint, with what the rule makes of it."""
    report = data.rocks.found(run, rule).report
    if data.rocks.source(run, rule).probe_set is None and not report.single:
        st.text("The texts before and after differ: there is no rollout to show at both ends.")
        return
    ids = offered(data.rocks.rollouts(run, rule))
    # those with most of the first rule's occurrences come first; a text that is read stays
    first = selection.first_shown("rollout of the lab", str(ids[0]))
    rollout = selection.choose(
        "rollout",
        st.selectbox,
        "Text",
        ids,
        next((i for i in ids if str(i) == first), ids[0]),
        format_func=lambda i: f"Rollout {i}",
        label_visibility="collapsed",
        help="Those with most recurring occurrences come first.",
    )
    if report.single:
        with st.container(height=HEIGHT, border=False):
            show_end(run, rule, rollout, report.steps[0], "alone")
        return
    with st.container(height=HEIGHT, border=False):
        sides = st.columns(2)
    ends = zip(sides, (report.steps[0], report.steps[-1]), ("before", "after"), strict=True)
    for column, step, when in ends:
        with column:
            st.markdown(f"**{when}: step {step}**")
            show_end(run, rule, rollout, step, when)


def offered(ids: list[int]) -> list[int]:
    """As many as a list can hold, and the one that is read."""
    most, asked = ids[: controls.MOST_LISTED], selection.asked("rollout")
    return most + [i for i in ids[controls.MOST_LISTED :] if str(i) == asked]


def show_end(
    run: data.runs.RunKey, rule: data.rocks.RockRule, rollout: int, step: int, when: str
) -> None:
    """The rollout at one end."""
    seen = data.rocks.preview(run, rule, rollout, step)
    view = token_pane.View(
        scale=data.texts.scale(run, rule.column),
        caption=f"{data.runs.facts(run).meta.name}, step {step}.",
        categories=data.runs.categories(run),
        state=token_pane.State(rollout, step),
        steps=[step],
        verdict={**token_pane.NO_VERDICT, "marks": bytes(seen["marks"])},
        mark=data.texts.mark(run),
        narrow=True,
        quiet=True,
    )
    token_pane.show(f"preview {when}", seen["text"], seen["values"], view)
