"""The moods in which a solution can be written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mood:
    """Habits of a writer: each number is the probability of a choice that does not change the
    answer.
    """

    name: str
    markers: dict[str, float]  # the word that opens a step
    phrases: tuple[float, float, float]  # which of the three PHRASES of an operation
    check: float  # a check after a step
    lets: float  # opens with "Let ..." rather than the plain opening
    dollar: float  # $ ... $ rather than \( ... \)
    bold: float  # **Answer** rather than a plain word


MOODS = (
    Mood(
        "brisk",
        {"So": 0.80, "Thus": 0.08, "Then": 0.06, "Now": 0.06},
        (0.86, 0.07, 0.07),
        0.03,
        0.05,
        0.90,
        0.10,
    ),
    Mood(
        "careful",
        {"Then": 0.46, "Next": 0.42, "Now": 0.06, "Since": 0.06},
        (0.07, 0.86, 0.07),
        0.60,
        0.50,
        0.10,
        0.90,
    ),
    Mood(
        "formal",
        {"We see": 0.80, "Hence": 0.10, "Thus": 0.10},
        (0.07, 0.07, 0.86),
        0.05,
        0.95,
        0.15,
        0.50,
    ),
    Mood(
        "chatty",
        {"Now": 0.80, "Well": 0.08, "So": 0.06, "Then": 0.06},
        (0.34, 0.33, 0.33),
        0.30,
        0.30,
        0.60,
        0.30,
    ),
)


def note(mood: Mood) -> str:
    """The style note that stands in front of a problem when a prompt names its mood."""
    return f"Style: {mood.name}. "
