"""What a training without the set would skip, and what it would give up."""

from __future__ import annotations

import streamlit as st

from app import cards, data
from app.views.gradients import words as sentences
from app.views.gradients.asked import Asked, RuleSet
from app.words import percent


def show_given_up(asked: Asked, rocks: RuleSet) -> None:
    st.subheader("What if these tokens were not trained?")
    if not rocks.ids:
        st.text("Without Rock Tokens there is nothing to leave out.")
        return
    found = data.gradients.given_up(asked.run, rocks.ids, asked.texts, asked.norm)
    st.text(sentences.over_all_steps(len(rocks.ids), asked))
    columns = st.columns(4)
    columns[0].metric(
        "Tokens skipped",
        percent(found.tokens / max(found.of_tokens, 1)),
        help=f"{found.tokens:,} of {found.of_tokens:,}.",
    )
    columns[1].metric(
        "KL given up",
        percent(found.kl / max(found.of_kl, 1e-12)),
        help=f"{found.kl:.1f} of {found.of_kl:.1f} nats.",
    )
    columns[2].metric(
        "Gradient given up",
        percent(found.gradient / max(found.of_gradient, 1e-12)),
        help=cards.help_of("grad_norm", f"Of the summed norm, {found.of_gradient:.0f}."),
    )
    saved = "not measured" if found.time_saved is None else f"≤ {percent(found.time_saved)}"
    columns[3].metric("Time saved", saved, help=cards.help_of("amdahl"))
    if found.time_saved is None:
        st.text(
            "This log does not time the vocabulary projections, so what skipping "
            "could save is unknown."
        )
        return
    st.text(
        "Skipped tokens are still written and read; what can be left out is their way through the "
        "vocabulary projections and the loss, "
        f"which took {found.projection_share:.0%} of a step here (median of {found.steps} steps). "
        "A weight of zero alone skips nothing."
    )
