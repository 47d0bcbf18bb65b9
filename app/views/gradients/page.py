"""Who takes the gradient: its shares over the training, where mean gradients point, and what
leaving tokens out would give up.
"""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection, words
from app.views.gradients import words as sentences
from app.views.gradients.asked import Asked, find_set
from app.views.gradients.checks import show_checks
from app.views.gradients.directions import show_directions
from app.views.gradients.given_up import show_given_up
from app.views.gradients.one_type import show_type
from app.views.gradients.shares import show_shares

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
    show_shares(asked, rocks)
    st.subheader("Where mean gradients point")
    summed = data.gradients.direction_texts(run)
    if summed:
        texts = asked.texts if asked.texts in summed else summed[0]
        show_directions(asked._replace(texts=texts), rocks)
    else:
        st.text(
            "No summed gradients are logged: train with --gradients sums (the default) and with "
            "probe texts."
        )
    show_type(asked, rocks.ids)
    if rocks.ids:
        show_given_up(asked, rocks.ids)
    show_checks(asked, rocks.ids)


st.title("Gradients")
st.text(
    "The gradient of a training step is a sum over tokens: who takes most of it, and does it pull "
    "the same way?"
)
try:
    page()
except data.gradients.NoGradients as e:
    explain_no_gradients(e)
