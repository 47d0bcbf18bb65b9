"""Who takes the gradient: its shares over the training, where mean gradients point, and what
leaving tokens out would give up.
"""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection, words
from app.views.gradients import words as sentences
from app.views.gradients.asked import Asked, find_set
from app.views.gradients.checks import show_checks
from app.views.gradients.directions import show_directions, show_early_and_late
from app.views.gradients.given_up import show_given_up
from app.views.gradients.shares import show_inequality, show_shares, show_types

run = selection.run()
facts = data.runs.facts(run)


def explain_no_gradients(why: Exception) -> None:
    """What to do for a run that logs them."""
    st.subheader("No gradients in this log")
    st.text(str(why))
    st.text("A run of this program logs the norms and the sums by type without being asked:")
    st.code(
        "# norms of every token, sums of the probe texts by type\n"
        "rockcore train --out runs/mine\n"
        "# and exact gradients of a sample, to check the norms\n"
        "rockcore train --out runs/mine --gradients full",
        language=None,
    )


def choose_norm(logged: list[data.gradients.Texts]) -> Asked:
    """Whose texts, which norm, at which step; raises NoGradients."""
    texts = data.gradients.Texts(controls.source(logged))
    left, right = st.columns(2)
    norms = data.gradients.logged_norms(run, texts)
    with left:
        norm = selection.choose(
            "norm",
            st.selectbox,
            "Norm of the gradient",
            norms,
            norms[0],
            format_func=data.gradients.NORMS.get,
        )
    steps = data.gradients.norm_steps(run, texts, norm)
    with right:
        step = selection.choose("step", st.select_slider, "Step", steps, steps[-1])
    return Asked(run, facts, texts, norm, step)


def explain_no_divergence(asked: Asked) -> None:
    steps = data.gradients.norm_steps(run, asked.texts, asked.norm)
    texts, floor = asked.texts.label.lower(), data.gradients.floor(run)
    st.subheader("No divergence, so no gradient")
    st.text(sentences.no_divergence(texts, len(steps), floor))


def page() -> None:
    logged = data.gradients.logged_texts(run)
    if not logged and facts.held.words:
        st.text(str(facts.held.lack("grad_norm")))
        return
    if not logged and controls.show_elsewhere(run, "gradients"):
        return
    if not logged:
        st.text(
            "No step has logged its tokens yet. Reload in a moment (press R) if the run is "
            "training."
        )
        return
    asked = choose_norm(logged)
    st.badge(words.literal(facts.estimator), help="What the numbers called KL are.")
    if data.gradients.is_zero(run, asked.texts, asked.norm):
        explain_no_divergence(asked)
        return
    controls.show_rock_line(run)
    rocks = find_set(run)
    if rocks.why_empty:
        st.text("Without Rock Tokens the types stand by category alone.")
    name = controls.figure("gradient_figure", LABELS)
    if name in OF_SUMS and not data.gradients.direction_texts(run):
        st.text(
            "No summed gradients are logged: train with --gradients sums (the default) and with "
            "probe texts."
        )
        return
    FIGURES[name](asked, rocks)


FIGURES = {
    "takers": show_shares,
    "types": show_types,
    "unequal": show_inequality,
    "points": show_directions,
    "ends": show_early_and_late,
    "left_out": show_given_up,
    "checks": show_checks,
}
LABELS = {
    "takers": "Who takes it",
    "types": "Which types",
    "unequal": "How unequal",
    "points": "Where it points",
    "ends": "Early and late",
    "left_out": "If left out",
    "checks": "Two checks",
}
OF_SUMS = ("points", "ends")  # need gradients that were summed by type


st.title("Gradients")
st.text(
    "The gradient of a training step is a sum over tokens: who takes most of it, and does it pull "
    "the same way?"
)
try:
    page()
except data.gradients.NoGradients as e:
    explain_no_gradients(e)
