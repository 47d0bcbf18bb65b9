"""What the rule takes in, as numbers beside what the rule before took in."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from app import data, words


class Cell(NamedTuple):
    """A number now and before; None where it is not known."""

    label: str
    now: float | None
    before: float | None
    shown: str
    step: str
    unknown: str = "unknown"


def show(cells: list[Cell]) -> None:
    for column, cell in zip(st.columns(len(cells)), cells, strict=True):
        delta = None
        if cell.now is not None and cell.before is not None and cell.now != cell.before:
            delta = cell.step.format(cell.now - cell.before)
        value = cell.unknown if cell.now is None else cell.shown.format(cell.now)
        column.metric(cell.label, value, delta, delta_color="off")


def percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def readout(now: data.rocks.Instant | None, before: data.rocks.Instant | None) -> None:
    """What the thresholds alone decide: there at once."""
    if now is None:
        st.text(
            "Without paired texts no occurrence has both losses: what is persistent is bounded "
            "below, not counted."
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
    show(cells)


def of_set(report: data.rocks.RockReport | None) -> list[float | None]:
    """Kept occurrences, K, coverage, stability, density; None for what an empty set has not."""
    if report is None:
        return [None] * 5
    k, kept = len(report.ids), report.occurrences["consistent"]
    return [
        kept,
        k,
        percent(report.coverage) if k else None,
        report.stability.value if k else None,
        percent(report.density["occurrence"]),
    ]


def set_readout(report: data.rocks.RockReport, before: data.rocks.RockReport | None) -> None:
    """What needs contexts and halves: there a moment later."""
    none = "unknown" if report.ids else "–"
    about = (
        ("Kept occurrences", "{:,}", "{:+,}", "unknown"),
        ("Rock Tokens K", "{}", "{:+}", "0"),
        ("Coverage", "{:.0f} %", "{:+.0f}", none),
        ("Stability", "{:.2f}", "{:+.2f}", none),
        ("Occ. density", "{:.2f} %", "{:+.2f}", "unknown"),
    )
    pairs = zip(about, of_set(report), of_set(before), strict=True)
    show([Cell(a[0], now, old, a[1], a[2], a[3]) for a, now, old in pairs])
    if report.why_empty:
        st.warning(words.plain(f"No type is in the set. {report.why_empty}"))
    if before is not None:
        moved(report, before)
    for note in report.notes:
        st.info(words.plain(note), icon=":material/info:")


def moved(report: data.rocks.RockReport, before: data.rocks.RockReport) -> None:
    """Which types came in, and which went."""
    now, old = set(report.ids), set(before.ids)
    names = dict(zip(report.tokens.token_id, report.tokens.token, strict=True))
    for verb, ids in (("In", now - old), ("Out", old - now)):
        if ids:
            shown = "  ".join(words.visible(str(names.get(i, i))) for i in sorted(ids)[:40])
            st.text(f"{verb}: {shown}")
