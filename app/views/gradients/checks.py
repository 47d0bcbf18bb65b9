"""How far the closed form can be trusted, and what Adam makes of frequent types."""

from __future__ import annotations

import streamlit as st

from app import data
from app.views.gradients import charts
from app.views.gradients import words as sentences
from app.views.gradients.asked import Asked, RuleSet


def show_checks(asked: Asked, rocks: RuleSet) -> None:
    compare_with_exact(asked)
    compare_with_adam(asked, rocks.ids)


def compare_with_exact(asked: Asked) -> None:
    """The norm against gradients in all parameters, where those were taken."""
    texts = data.gradients.direction_texts(asked.run)
    found = {kind: data.gradients.exact(asked.run, kind, asked.norm) for kind in texts}
    for kind, correlation in found.items():
        if correlation is not None:
            st.text(sentences.exact(asked.norm, kind.label.lower(), correlation))
    if not any(found.values()):
        st.text(
            "Exact gradients were not taken, so how well the norm stands for them is not known "
            "here: rockcore train --gradients full"
        )


def compare_with_adam(asked: Asked, rock_ids: set[int]) -> None:
    """Adam's second moments against frequency, or why they cannot be had."""
    try:
        frame, correlation = data.gradients.adam(asked.run, frozenset(rock_ids))
    except data.gradients.NoGradients as e:
        st.text(str(e))
        return
    st.plotly_chart(
        charts.second_moments(frame, f"{asked.facts.meta.name} · the last logged optimizer"),
        key="adam",
        alt="Adam's second moment against frequency",
    )
    st.text(sentences.adam(correlation))
