"""Two runs, or two steps of one, side by side: texts on one prompt, the rock sets, the curves."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import controls, data, selection
from app.views.compare.asked import Asked
from app.views.compare.curves import show_curves
from app.views.compare.sets import show_sets
from app.views.compare.texts import show_texts

run = selection.run()
facts = data.runs.facts(run)


def choose_b() -> tuple[str, data.runs.RunKey] | None:
    """The name and key of B's run, or None after saying why it cannot be had."""
    found = data.runs.offered()
    own = next((name for name, path in found.items() if path == run.path), facts.meta.name)
    found.setdefault(own, run.path)
    left, right = st.columns(2)
    left.selectbox("Run A", [own], disabled=True, help="The run of the sidebar.")
    with right:
        names = {name: f"{name}, the same run" if name == own else name for name in found}
        name = selection.choose(
            "run_b", st.selectbox, "Run B", list(names), own, format_func=names.get
        )
    if name == own:
        return own, run
    try:
        key = data.runs.key(found[name])
        data.compare.check(run, key)
    except data.runs.RockError as e:
        st.subheader("These two cannot be compared")
        st.text(str(e))
        st.text("Run A can still be read on the other pages.")
        return None
    return name, key


def choose_sides(name_b: str, b: data.runs.RunKey) -> Asked | None:
    """Whose texts and which steps, or None after saying why there is nothing to choose."""
    both = data.compare.common_texts(run, b)
    if not both:
        told = [controls.show_elsewhere(side, "compare") for side in dict.fromkeys((run, b))]
        if any(told):
            return None
        words_alone = [side for side in (run, b) if data.runs.holdings(side).words]
        st.text(
            "There are no texts of one kind of which both runs have logged tokens (yet). "
            + (
                " ".join(str(data.runs.holdings(s).lack("kl")) for s in dict.fromkeys(words_alone))
                or "Reload in a moment (press R) if one is training."
            )
        )
        return None
    texts = data.compare.Texts(controls.source(both))
    steps_a, steps_b = data.runs.steps(run, texts), data.runs.steps(b, texts)
    left, right = st.columns(2)
    with left:
        first = steps_a[0] if b.path == run.path else steps_a[-1]
        step_a = selection.choose("step_a", st.select_slider, "Step of A", steps_a, first)
    with right:
        step_b = selection.choose("step_b", st.select_slider, "Step of B", steps_b, steps_b[-1])
    return Asked(run, facts, b, name_b, texts, step_a, step_b)


def show_part(show: Callable[[Asked], None], asked: Asked, what: str) -> None:
    """A part of the page; where it cannot be had it says why, and the others stay."""
    try:
        show(asked)
    except data.runs.RockError as e:
        st.text(f"{what} cannot be compared. {e}")


def page() -> None:
    chosen = choose_b()
    if chosen is None:
        return
    asked = choose_sides(*chosen)
    if asked is None:
        return
    if asked.alike:
        st.info(
            "A and B are one run at one step, so every difference is 0. Move one of the steps, or "
            "choose another run for B."
        )
    else:
        show_part(show_texts, asked, "The texts")
    above = st.container()  # the curves below are there at once, the rocks a moment later
    show_part(show_curves, asked, "The curves")
    if not asked.alike:
        with above:
            show_part(show_sets, asked, "The rock sets")


st.title("Compare")
st.text(
    "Two runs, or two steps of one run, side by side: what is harder here, what is easier there?"
)
controls.show_losses(facts)
page()
