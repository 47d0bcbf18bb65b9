"""The set in five numbers, and how many occurrences pass each gate on the way to it."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from app import data, words

HOW = {
    "given": "as the rule says",
    "stability": "the largest with a split-half Jaccard of {least:g} or more",
    "knee": "the knee of coverage: no K is stable",
    "tau_rock": "by the threshold on the score",
}


class Cell(NamedTuple):
    label: str
    value: str
    about: str  # what it is of


def show_headline(report: data.rocks.RockReport) -> None:
    cells = (*set_cells(report), *density_cells(report.density))
    for place, cell in zip(st.columns(len(cells)), cells, strict=True):
        place.metric(cell.label, cell.value, help=cell.about)
    if report.why_empty:
        st.warning(words.literal(f"No type is in the set. {report.why_empty}"))
    st.text(funnel_line(report))
    for note in report.notes:
        st.info(words.literal(note), icon=":material/info:")


def set_cells(report: data.rocks.RockReport) -> list[Cell]:
    """Its size, coverage and stability; those that an empty set does not have are dashes."""
    stable, k = report.stability, len(report.ids)
    how = HOW[report.chosen_by].format(least=report.rule.min_jaccard)
    return [
        Cell(
            "Rock Tokens K",
            str(k),
            f"Of {len(report.tokens)} types. {how if k else 'None is in it'}.",
        ),
        Cell(
            "Coverage",
            f"{report.coverage:.0%}" if k else "–",
            f"Share of the summed {report.rule.column} on tokens of these types.",
        ),
        Cell(
            "Stability",
            f"{stable.value:.2f}" if k else "–",
            f"Jaccard of two disjoint halves, {stable.low:.2f} to {stable.high:.2f} in 95 % of "
            "the splits."
            if k
            else "An empty set has none.",
        ),
    ]


def density_cells(density: dict[str, float | None]) -> list[Cell]:
    """Shares of all tokens, by the two definitions."""
    about = {
        "type": "Share of all tokens that are of a rock type, wherever they stand.",
        "occurrence": "Share of all tokens that are rock occurrences: of a rock type, persistent, "
        "in a context that recurs.",
    }
    return [
        Cell(
            f"{name.capitalize()} density",
            "unknown" if density[name] is None else f"{density[name]:.1%}",
            meaning,
        )
        for name, meaning in about.items()
    ]


def funnel_line(report: data.rocks.RockReport) -> str:
    """How many occurrences pass each gate."""
    n, rule = report.occurrences, report.rule
    if n["persistent"] is None:
        return (
            f"{n['scored']:,} occurrences, of which {n['persistent_low']:,} to "
            f"{n['persistent_high']:,} are persistent."
        )
    return (
        f"{n['scored']:,} occurrences → {n['persistent']:,} persistent (at least "
        f"{rule.tau_pre:.3g} nats before, {rule.tau_post:.3g} after) → {n['consistent']:,} in "
        f"contexts that recur → {n['in_set']:,} of a type in the set."
    )
