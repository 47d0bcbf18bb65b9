"""The numbers of the lab, each beside what it was before the last change."""

from __future__ import annotations

import math
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import cards, data, words
from app.views.threshold_lab import look

RECURRING = "**2 Recurring**"
IN_SET = "**3 In the set**"
CARDS = {"In similar contexts": "recurring"}  # label -> heading of a card
MOST_NAMED = 20  # types in a command


class Cell(NamedTuple):
    """A number now and before; None where it is not known."""

    label: str
    now: float | None
    before: float | None
    shown: str
    step: str
    unknown: str = "unknown"


class Gates(NamedTuple):
    """What an occurrence that is high passes on its way to a set, each with its own numbers."""

    recurring: DeltaGenerator
    in_set: DeltaGenerator

    @classmethod
    def drawn(cls) -> Gates:
        """Both, side by side, still without numbers."""
        with st.container(key=look.GATES):
            return cls(*st.columns([3, 9]))


def show_cells(gate: DeltaGenerator, heading: str, cells: list[Cell]) -> None:
    with gate:
        about = (cards.about(CARDS.get(cell.label, cell.label)) for cell in cells)
        st.markdown(heading, help="\n\n".join(filter(None, about)) or None)
        row = st.container(horizontal=True)
    for cell in cells:
        delta = None
        if cell.now is not None and cell.before is not None and cell.now != cell.before:
            delta = cell.step.format(cell.now - cell.before)
        value = cell.unknown if cell.now is None else cell.shown.format(cell.now)
        row.metric(cell.label, value, delta, delta_color="off")


def percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def set_numbers(report: data.rocks.RockReport | None) -> list[float | None]:
    """Kept occurrences, K, coverage, stability, density; None for what an empty set has not."""
    if report is None:
        return [None] * 5
    k, kept = len(report.ids), report.occurrences["consistent"]
    return [
        kept,
        None if report.unstable else k,
        percent(report.coverage) if k else None,
        None if math.isnan(report.stability.value) else report.stability.value,
        percent(report.density["occurrence"]) if k else None,
    ]


def show_set(
    gates: Gates, report: data.rocks.RockReport, before: data.rocks.RockReport | None
) -> None:
    """What needs contexts and halves: there a moment later."""
    none = "unknown" if report.ids else "–"
    about = (
        ("In similar contexts", "{:,}", "{:+,}", "unknown"),
        ("Rock Tokens K", "{}", "{:+}", "no set"),
        ("Coverage", "{:.0f} %", "{:+.0f}", none),
        ("Stability", "{:.2f}", "{:+.2f}", none),
        ("Occ. density", "{:.2f} %", "{:+.2f}", none),
    )
    pairs = zip(about, set_numbers(report), set_numbers(before), strict=True)
    recurring, *others = [Cell(a[0], now, old, a[1], a[2], a[3]) for a, now, old in pairs]
    show_cells(gates.recurring, RECURRING, [recurring])
    show_cells(gates.in_set, IN_SET, others)


def show_words(report: data.rocks.RockReport) -> None:
    """How the set came about, or why there is none, and what to know of it."""
    if report.no_set:
        st.warning(words.literal(report.no_set))
    else:
        st.caption(words.literal(about_k(report)))
    for note in report.notes:
        st.info(words.literal(note), icon=":material/info:")


def about_k(report: data.rocks.RockReport) -> str:
    """How K was chosen, and what its stability is."""
    rule, stable = report.asked, report.stability
    enough = (
        f" Enough is at least {100 * rule.least_share:.3g} % of the loss, and more than "
        f"{rule.even_share:g} × 1/{len(report.tokens):,} of it."
        if rule.automatic
        else ""
    )
    splits = (
        ""
        if math.isnan(stable.value)
        else f" Stability of this very set: {rule.draws} splits, middle 95 % {stable.low:.2f} to "
        f"{stable.high:.2f}."
    )
    return f"K = {len(report.ids)}: {report.how}.{enough}{splits}"


def show_pillars(run: data.runs.RunKey, report: data.rocks.RockReport) -> None:
    """Which types of the set the answers are known to need: a training that skips the set would
    leave them untaught.
    """
    if not report.ids:
        return
    found = data.knockouts.measured(run)
    if not found.verdicts:
        st.text(f"Pillars at risk: {found.missing}")
        return
    names = dict(zip(report.tokens.token_id, report.tokens.token, strict=True))
    at_risk = [i for i in report.ids if i in found.pillars]
    shown = "  ".join(
        f"W({words.visible(str(names[i]))})"
        if i in found.by_window
        else words.visible(str(names[i]))
        for i in at_risk[:40]
    )
    unknown = [i for i in report.ids if i not in found.verdicts]
    k = len(report.ids)
    rest = f" The others: {data.knockouts.command(run, unknown[:MOST_NAMED])}" if unknown else ""
    st.text(
        f"Pillars at risk: {len(at_risk)} of {len(found.pillars)} known Pillars are in the set"
        f"{f': {shown}' if at_risk else ''}. Knocked out: {k - len(unknown)} of its {k} types."
        f"{'' if data.knockouts.why_not(run) else rest}"
    )
    if found.note:
        st.text(found.note)
