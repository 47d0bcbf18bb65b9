"""A run without a screen: what one would tell, how to make it, and what may stand in its way."""

from __future__ import annotations

import streamlit as st

from app import data


def explain_no_screen(run: data.runs.RunKey) -> None:
    st.subheader("Nothing has been knocked out here yet")
    st.text(
        "A high loss says that student and teacher disagree, not that it matters. A knockout "
        "forbids the student a token and counts the right answers again: that is a cause, not a "
        "correlation. It takes a minute or two on two cores for the built-in pair."
    )
    if why := data.knockouts.why_not(run):
        st.text(f"This run cannot be screened as it is. {why}")
        st.text("A run of this program keeps both:")
        st.code("rockcore train --out runs/mine\nrockcore knockout runs/mine", language=None)
        return
    st.text("Screen the candidates of its Rock Tokens:")
    st.code(data.knockouts.command(run), language=None)
