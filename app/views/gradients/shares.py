"""Who takes the gradient: shares over the steps, how unequal they are, and the types as bubbles."""

from __future__ import annotations

import streamlit as st

from app import cards, data, selection
from app.views.gradients import charts
from app.views.gradients import words as sentences
from app.views.gradients.asked import Asked, RuleSet, pick_clicked_type
from app.views.gradients.one_type import show_type


def show_shares(asked: Asked, rocks: RuleSet) -> None:
    by = selection.choose(
        "by",
        st.segmented_control,
        "Stacked by",
        list(data.gradients.BY) if rocks.ids else ["category"],
        "category",
        format_func=data.gradients.BY.get,
        required=True,
    )
    stack = data.gradients.stacked(asked.run, asked.texts, asked.norm, by, rocks.rule)
    st.plotly_chart(
        charts.shares(
            stack.frame, stack.labels, asked.about, by, data.gradients.label_order(asked.run, by)
        ),
        key="shares",
        alt="Shares by label over the steps",
    )
    row = stack.at_last_step(data.gradients.IN_SET) if by == "set" else None
    if row is not None:
        st.text(sentences.of_the_set(row, len(rocks.ids), asked))
    elif by != "set":
        st.caption(
            "Where a band is wider in the third panel than in the first, its tokens take more of "
            "the gradient than their number says."
        )
    cards.row("grad_norm")


def show_inequality(asked: Asked, _: RuleSet) -> None:
    curves = data.gradients.inequality(asked.run, asked.texts, asked.norm, asked.step)
    st.plotly_chart(
        charts.lorenz(
            curves,
            f"{asked.facts.meta.name} · step {asked.step} · {data.gradients.SYMBOLS[asked.norm]}",
        ),
        key="lorenz",
        alt="Lorenz curves with Gini",
    )
    st.caption(
        "The further a curve hangs below the diagonal, the fewer types or tokens hold most of "
        "the norm."
    )
    cards.row("gini", "grad_norm")


def show_types(asked: Asked, rocks: RuleSet) -> None:
    now = data.gradients.at_step(asked.run, asked.texts, asked.norm, asked.step, rocks.ids)
    event = st.plotly_chart(
        charts.bubbles(now, f"step {asked.step} · {asked.about}"),
        key="bubbles",
        on_select="rerun",
        selection_mode="points",
        alt="Types by frequency, mean kl and share of the gradient norm",
    )
    pick_clicked_type(event)
    st.caption(
        "Upper right: frequent and far from the teacher. Click a type for what the log says of it."
    )
    show_type(asked, rocks.ids)
