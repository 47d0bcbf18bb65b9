"""The set in figures, one at a time: among all types, against its control, over the rollouts, over
the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from app import cards, controls, data, words
from app.views.rock_tokens import charts
from app.views.rock_tokens.found import Found

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_LINKS = 8  # of the points that were picked


class Figure(NamedTuple):
    """A figure. `chart`: None where there is nothing to draw, and `below` says why."""

    chart: go.Figure | None
    alt: str
    below: str
    terms: tuple[str, ...] = ()  # of the glossary


def show_figures(found: Found) -> None:
    name = controls.figure("figure", LABELS)
    about = (
        f"{found.facts.meta.name} · {found.facts.measured(found.rule.column)}<br>"
        f"{data.rocks.corpus_line(found.run, found.rule)}"
    )
    show_figure(found.run, name, FIGURES[name](found, about))


@st.fragment
def show_figure(run: data.runs.RunKey, name: str, figure: Figure) -> None:
    if figure.chart is None:
        st.text(figure.below)
        return
    event = st.plotly_chart(
        figure.chart,
        key=f"figure {name}",
        alt=figure.alt,
        on_select="rerun" if name == "types" else "ignore",
        selection_mode=("points", "box"),
    )
    st.caption(words.literal(figure.below))
    if figure.terms:
        cards.row(*figure.terms)
    if name == "types":
        show_picked(run, event)


def show_picked(run: data.runs.RunKey, event: object) -> None:
    """The way to the types whose points were picked."""
    picked = event.selection.points if hasattr(event, "selection") else []  # pyright: ignore
    ids = [int(point["customdata"][5]) for point in picked if "customdata" in point]
    if not ids:
        return
    with st.container(horizontal=True):
        for token_id in ids[:MOST_LINKS]:
            controls.link_token(run, token_id)
        if len(ids) > MOST_LINKS:
            st.caption(f"and {len(ids) - MOST_LINKS:,} more in the box")


def of_types(found: Found, about: str) -> Figure:
    control_types = data.rocks.control_types(found.run, found.rule)
    band = data.rocks.frequency_band(found.types)
    return Figure(
        charts.funnel(found.types, control_types, band, about, found.rule.column),
        "Token types by frequency and mean loss",
        "Upper right: frequent and far from the teacher. Along a dotted line the Rock Score is the "
        "same. Click a point, or draw a box, to open its token.",
        ("R", "R_ctx", "CCR", "kappa"),
    )


def of_control(found: Found, about: str) -> Figure:
    control = found.report.control
    if not found.report.ids:
        return Figure(None, "", "Without a set there is no control to set beside it.")
    pair = data.rocks.category_pair(found.run, found.rule)
    short = f" {control['short']} could not be placed." if control.get("short") else ""
    below = f"Control: {control['how']}{short}"
    if not len(pair):
        return Figure(None, "", below)
    alt = "Categories of rock occurrences and of the control"
    return Figure(charts.category_pair(pair, about), alt, below)


def of_densities(found: Found, about: str) -> Figure:
    if not found.report.ids:
        return Figure(None, "", "Without a set there is no density to draw.")
    return Figure(
        charts.densities(data.rocks.densities(found.run, found.rule), about),
        "Rock density per rollout",
        "The two definitions differ: a rock type also stands where it is easy.",
        ("type_density", "occurrence_density"),
    )


def of_flow(found: Found, about: str) -> Figure:
    if found.report.single:
        return Figure(None, "", ONE)
    return Figure(
        charts.flow(data.rocks.flow(found.run, found.rule), found.report.steps, about),
        "Hard types from checkpoint to checkpoint",
        f"{data.rocks.HARD} All rollouts count here, so small types may move by chance.",
    )


def of_changes(found: Found, about: str) -> Figure:
    if found.report.single:
        return Figure(None, "", ONE)
    groups = found.report.groups
    return Figure(
        charts.group_changes(groups.loc[groups.types > 0], about),
        "Relative change of three groups of types",
        "Types picked because they were high fall when measured again, even if nothing is "
        "learned; the blue dots are free of that.",
    )


ONE = "There is one checkpoint, so there is no course of the types to draw."
FIGURES: dict[str, Callable[[Found, str], Figure]] = {
    "types": of_types,
    "control": of_control,
    "densities": of_densities,
    "flow": of_flow,
    "changes": of_changes,
}
LABELS = {
    "types": "Among all types",
    "control": "Against a control",
    "densities": "Over the texts",
    "flow": "Hard types over the steps",
    "changes": "Change of three groups",
}
