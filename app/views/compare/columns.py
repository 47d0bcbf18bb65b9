"""How the columns of the table of ranks are ordered, headed, formatted and explained."""

from __future__ import annotations

from typing import Any

import streamlit as st


def order(of_a_rule: list[str]) -> list[str]:
    """`of_a_rule`: the columns that only a rule fills."""
    ranked = "shown where rank_a rank_b moved score_a score_b".split()
    return [*ranked, *of_a_rule, "frequency_a", "frequency_b", "token_id"]


def config() -> dict[str, Any]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "shown": text("token", help="␣ space, ⏎ line break"),
        "where": text("in set", help="Which of the two sets the type is in."),
        "rank_a": number(
            "rank A",
            format="%d",
            help="None where the type does not occur. Types without a score follow by R(v).",
        ),
        "rank_b": number("rank B", format="%d"),
        "moved": number("moved", format="%+d", help="Places it stands higher in B than in A."),
        "score_a": number("score A (nats)", format="%.3f", help="Of the score that ranks."),
        "score_b": number("score B (nats)", format="%.3f"),
        "ccr_a": number(
            "CCR A",
            format="%.2f",
            help="Kept occurrences as a share of all of the type; only a rule knows them.",
        ),
        "ccr_b": number("CCR B", format="%.2f"),
        "frequency_a": number("n A", format="%d", help="Occurrences on the texts of this side."),
        "frequency_b": number("n B", format="%d"),
        "token_id": number("id", format="%d"),
    }
