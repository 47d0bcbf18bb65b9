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
SHADES = {"ratio": "change since start", "value": "value"}
SHADES_HELP = (
    "Change: the value at each step as a multiple of that at the first logged step, on a scale of "
    "factors; equal factors up and down are equally strong. Value: on the scale of the whole run."
)
TO_SEE = {
    "position": "the columns whose strong colour lasts from bottom to top.",
    "token type": "the rows whose strong colour lasts from left to right.",
    "category": "a mean over many easy tokens is low even where some are hard: compare a row with "
    "itself.",
    "ratio": "a row that stays pale stays as it was, one that turns blue fell, one that turns "
    "orange rose.",
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
    high: tuple[int, float], surface: data.steps.Surface, scale: Any, rows: str, to_see: str
) -> str:
    """How many rows are high at every step, on what scale, and where the log has gaps."""
    count, edge = high
    what = PLURAL[rows]
    size = " in absolute value" if scale.signed else ""
    missing = surface.axis.missing
    named = ", ".join(map(str, missing[:_NAMED_GAPS]))
    more = " …" if len(missing) > _NAMED_GAPS else ""
    gap = f" Not logged, though planned: step {named}{more}." if missing else ""
    return (
        f"{count:,} of {len(surface.names):,} {what} are at or above {heatmap.number(edge)}{size} "
        f"at every logged step: 90 % of the tokens of {scale.over} lie below that. "
        f"To see: {TO_SEE[to_see]}{gap}"
    )


def change(found: data.steps.Change, signal: str, unit: str, rows: str) -> str:
    """How all the rows together changed, and how many of them did by their own intervals."""
    what = PLURAL[rows]
    ends = f"{heatmap.number(found.before)} → {heatmap.number(found.after)} {unit}".strip()
    mean = f"mean {data.texts.SPOKEN.get(signal, signal)}"
    head = f"Step {found.first} → {found.last}: {mean} over all tokens of these {what}"
    if not found.is_known:
        return f"{head} {ends}; fewer than 4 rollouts hold them, so there is no interval."
    percent = lambda x: f"{100 * x:+.0f} %".replace("-", "−")  # noqa: E731
    interval = f"95 % {percent(found.low)} to {percent(found.high)}, {found.rollouts} rollouts"
    verb = "fell" if found.high < 0 else "rose" if found.low > 0 else "did not clearly change"
    by = f"{verb}: {percent(found.change)} ({interval}; {ends})"
    if not found.rows:
        return f"{head} {by}."
    rest = found.rows - found.fell - found.rose
    return (
        f"{head} {by}. By their own intervals {found.fell:,} of {found.rows:,} {what} fell, "
        f"{found.rose:,} rose, {rest:,} cannot be told."
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
        "factor": number(
            "×", format="%.3g", help="Last divided by first: 0.5 is half, 1 is unchanged."
        ),
        "low": number(
            "× from",
            format="%.3g",
            help="95 % interval of ×, resampling rollouts; empty below 4 of them.",
        ),
        "high": number("× to", format="%.3g", help="The upper end of that interval."),
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
