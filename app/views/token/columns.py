"""How the columns of the tables of this page are headed, formatted and explained."""

from __future__ import annotations

from typing import Any

import streamlit as st

INSTEAD = "shown teacher_p student_p teacher_first student_first token_id".split()
CONTEXTS = "left shown right before after verdict rollout position".split()


def _number(heading: str, format: str, about: str | None = None) -> Any:
    return st.column_config.NumberColumn(heading, format=format, help=about)


def instead(n: int) -> dict[str, Any]:
    """Of what would have been said at `n` places."""
    mean = "Mean probability over these places; 0 where it is not among the likeliest eight."
    return {
        "shown": st.column_config.TextColumn("instead"),
        "teacher_p": _number("teacher", "percent", mean),
        "student_p": _number("student", "percent", mean),
        "teacher_first": _number("teacher’s first", "%d", f"Likeliest at so many of {n} places."),
        "student_first": _number("student’s first", "%d", f"Likeliest at so many of {n} places."),
        "token_id": _number("id", "%d"),
    }


def contexts(before: int, after: int) -> dict[str, Any]:
    """Of occurrences in their contexts, at these steps."""
    text = st.column_config.TextColumn
    return {
        "left": text("before it", alignment="right"),
        "shown": text("token", alignment="center"),
        "right": text("after it"),
        "before": _number("step " + str(before), "%.3f", "Loss before, nats."),
        "after": _number("step " + str(after), "%.3f", "Loss after, nats."),
        "verdict": text("gates", help="How far the occurrence came: high, recurring, in the set."),
    }
