"""How both trainings went: mean kl and held-out accuracy over the steps."""

from __future__ import annotations

import streamlit as st

from app import data, selection
from app.views.compare import charts
from app.views.compare.asked import Asked


def show_curves(asked: Asked) -> None:
    st.subheader("Over the training")
    facts, other = asked.facts, data.runs.facts(asked.b)
    cursors = {"A": asked.step_a, "B": asked.step_b}
    if other.loss != facts.loss:
        st.text(
            f"The mean losses cannot be drawn on one axis: of A {facts.loss} is logged, of B "
            f"{other.loss}."
        )
    elif all(each.means.empty for each in (facts, other)):
        st.text(f"No step of either side has a mean {facts.loss} to draw.")
    else:
        draw_losses(asked, other, cursors)
    show_accuracies(both_of(asked, other), cursors)


def both_of(asked: Asked, other: data.runs.Course) -> list[tuple[str, data.runs.Course]]:
    """Both sides by their letter; one run counts once."""
    return [("A", asked.facts), *([] if asked.one_run else [("B", other)])]


def draw_losses(asked: Asked, other: data.runs.Course, cursors: dict[str, int]) -> None:
    loss = asked.facts.loss
    a, b = asked.facts.measured(loss), other.measured(loss)
    curves = [charts.Curve(s, f.meta.name, f.means) for s, f in both_of(asked, other)]
    st.plotly_chart(
        charts.loss_curves(curves, loss, cursors, a if a == b else f"A {a}; B {b}"),
        key="kl",
        alt=f"Mean {loss} over steps of A and B with intervals",
    )


def show_accuracies(both: list[tuple[str, data.runs.Course]], cursors: dict[str, int]) -> None:
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
