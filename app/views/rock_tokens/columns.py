"""How the columns of the tables of this page are headed, formatted and explained."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data, words

FIRST = "rank in_set shown".split()
WHOLE = """rock_score_ctx frequency mean share series class interval knockout_told persistent
consistent ccr precision rock_score coverage category type_density occurrence_density
token_id""".split()
OF_STEP = "rank shown token_id category frequency mean_kl rock_score share coverage".split()
SORTED = {"change": "interval"}  # sorted by a number that another column writes in words


def order(sort: str) -> list[str]:
    """The columns, with what they are sorted by among the first."""
    by = SORTED.get(sort, sort)
    return list(dict.fromkeys([*FIRST, by, *WHOLE]))


HEADS = {  # of what a table may be sorted by
    "rank": "rank",
    "rock_score_ctx": "R_ctx",
    "rock_score": "R",
    "mean": "mean loss",
    "frequency": "occurrences",
    "share": "share of the loss",
    "consistent": "recurring",
    "persistent": "high",
    "ccr": "CCR",
    "precision": "κ",
    "change": "change",
    "shown": "spelling",
    "token_id": "id",
}


def _number(
    heading: str, format: str | None = None, about: str | None = None, **settings: Any
) -> Any:
    return st.column_config.NumberColumn(heading, format=format, help=about, **settings)


def _text(heading: str, about: str | None = None, **settings: Any) -> Any:
    return st.column_config.TextColumn(heading, help=about, **settings)


def config(column: str, sort: str = "") -> dict[str, Any]:
    """Of the types, by a rule or of one step; `column` is the loss that is summed, `sort` the
    column by which the rows are sorted, marked in its head.
    """
    found = _config(words.loss_name(column))
    if (by := SORTED.get(sort, sort)) in found:
        arrow = "▲" if sort in data.rocks.ASCENDING else "▼"
        found[by]["label"] = f"{found[by]['label']} {arrow}"
    return found


def _config(column: str) -> dict[str, Any]:
    mean = _number(f"mean {column} (nats)", "%.4f", "After training.")
    return {
        "rank": _number("#", width=46),
        "in_set": st.column_config.CheckboxColumn(
            "set", width=52, help="Whether the type is a Rock Token under the rule."
        ),
        "shown": _text("token", "␣ space, ⏎ line break"),
        "knockout_told": _text(
            "knockout",
            "What became of the answers without it: accuracy without minus with, in points.",
        ),
        "frequency": _number("n", "%d", "Occurrences on these texts."),
        "mean": mean,
        "mean_kl": _number("mean KL (nats)", "%.4f", "Of this step's fresh rollouts."),
        "rock_score": _number(
            "R(v) (nats)",
            "%.2f",
            "Rock Score: mean × frequency, the type's part of the summed loss.",
        ),
        "share": _number("share", "percent", "R(v) as a share of the summed loss."),
        "coverage": _number(
            "coverage", "percent", "Share of this type and all above it in the ranking."
        ),
        "series": st.column_config.LineChartColumn(
            "over the steps", width=130, help=f"Mean {column} at each logged step.", y_min=0
        ),
        "interval": _text(
            "change, 95 %",
            "After minus before in nats, on the rollouts that did not choose the type.",
            alignment="right",
        ),
        **_occurrences(),
        "token_id": _number("id", "%d"),
    }


def _occurrences() -> dict[str, Any]:
    return {
        "persistent": _number("high", "%d", "Occurrences at or above τ, before and after."),
        "consistent": _number("recurring", "%d", "High occurrences in contexts that recur."),
        "ccr": _number("CCR", "%.2f", "Recurring occurrences as a share of all of the type."),
        "precision": _number(
            "κ",
            "%.2f",
            "High share of all occurrences in contexts similar to the recurring ones.",
        ),
        "rock_score_ctx": _number(
            "R_ctx (nats)", "%.2f", "R × CCR = mean × recurring occurrences: the frequency cancels."
        ),
        "type_density": _number("type density", "percent", "Its share of all tokens."),
        "occurrence_density": _number(
            "occ. density", "percent", "Its recurring occurrences as a share of all tokens."
        ),
    }
