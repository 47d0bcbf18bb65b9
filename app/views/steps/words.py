"""What the page Steps says: heads of columns, sentences below a heatmap, why one is empty."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data, words
from app.components import heatmap

VIEWS = {"position": "position × step", "type": "type × step", "category": "category × step"}
WHICH = {"set": "the set of the rule", "top": "top by score", "picked": "those selected"}
SORT_HELP = (
    "Score: Rock Score R(v) on these texts at the last logged step. Class: as on the page “Rock "
    "tokens”. Slope: the least-squares slope of the mean over the logged steps, the fastest rise "
    "first. Frequency: occurrences at the last logged step."
)
WHICH_HELP = "The rule is the one of the pages “Rock tokens” and “Threshold lab”."
TO_SEE = {
    "position": "the columns whose strong colour lasts from bottom to top.",
    "type": "the rows whose strong colour lasts from left to right.",
    "category": "a mean over many easy tokens is low even where some are hard: compare a row with "
    "its past.",
}
PLURAL = {"position": "positions", "token type": "types", "category": "categories"}
NO_TYPES = {
    "set": "The rule finds no Rock Tokens among the types of these texts. Loosen it in the "
    "Threshold lab, or choose “top by score”.",
    "picked": "No type is selected. Choose some above, or draw a box over another choice of types.",
    "top": "These texts have no tokens.",
}
OUT_OF_SIGHT = "The selected types are not among those shown; choose “those selected” to see them."
IN_ONE_CATEGORY = (
    "A type counts in one category, whichever it has where it mostly stands; Trace judges each "
    "occurrence."
)
NOTHING_YET = (
    "No step has logged its tokens yet. Reload in a moment (press R) if the run is training."
)
_NAMED_GAPS = 12


def steadily_high(
    high: tuple[int, float], surface: data.steps.Surface, scale: Any, rows: str
) -> str:
    """How many rows stay hard to the end, on what scale, and where the log has gaps."""
    count, edge = high
    what = PLURAL[rows]
    of = "of the absolute value over" if scale.signed else "over"
    missing = surface.axis.missing
    named = ", ".join(map(str, missing[:_NAMED_GAPS]))
    more = " …" if len(missing) > _NAMED_GAPS else ""
    gap = f" Not logged, though planned: step {named}{more}." if missing else ""
    return (
        f"{count:,} of {len(surface.names):,} {what} stay at or above {heatmap.number(edge)} "
        f"at every logged step, the 0.90 quantile {of} {scale.over}: "
        f"{TO_SEE['type' if rows == 'token type' else rows]}{gap}"
    )


def no_position_history(probes: list[str]) -> str:
    """Why fresh texts cannot be followed by position; `probes`: the labels of those that can."""
    have = (
        f"Choose “{'” or “'.join(probes)}” above."
        if probes
        else "This run has logged no probe texts (yet)."
    )
    return (
        "Fresh rollouts are other texts at every step, so a position has no history. "
        f"{have} Types and categories can be followed here."
    )


def one_step(step: int) -> str:
    return (
        f"Only step {step} is logged for these texts: there is one column, and no change to see "
        "until the next is."
    )


def columns(signal: str, unit: str, steps: list[int], step: int, loss: str) -> dict[str, Any]:
    """How the values of a table are headed: by the steps they stand for. `loss`: what the score
    sums up.
    """
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    per = f"{unit} per 100 updates" if unit else "per 100 updates"

    def at(heading: str, where: str) -> Any:
        return number(heading, format="%.4g", help=f"{signal} at the {where}. {unit}")

    return {
        "shown": text("token", help="␣ space, ⏎ line break"),
        "first": at(f"step {steps[0]}", "first logged step"),
        "cursor": at(f"step {step}, cursor", "step cursor"),
        "last": at(f"step {steps[-1]}", "last logged step"),
        "change": number("change", format="%+.4g", help=f"Last minus first. {unit}"),
        "tokens": number("n at cursor", format="%d", help="Tokens at the step cursor."),
        "frequency": number("n", format="%d", help="Tokens at the last logged step."),
        "score": number(
            "R(v) (nats)" if loss == "kl" else f"Σ {loss} (nats)",
            format="%.2f",
            help=f"Summed {loss} on these texts at the last logged step."
            + (" This is the Rock Score." if loss == "kl" else ""),
        ),
        "slope": number(
            "slope", format="%+.3g", help=f"Least-squares slope of the mean over steps, {per}."
        ),
        "slope_steps": number(
            "n steps", format="%d", help="Logged steps with a value, which the slope is fitted to."
        ),
        "token_id": number("id", format="%d"),
    }


def meaning(signal: str) -> str:
    """What a signal is, for a caption."""
    return f"{words.literal(signal)}: {words.literal(data.runs.meaning(signal))}"
