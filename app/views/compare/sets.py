"""Both rock sets: what they share, and where each type ranks on either side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import cards, controls, data, selection
from app.views.compare import charts, columns
from app.views.compare import words as sentences
from app.views.compare.asked import Asked

if TYPE_CHECKING:
    import pandas as pd

BY = {"rule": "the rule", "score": "Rock Score at these steps"}
MOST_ROWS = 1_000
DRAWN = 20  # types in the chart of ranks


def show_sets(asked: Asked) -> None:
    st.subheader("Ranks of the types")
    found = choose_rankings(asked)
    show_overlap(found)
    if found.a.by == "rule":
        for letter, side, key in (("A", found.a, asked.a), ("B", found.b, asked.b)):
            controls.show_rock_line(key, f"{letter}, {side.name}")
    if not found.a.ids and not found.b.ids:
        st.text(
            "Neither side has a set, so nothing is shared: below stand all types by rank. The "
            "Threshold lab changes the rule."
        )
    table = data.compare.rank_changes(found)
    show_ranks(found, table, asked.facts)
    show_table(asked.a, table, ["ccr_a", "ccr_b"] if found.a.by == "rule" else [])


def choose_rankings(asked: Asked) -> data.compare.Sides:
    """Both rankings, and in one sentence what they are."""
    right, left = st.columns([3, 2])
    by = "score"
    if not asked.one_run:
        left, right = right, left
        with left:
            by = selection.choose(
                "by",
                st.segmented_control,
                "Ranked by",
                list(BY),
                "rule",
                format_func=BY.get,
                required=True,
            )
    if by == "rule":
        return rank_by_rule(asked)
    with right:
        top = selection.count(
            "top", "Types with the largest Rock Score", 1, 10_000, data.compare.TOP
        )
    return rank_by_score(asked, top)


def rank_by_rule(asked: Asked) -> data.compare.Sides:
    rule = data.rocks.rule(selection.text("rule", "default"))
    found = data.compare.ranked_by_rule(asked.a, asked.b, rule)
    a, b = (f"{side.where}, {side.source.label.lower()}, by {side.score}" for side in found)
    st.text(
        f"Each run by the rule {rule.short()}, its first checkpoint against its last where it has "
        f"two: A {a}; B {b}. The steps chosen above do not enter."
    )
    selection.link("threshold_lab", "Change the rule in the Threshold lab")
    return found


def rank_by_score(asked: Asked, top: int) -> data.compare.Sides:
    found = data.compare.ranked_by_score(asked.a, asked.step_a, asked.b, asked.step_b, top)
    st.text(
        f"Types by Rock Score R(v) over the fresh rollouts of step {asked.step_a} (A) and step "
        f"{asked.step_b} (B), the first {top} of "
        "each side by side. Fresh rollouts answer other prompts at every step. These are no Rock "
        "Tokens: of persistence the score says nothing, that takes a rule."
    )
    return found


def show_overlap(found: data.compare.Sides) -> None:
    """How much the sets share, in numbers and in tokens."""
    shared = data.compare.overlap(found)
    in_a, in_b, both = len(found.a.ids), len(found.b.ids), len(shared.both)
    places = st.columns(4)
    places[0].metric(
        "Jaccard",
        f"{shared.jaccard:.2f}" if in_a or in_b else "–",
        help=cards.help_of("jaccard", f"Here: {in_a} in A, {in_b} in B."),
    )
    places[1].metric(f"In both, of {in_a + in_b - both}", both)
    places[2].metric(f"Only in A, of {in_a}", len(shared.only_a))
    places[3].metric(f"Only in B, of {in_b}", len(shared.only_b))
    tokens = found.tokens()
    for what, ids in (
        ("In both", shared.both),
        ("Only in A", shared.only_a),
        ("Only in B", shared.only_b),
    ):
        if ids:
            st.text(f"{what}: {sentences.token_line(ids, tokens)}")


def show_ranks(found: data.compare.Sides, table: pd.DataFrame, facts: data.runs.Course) -> None:
    drawn = table.head(DRAWN)
    loss = facts.measured(found.a.column)
    about = f"A: {found.a.name}, {found.a.where}<br>B: {found.b.name}, {found.b.where}"
    score = " and ".join(dict.fromkeys(side.score for side in found))
    st.plotly_chart(
        charts.ranks(drawn, f"{about}<br>{score} · {loss}"),
        key="ranks",
        alt="Rank of token types in A and in B; the table below holds the numbers",
    )
    st.caption(
        f"The {len(drawn)} of {len(table):,} types that stand highest on either side. A long "
        "line: the type moved far."
    )


def show_table(run: data.runs.RunKey, table: pd.DataFrame, of_a_rule: list[str]) -> None:
    controls.show_types(
        run,
        table.head(MOST_ROWS),
        "ranks of types",
        height=320,
        column_order=columns.order(of_a_rule),
        column_config=columns.config(),
        alt="Token types with their ranks and scores on both sides",
    )
    st.caption(f"{min(len(table), MOST_ROWS):,} of {len(table):,} types of either side.")
