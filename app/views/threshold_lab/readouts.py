"""The numbers of the lab, each beside what it was before the last change."""

from __future__ import annotations

import math
from typing import NamedTuple

import streamlit as st

from app import cards, data, words

MOST_NAMED = 20  # types in a command


class Cell(NamedTuple):
    """A number now and before; None where it is not known."""

    label: str
    now: float | None
    before: float | None
    shown: str
    step: str
    unknown: str = "unknown"


def show_cells(cells: list[Cell]) -> None:
    for column, cell in zip(st.columns(len(cells)), cells, strict=True):
        delta = None
        if cell.now is not None and cell.before is not None and cell.now != cell.before:
            delta = cell.step.format(cell.now - cell.before)
        value = cell.unknown if cell.now is None else cell.shown.format(cell.now)
        column.metric(cell.label, value, delta, delta_color="off", help=cards.about(cell.label))


def percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def show_instant(now: data.rocks.Instant | None, before: data.rocks.Instant | None) -> None:
    """What the thresholds alone decide: there at once."""
    if now is None:
        st.text(
            "Without paired texts no occurrence has both losses, so no number of persistent ones "
            "follows the thresholds. What they change is said below."
        )
        return
    fields = (
        ("Persistent occurrences", "occurrences", "{:,}", "{:+,}"),
        ("their types", "types", "{:,}", "{:+,}"),
        ("% of tokens", "token_share", "{:.2f} %", "{:+.2f}"),
        ("% of loss", "loss_share", "{:.1f} %", "{:+.1f}"),
        ("% of gradient", "grad_share", "{:.1f} %", "{:+.1f}"),
    )
    cells = []
    for label, name, form, step in fields:
        value, old = (None if e is None else getattr(e.reading, name) for e in (now, before))
        if name.endswith("share"):
            value, old = percent(value), percent(old)
        cells.append(Cell(label, value, old, form, step, unknown="not logged"))
    show_cells(cells)


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
    run: data.runs.RunKey,
    report: data.rocks.RockReport,
    before: data.rocks.RockReport | None,
) -> None:
    """What needs contexts and halves: there a moment later."""
    none = "unknown" if report.ids else "–"
    about = (
        ("Kept occurrences", "{:,}", "{:+,}", "unknown"),
        ("Rock Tokens K", "{}", "{:+}", "no set"),
        ("Coverage", "{:.0f} %", "{:+.0f}", none),
        ("Stability", "{:.2f}", "{:+.2f}", none),
        ("Occ. density", "{:.2f} %", "{:+.2f}", none),
    )
    pairs = zip(about, set_numbers(report), set_numbers(before), strict=True)
    show_cells([Cell(a[0], now, old, a[1], a[2], a[3]) for a, now, old in pairs])
    if report.no_set:
        st.warning(words.literal(report.no_set))
    else:
        st.caption(words.literal(about_k(report)))
    if report.ids:
        show_pillars(run, report)
    if before is not None:
        show_moved(report, before)
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


def show_moved(report: data.rocks.RockReport, before: data.rocks.RockReport) -> None:
    """Which types came in, and which went."""
    now, old = set(report.ids), set(before.ids)
    names = dict(zip(report.tokens.token_id, report.tokens.token, strict=True))
    for verb, ids in (("In", now - old), ("Out", old - now)):
        if ids:
            shown = "  ".join(words.visible(str(names.get(i, i))) for i in sorted(ids)[:40])
            st.text(f"{verb}: {shown}")
