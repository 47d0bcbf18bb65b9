"""How both trainings went: mean kl and held-out accuracy over the steps."""

from __future__ import annotations

import streamlit as st

from app import data, selection
from app.views.compare import charts
from app.views.compare.asked import Asked


def show_curves(asked: Asked) -> None:
    st.subheader("Over the training")
    facts, other = asked.facts, data.runs.facts(asked.b)
    both = [("A", facts), *([] if asked.one_run else [("B", other)])]
    cursors = {"A": asked.step_a, "B": asked.step_b}
    estimator = (
        facts.estimator
        if facts.estimator == other.estimator
        else f"A {facts.estimator}; B {other.estimator}"
    )
    kl = [charts.Curve(s, f.meta.name, f.kl) for s, f in both]
    st.plotly_chart(
        charts.kl_curves(kl, cursors, estimator),
        key="kl",
        alt="Mean kl over steps of A and B with intervals",
    )
    decodings = [
        d for d in ("greedy", "sampled") if all((f.evals.decoding == d).any() for _, f in both)
    ]
    if not decodings:
        st.text(
            "Held-out accuracy is not logged on both sides: their prompts have no known answers, "
            "or evaluation was switched off."
        )
        return
    decoding = selection.choose(
        "decoding", st.segmented_control, "Decoding", decodings, decodings[0], required=True
    )
    accuracy = [
        charts.Curve(s, f.meta.name, f.evals.loc[f.evals.decoding == decoding]) for s, f in both
    ]
    st.plotly_chart(
        charts.accuracy_curves(accuracy, cursors, decoding),
        key="accuracy",
        alt="Held-out accuracy of A and B over steps",
    )
