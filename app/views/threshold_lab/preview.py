"""One rollout at both ends of the training, with what the rule makes of it."""

from __future__ import annotations

import streamlit as st

from app import data, selection
from app.components import token_pane


def show_preview(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    """One rollout before and after, or at the only checkpoint, with what the rule makes of it."""
    report = data.rocks.found(run, rule).report
    if data.rocks.source(run, rule).probe_set is None and not report.single:
        st.text("The texts before and after differ: there is no rollout to show at both ends.")
        return
    ids = data.rocks.rollouts(run, rule)
    rollout = selection.choose(
        "rollout",
        st.selectbox,
        "Rollout",
        ids,
        ids[0],
        help="Those with most kept occurrences come first.",
    )
    if report.single:
        show_end(run, rule, rollout, report.steps[0], "alone")
        return
    ends = zip(st.columns(2), (report.steps[0], report.steps[-1]), ("before", "after"), strict=True)
    for column, step, when in ends:
        with column:
            st.markdown(f"**{when}: step {step}**")
            show_end(run, rule, rollout, step, when)


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
        verdict={**token_pane.NO_VERDICT, "marks": data.texts.packed(seen["marks"], "u1")},
        mark=data.texts.mark(run),
        narrow=True,
        quiet=True,
    )
    token_pane.show(f"preview {when}", seen["text"], seen["values"], view)
