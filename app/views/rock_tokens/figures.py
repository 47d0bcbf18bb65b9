"""The set in figures: among all types, against its control, over the rollouts, over the steps."""

from __future__ import annotations

import streamlit as st

from app import cards, data
from app.views.rock_tokens import charts
from app.views.rock_tokens.found import Found


def show_figures(found: Found) -> None:
    facts = found.facts
    about = (
        f"{facts.meta.name} · {facts.measured(found.rule.column)}<br>"
        f"{data.rocks.corpus_line(found.run, found.rule)}"
    )
    show_funnel(found, about)
    if found.report.ids:
        left, right = st.columns(2)
        with left:
            show_control(found, about)
        with right:
            show_densities(found, about)
    else:
        st.text("Without a set there is no control to set beside it, and no density to draw.")
    if found.report.single:
        st.text("There is one checkpoint, so there is no course of the types to draw.")
        return
    left, right = st.columns(2)
    with left:
        show_flow(found, about)
    with right:
        show_changes(found, about)


def show_funnel(found: Found, about: str) -> None:
    control_types = data.rocks.control_types(found.run, found.rule)
    band = data.rocks.frequency_band(found.types)
    st.plotly_chart(
        charts.funnel(found.types, control_types, band, about, found.rule.column),
        key="funnel",
        alt="Token types by frequency and mean loss",
    )
    st.caption(
        "Upper right: frequent and far from the teacher. Along a dotted line the Rock Score is "
        "the same."
    )
    cards.row("R", "R_ctx", "CCR", "kappa")


def show_control(found: Found, about: str) -> None:
    pair = data.rocks.category_pair(found.run, found.rule)
    if len(pair):
        st.plotly_chart(
            charts.category_pair(pair, about),
            key="pair",
            alt="Categories of rock occurrences and of the control",
        )
    control = found.report.control
    short = f" {control['short']} could not be placed." if control.get("short") else ""
    st.caption(f"Control: {control['how']}{short}")


def show_densities(found: Found, about: str) -> None:
    st.plotly_chart(
        charts.densities(data.rocks.densities(found.run, found.rule), about),
        key="density",
        alt="Rock density per rollout",
    )
    st.caption("The two definitions differ: a rock type also stands where it is easy.")
    cards.row("type_density", "occurrence_density")


def show_flow(found: Found, about: str) -> None:
    st.plotly_chart(
        charts.flow(data.rocks.flow(found.run, found.rule), found.report.steps, about),
        key="flow",
        alt="Hard types from checkpoint to checkpoint",
    )
    st.caption(f"{data.rocks.HARD} All rollouts count here, so small types may move by chance.")


def show_changes(found: Found, about: str) -> None:
    groups = found.report.groups
    st.plotly_chart(
        charts.group_changes(groups.loc[groups.types > 0], about),
        key="groups",
        alt="Relative change of three groups of types",
    )
    st.caption(
        "Types picked because they were high fall when measured again, even if nothing is "
        "learned; the blue dots are free of that."
    )
