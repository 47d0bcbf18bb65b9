"""Each type early against late: its mean kl, or the length of its mean gradient."""

from __future__ import annotations

import streamlit as st

from app import data, selection
from app.views.gradients import charts
from app.views.gradients.asked import Asked, pick_clicked_type

MOVED = {  # as a choice, as a heading, as an axis
    "kl": ("mean KL", "Mean KL of each type", "KL (nats)"),
    "norm": (
        "length of the mean gradient",
        "Length of each type's mean gradient",
        "‖ḡ‖, corrected",
    ),
}
SHOWN = {"kl": "have a positive KL", "norm": "have a length that is told from 0"}


def show_change(asked: Asked, first: int, last: int, rock_ids: set[int]) -> None:
    change = data.gradients.change(asked.run, asked.texts, first, last, rock_ids)
    texts = f"{asked.facts.meta.name} · {asked.texts.label.lower()}, the same texts"
    about = f"{texts} · steps {first} and {last}"
    what = selection.choose(
        "moved",
        st.segmented_control,
        "Early against late",
        list(MOVED),
        "kl",
        required=True,
        format_func=lambda name: MOVED[name][0],
    )
    _, title, axis = MOVED[what]
    ends = data.gradients.positive_ends(change, what)
    left, right = st.columns(2)
    with left:
        event = st.plotly_chart(
            charts.early_late(ends, title, axis, about),
            key="early late",
            on_select="rerun",
            selection_mode="points",
            alt="Each type early and late",
        )
        pick_clicked_type(event)
    with right:
        st.plotly_chart(
            charts.change_histogram(ends.factors, "Its change as a factor", about),
            key="factors",
            alt="Factors of change",
        )
    st.caption(
        f"{ends.positive:,} of {ends.types:,} types {SHOWN[what]} at both steps and are shown. "
        "Below the diagonal: less than before. No number chose these types, so none falls by being "
        "measured again."
    )
