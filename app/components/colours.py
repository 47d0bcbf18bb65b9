"""The colours of a value, once for all that is drawn: viridis, and blue–orange around zero.

A colour is a pair: on a light page, on a dark one. In both themes the rare, large values stand out
most: dark on a light page, bright on a dark one. The most usual bin is clear and shows the page.
Scripts get these pairs with their data and know none of their own.
"""

from __future__ import annotations

from rockcore.colours import (
    ARMS,
    CLASSES,
    CONTROL,
    EASY,
    HARD,
    KL,
    NEUTRAL,
    OLIVE,
    PAGE,
    PAIR,
    PHASES,
    ROCK,
    SERIES,
    SKY,
    STUDENT,
    TEACHER,
    TEAL,
    TEXT,
    VERDICTS,
    VIOLET,
)

__all__ = [
    "ARMS",
    "CLASSES",
    "CONTROL",
    "EASY",
    "HARD",
    "KL",
    "NEUTRAL",
    "OLIVE",
    "PAGE",
    "PAIR",
    "PHASES",
    "ROCK",
    "SERIES",
    "SKY",
    "STUDENT",
    "TEACHER",
    "TEAL",
    "TEXT",
    "VERDICTS",
    "VIOLET",
]

Pair = tuple[str, str]

CLEAR: Pair = ("rgba(0,0,0,0)", "rgba(0,0,0,0)")
SEQUENTIAL: tuple[Pair, ...] = (  # from low to high
    ("#f6f7cf", "#2b2550"),
    ("#e6f0a0", "#352d68"),
    ("#c5e58a", "#3e4989"),
    ("#8fd3a0", "#31688e"),
    ("#4fb8a0", "#26828e"),
    ("#2a938f", "#1f9e89"),
    ("#32708e", "#35b779"),
    ("#40478a", "#9bd93c"),
    ("#440154", "#fde725"),
)
DIVERGING: tuple[Pair, ...] = (  # from far below zero to far above it
    ("#08519c", "#9ecae1"),
    ("#2f7fbc", "#6aaad4"),
    ("#6baed6", "#3a82bd"),
    ("#a9cfe6", "#2a5f8f"),
    ("#dcebf6", "#1c3a57"),
    CLEAR,
    ("#fdeeda", "#4a2c14"),
    ("#fdd0a2", "#7a4516"),
    ("#fd9a3e", "#c96a1b"),
    ("#d9680f", "#ef9237"),
    ("#a63603", "#ffc078"),
)
_ALONE = 5  # of SEQUENTIAL: the colour of a flag, or of whatever lies above a single edge


def sequential(bins: int) -> tuple[Pair, ...]:
    """A pair for each of `bins` bins of a scale that begins at zero; the lowest is clear."""
    if bins == 2:
        return CLEAR, SEQUENTIAL[_ALONE]
    last = len(SEQUENTIAL) - 1
    return CLEAR, *(SEQUENTIAL[int(i * last / (bins - 2) + 0.5)] for i in range(bins - 1))


def palette(bins: int, signed: bool = False) -> tuple[Pair, ...]:
    """A pair for each of `bins` bins, from low to high; a signed scale has those of DIVERGING, or
    none but a sequential one where it lacks its edges.
    """
    return DIVERGING if signed and bins == len(DIVERGING) else sequential(bins)


BOTH: Pair = ("#5b5b5b", "#b4b4b4")  # a handle that moves both thresholds
STUDENT_BAR: Pair = ("#9ecae1", "#1f5583")  # behind text
TEACHER_BAR: Pair = ("#fdc692", "#7d430f")
ROLES: tuple[
    Pair, ...
] = (  # of a token beside the text without it, in the order of knockouts.ROLES
    ("#d8c24a", "#b09a2f"),
    ("#2a938f", "#1f9e89"),
    ("#d9d9d9", "#4a4a4a"),
    CLEAR,
)
_BLACK, _WHITE = "#000000", "#ffffff"


def themed(pair: Pair) -> str:
    """A pair as one CSS colour that follows the theme."""
    return f"light-dark({pair[0]}, {pair[1]})"


def luminance(colour: str) -> float:
    """Of "#rrggbb", 0 to 1. Source: WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink(pair: Pair) -> Pair:
    """Black or white on each of the two, whichever is further from it."""
    # where both are as far: (L + 0.05)² = 1.05 * 0.05
    light, dark = (_BLACK if luminance(c) > 0.1791 else _WHITE for c in pair)
    return light, dark


def legible(colour: str) -> Pair:
    """A colour of things as that of words on either page: as much darker, or lighter, as 4.5 : 1
    asks for (WCAG 2.2, contrast), and no more.
    """
    light, dark = (_toward(colour, end, page) for end, page in zip((0, 255), PAGE, strict=True))
    return light, dark


def _toward(colour: str, end: int, page: str) -> str:
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    for part in range(21):
        moved = "#" + "".join(f"{round(p + (end - p) * part / 20):02x}" for p in parts)
        high, low = sorted((luminance(moved), luminance(page)), reverse=True)
        if (high + 0.05) / (low + 0.05) >= 4.5:
            break
    return moved
