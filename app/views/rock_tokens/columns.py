"""How the columns of the tables of this page are headed, formatted and explained."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data

WHOLE = """rank in_set shown category class knockout_told frequency mean rock_score share coverage
series interval persistent consistent ccr precision rock_score_ctx type_density occurrence_density
token_id""".split()
OF_STEP = "rank shown token_id category frequency mean_kl rock_score share coverage".split()
CONTEXTS = "left shown right before after verdict rollout position".split()


def _number(
    heading: str, format: str | None = None, about: str | None = None, **settings: Any
) -> Any:
    return st.column_config.NumberColumn(heading, format=format, help=about, **settings)


def _text(heading: str, about: str | None = None, **settings: Any) -> Any:
    return st.column_config.TextColumn(heading, help=about, **settings)


def config(column: str) -> dict[str, Any]:
    """Of the types, by a rule or of one step; `column` is the loss that is summed."""
    mean = _number(f"mean {data.texts.SPOKEN[column]} (nats)", "%.4f", "At the last checkpoint.")
    return {
        "rank": _number("#", width="small"),
        "in_set": st.column_config.CheckboxColumn(
            "set", width="small", help="Whether the type is a Rock Token under the rule."
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
        "coverage": _number("coverage", "percent", "Share of this type and all above it."),
        "series": st.column_config.LineChartColumn(
            "over the steps", help=f"Mean {column} at each logged step.", y_min=0
        ),
        "interval": _text(
            "change, 95 %",
            "Last minus first checkpoint in nats, on the rollouts that did not choose the type.",
        ),
        **_occurrences(),
        "token_id": _number("id", "%d"),
    }


def _occurrences() -> dict[str, Any]:
    return {
        "persistent": _number("persistent", "%d", "Occurrences at or above both thresholds."),
        "consistent": _number("kept", "%d", "Persistent occurrences in contexts that recur."),
        "ccr": _number("CCR", "%.2f", "Kept occurrences as a share of all of the type."),
        "precision": _number(
            "κ",
            "%.2f",
            "Persistent share of all occurrences in contexts similar to the kept ones.",
        ),
        "rock_score_ctx": _number(
            "R_ctx (nats)", "%.2f", "R × CCR = mean × kept occurrences: the frequency cancels."
        ),
        "type_density": _number("type density", "percent", "Its share of all tokens."),
        "occurrence_density": _number(
            "occ. density", "percent", "Its kept occurrences as a share of all tokens."
        ),
    }


def contexts() -> dict[str, Any]:
    """Of occurrences in their contexts."""
    return {
        "left": _text("before it", alignment="right"),
        "shown": _text("token", alignment="center"),
        "right": _text("after it"),
        "before": _number("loss before", "%.3f", "At the first checkpoint, nats."),
        "after": _number("loss after", "%.3f", "At the last checkpoint, nats."),
    }
