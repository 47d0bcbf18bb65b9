"""The candidates by what their knockout did: in numbers, as a chart, as a table, and which one is
opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import cards, data, selection, tables
from app.views.knockout import charts, columns
from app.views.knockout import words as sentences
from app.views.knockout.asked import Asked, names_of, pick_clicked

if TYPE_CHECKING:
    import pandas as pd

NEEDED = {"shown": "shown", "out": "left out"}
COUNTED = "Of the tokens that were candidates; random types beside them are not counted."
MOST_ROWS = 60  # of the chart; the table holds all


def show_candidates(asked: Asked) -> str:
    """The key of the candidate that is opened."""
    rows = choose_rows(asked.found.candidates)
    keys = rows.candidate.tolist()
    names = dict(zip(keys, names_of(rows), strict=True))
    chart = st.container()
    pick_row(show_table(rows, list(names.values())), keys)
    picked = choose_one(rows, names)
    with chart:  # drawn when the picked one is known
        show_chart(asked, rows, names, picked)
    return picked


def show_counts(found: data.knockouts.Knockouts) -> None:
    rows = found.by_token.loc[found.by_token.kind == "token"]
    for place, (verdict, about) in zip(st.columns(4), sentences.VERDICTS.items(), strict=True):
        n = sentences.counted(rows.verdict, verdict)
        place.metric(about.heading, f"{n} of {len(rows)}", help=cards.about(about.heading, COUNTED))
    for line in (sentences.decided(rows), sentences.needed_pillars(rows)):
        if line:
            st.text(line)
    st.text(sentences.neutral(found.levels.epsilon))
    st.caption(sentences.PAPER)


def choose_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The candidates that are looked at: of all kinds where none is chosen, and those that the
    answer needs unless they are left out.
    """
    rows = choose_kinds(rows)
    needed = sum(rows.needed)
    if not needed or needed == len(rows):
        return rows
    shown = selection.choose(
        "needed",
        st.segmented_control,
        "What the answer is written with",
        list(NEEDED),
        "shown",
        format_func=NEEDED.get,
        required=True,
        help=f"{needed} of {len(rows)} candidates ban an id that right answers are written with, "
        "such as a digit or the box.",
    )
    return rows if shown == "shown" else rows.loc[~rows.needed]


def choose_kinds(rows: pd.DataFrame) -> pd.DataFrame:
    """The candidates of the kinds that are chosen; all where none is."""
    kinds = [kind for kind in data.knockouts.KINDS if (rows.kind == kind).any()]
    chosen = selection.choose_some(
        "kind",
        st.pills,
        "Kind of knockout",
        kinds,
        selection_mode="multi",
        format_func=lambda k: f"{sentences.KINDS[k]} {list(rows.kind).count(k)}",
        help=sentences.KINDS_HELP,
    )
    return rows.loc[rows.kind.isin(chosen or kinds)]


def show_chart(asked: Asked, rows: pd.DataFrame, names: dict[str, str], picked: str) -> None:
    half = MOST_ROWS // 2
    cut = len(rows) > MOST_ROWS
    drawn = rows.iloc[[*range(half), *range(len(rows) - half, len(rows))]] if cut else rows
    sham = asked.found.placebo
    of_shams = (sham.low, sham.high, sham.n) if sham else (None, None, 0)
    bands = charts.Bands(asked.found.levels.epsilon, *of_shams)
    event = st.plotly_chart(
        charts.deltas(drawn, [names[k] for k in drawn.candidate], bands, picked, asked.about),
        key="deltas",
        on_select="rerun",
        selection_mode="points",
        alt="Change of accuracy by candidate with intervals; the table below holds the numbers",
    )
    before = selection.asked("candidate")
    pick_clicked(event)
    if selection.asked("candidate") != before:
        st.rerun()
    if cut:
        st.caption(f"The {half} lowest and the {half} highest of {len(rows):,} candidates.")
    st.caption(sentences.HOW_TO_READ)
    cards.row("delta", "epsilon", "sham", "max_T")


def show_table(rows: pd.DataFrame, names: list[str]) -> int | None:
    event = tables.show(
        columns.table(rows, names),
        hide_index=True,
        height=320,
        on_select="rerun",
        selection_mode="single-row",
        key="candidates",
        column_config=columns.config(),
        placeholder=columns.UNKNOWN,
        alt="Candidates by rising change of accuracy",
    )
    picked = event.selection.rows if event else []
    return picked[0] if picked else None


def pick_row(row: int | None, keys: list[str]) -> None:
    """A picked row becomes the candidate in the link."""
    key = keys[row] if row is not None and row < len(keys) else None
    if selection.is_new("candidate row", key):
        selection.pick("candidate", key or "")


def choose_one(rows: pd.DataFrame, names: dict[str, str]) -> str:
    return selection.choose(
        "candidate",
        st.selectbox,
        "Open",
        list(names),
        next(iter(names)),
        format_func=names.get,
        help="Pick a point or a row, or choose here.",
    )
