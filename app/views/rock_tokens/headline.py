"""The set in five numbers, and how many occurrences pass each gate on the way to it."""

from __future__ import annotations

import math
from typing import NamedTuple

import streamlit as st

from app import cards, data, words


class Cell(NamedTuple):
    label: str
    value: str
    about: str  # what it is of


def show_headline(report: data.rocks.RockReport) -> None:
    cells = (*set_cells(report), *density_cells(report))
    for place, cell in zip(st.columns(len(cells)), cells, strict=True):
        place.metric(
            cell.label, cell.value, help=cards.about(cell.label, words.literal(cell.about))
        )
    st.text(funnel_line(report))
    for note in report.notes:
        st.info(words.literal(note), icon=":material/info:")


def set_cells(report: data.rocks.RockReport) -> list[Cell]:
    """Its size, coverage and stability; those that an empty set does not have are dashes."""
    k, loss = len(report.ids), words.loss_name(report.rule.column)
    none = "no stable set" if report.unstable else "no type is in it"
    return [
        Cell(
            "Rock Tokens K",
            str(k) if k or not report.unstable else "no set",
            f"Of {len(report.tokens)} types: {report.how or none}.",
        ),
        Cell(
            "Coverage",
            words.percent(report.coverage) if k else "–",
            f"Share of the summed {loss} on tokens of these types, on the texts that chose them."
            + elsewhere(report),
        ),
        stability_cell(report),
    ]


def elsewhere(report: data.rocks.RockReport) -> str:
    """The coverage on texts that did not choose."""
    share = report.covered_elsewhere
    if math.isnan(share.value):
        return ""
    return (
        f" Where one half of the rollouts chooses as many and the other is measured: "
        f"{words.percent(share.value)} ({report.rule.draws} splits, middle 95 % "
        f"{words.percent(share.low)} to {words.percent(share.high)})."
    )


def stability_cell(report: data.rocks.RockReport) -> Cell:
    """How far halves of the rollouts agree on this very set."""
    stable = report.stability
    if math.isnan(stable.value):
        about = "One rollout has no halves." if report.ids else "Without a set there is none."
        return Cell("Stability", "unknown" if report.ids else "–", about)
    about = (
        f"Jaccard index of this set between disjoint halves of the rollouts: the mean of "
        f"{report.rule.draws} splits, middle 95 % {stable.low:.2f} to {stable.high:.2f}. The "
        "splits share rollouts, so this is no confidence interval."
    )
    return Cell("Stability", f"{stable.value:.2f}", about)


def density_cells(report: data.rocks.RockReport) -> list[Cell]:
    """Shares of all tokens, by the two definitions; dashes for an empty set."""
    about = {
        "type": "Share of all tokens that are of a rock type, wherever they stand.",
        "occurrence": "Share of all tokens that are rock occurrences: of a rock type, high, "
        "in a context that recurs.",
    }
    shares = {n: "unknown" if s is None else words.percent(s) for n, s in report.density.items()}
    return [
        Cell(f"{name.capitalize()} density", shares[name] if report.ids else "–", meaning)
        for name, meaning in about.items()
    ]


def funnel_line(report: data.rocks.RockReport) -> str:
    """How many occurrences pass each gate."""
    n, rule, steps = report.occurrences, report.rule, report.steps
    scored = f"{n['scored']:,} occurrences"
    if report.single:
        return f"{scored} at one checkpoint: which stay high is unknown."
    ends = f"before (step {steps[0]}) and after (step {steps[-1]})"
    if n["persistent"] is None:
        low, high = n["persistent_low"], n["persistent_high"]
        return f"{scored}, of which {low:,} to {high:,} are high {ends}."
    tau = f"τ = {rule.tau_post:.3g} nats"
    if rule.tau_pre != rule.tau_post:
        tau = f"{rule.tau_pre:.3g} nats before, {rule.tau_post:.3g} after"
    return (
        f"{scored} → {n['persistent']:,} high {ends}: at least {tau} → {n['consistent']:,} "
        f"recurring → {n['in_set']:,} in the set."
    )
