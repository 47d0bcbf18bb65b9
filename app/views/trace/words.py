"""A text of which only the words are logged: to be read, without a token or a value."""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection, words


def show_words(run: data.runs.RunKey, facts: data.runs.Course) -> None:
    """One rollout of a step as plain text, and what it would take to see its tokens."""
    steps = list(facts.held.words)
    if not steps:
        st.text(
            "No step has logged its tokens yet. Reload in a moment (press R) if the run is "
            "training."
        )
        return
    st.text(str(facts.held.lack("kl")))
    left, right = st.columns([3, 2])
    with right:
        step = selection.choose("step", st.select_slider, "Step", steps, steps[-1])
    with left:
        rollout, _ = controls.rollout(run, "fresh", step)
    if rollout is None:
        st.text(f"Step {step} has no rollouts.")
        return
    for name, text in data.texts.words(run, step, rollout).items():
        st.caption(name)
        st.code(words.printable(text), language=None, wrap_lines=True)
