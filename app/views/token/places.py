"""Where the type stands, its course, and what would have been said in its place."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data, selection, tables, words
from app.views.token import charts, columns
from app.views.token.asked import Asked

LINKED = 6  # occurrences that are links; the others are in the table below


def show_course(asked: Asked, in_set: bool, tau: float | None) -> None:
    found = data.token.history(asked.run, asked.rule, asked.token_id)
    about = f"{asked.facts.meta.name} · {found.texts.phrase}"
    if found.steps:
        st.plotly_chart(
            charts.course(found, in_set, tau, f"{about} · {asked.facts.measured(found.column)}"),
            key="course",
            alt="Mean loss of the type at each step with its interval",
        )
    st.caption(words.literal(found.sentence))


def show_contexts(asked: Asked) -> None:
    """Each opens Trace there."""
    report = data.rocks.found(asked.run, asked.rule).report
    rows = data.token.contexts(asked.run, asked.rule, asked.token_id)
    if rows.empty:
        st.text("It stands nowhere in the texts that the rule judges.")
        return
    st.caption("Each opens Trace there. First the losses before and after, in nats.")
    for row in rows.head(LINKED).itertuples():
        link_place(row, report)
    with st.expander(f"All {len(rows):,} that are listed, as a table"):
        event = tables.show(
            rows,
            hide_index=True,
            height=300,
            on_select="rerun",
            selection_mode=["single-row", "single-cell"],
            key="places",
            column_order=columns.CONTEXTS,
            column_config=columns.contexts(report.steps[0], report.steps[-1]),
            alt="Occurrences of the type in their contexts",
        )
        picked = tables.picked_row(event)
        if picked is not None:
            link_place(rows.iloc[picked], report, whole=True)
        else:
            st.caption("Pick a row to open it in Trace.")


AROUND = 16  # characters of context in a link
HAIR = "\u200a"  # a space that is hardly seen, without which Markdown has no bold comma in a word


def _gap(beside: str) -> str:
    return " " if beside == " " else HAIR


def link_place(row: Any, report: data.rocks.RockReport, whole: bool = False) -> None:
    """A link to Trace at an occurrence: its losses before and after, a little of its context."""
    left, right = str(row.left), str(row.right)
    if not whole:
        left, right = f"…{left[-AROUND:]}", f"{right[:AROUND]}…"
    losses = [f"{getattr(row, end):.2f}" for end in ("before", "after") if hasattr(row, end)]
    selection.link(
        "trace",
        f"{' → '.join(losses)} · {words.literal(left)}{_gap(left[-1:])}"
        f"**{words.literal(row.shown)}**{_gap(right[:1])}{words.literal(right)}",
        source=report.source.value,
        step=str(report.steps[-1]),
        rollout=str(row.rollout),
        token_at=str(row.position),
        span="",
        types="",
        only="",
    )


def show_instead(asked: Asked) -> None:
    found = data.token.instead(asked.run, asked.rule, asked.token_id)
    st.text(found.sentence)
    tables.show(
        found.frame,
        hide_index=True,
        column_order=columns.INSTEAD,
        column_config=columns.instead(found.n),
        alt="What student and teacher would have said in place of the type",
    )
    st.caption(
        f"{found.n:,} of its {found.of:,} occurrences in the {found.texts.phrase} have both "
        f"models’ likeliest tokens, step {found.step}."
    )
