"""What is high before and after: the numbers that follow from the thresholds alone."""

from __future__ import annotations

import streamlit as st

from app import cards, data, words
from app.components.loss_histogram import Numbers

HEADING = "**1 High** before and after, of any type"
DIGITS = {  # field of a reading -> how many are shown behind the point
    "occurrences": 0,
    "types": 0,
    "token_share": 2,
    "loss_share": 1,
    "grad_share": 1,
}


def labels(rule: data.rocks.RockRule) -> list[str]:
    loss = words.loss_name(rule.column)
    return ["Occurrences", "Types", "% of tokens", f"% of {loss}", "% of gradient"]


def show_heading(rule: data.rocks.RockRule, known: bool) -> None:
    """What the numbers below are of, with what their names mean; or why there are none."""
    terms = ["high", *labels(rule)[1:]] if known else ["high"]
    st.markdown(HEADING, help="\n\n".join(filter(None, map(cards.about, terms))) or None)
    if not known:
        st.text(
            "Without paired texts no occurrence has both losses, so no number of high ones "
            "follows the thresholds. What they change is said below."
        )


def high_numbers(
    rule: data.rocks.RockRule,
    now: data.rocks.Instant,
    before: data.rocks.Instant | None,
    courses: list[data.rocks.Course],
) -> Numbers:
    """The numbers here, before the last change, and wherever a hand may put the thresholds."""
    return Numbers(
        labels=labels(rule),
        digits=list(DIGITS.values()),
        units=[" %" if name.endswith("share") else "" for name in DIGITS],
        now=shown(now.reading),
        before=None if before is None else shown(before.reading),
        courses=[
            {
                "moved": list(course.moved),
                "at": course.at,
                "numbers": list(zip(*map(shown, course.readings), strict=True)),
            }
            for course in courses
        ],
    )


def shown(reading: data.rocks.Reading) -> list[float | None]:
    """Its numbers as they are shown: shares in per cent, rounded."""
    values = ((name, getattr(reading, name), digits) for name, digits in DIGITS.items())
    return [
        round(100 * value, digits) if name.endswith("share") and value is not None else value
        for name, value, digits in values
    ]
