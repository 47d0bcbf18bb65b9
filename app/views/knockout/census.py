"""How many verdicts there are, with and without a correction, and what the signs say."""

from __future__ import annotations

import streamlit as st

from app import tables
from app.views.knockout import columns
from app.views.knockout import words as sentences
from app.views.knockout.asked import Asked


def show_census(asked: Asked) -> None:
    found = asked.found
    tables.show(
        columns.census(found.census),
        hide_index=True,
        column_config=columns.ways(found.census),
        alt="Number of verdicts by the way of deciding",
    )
    st.text(sentences.family(found))
    for sentence in sentences.signs(found):
        st.text(sentence)
    st.text(sentences.power(found))
