"""The colours of things, wherever they are drawn: on a page, in a report. Those of values are the
dashboard's own.

A colour is mid-toned, so that one serves on a light and on a dark page, or a pair of one for each.
One thing has one colour: that of the Rock Tokens is nothing else's, blue and orange are the two
models and the two sides of zero. Where a colour of another thing comes near (a class, an arm), a
symbol, dash or pattern stands beside it.
"""

from __future__ import annotations

ROCK = "#d81b60"
STUDENT, TEACHER, NEUTRAL = "#3a82bd", "#e08214", "#8c8c8c"
VIOLET, SKY, TEAL, OLIVE = "#8073ac", "#5ab4d6", "#1f9e89", "#a8912b"
KL = "#26828e"  # of viridis: what a kl is drawn and written in where it has one colour
CONTROL = VIOLET
PAIR = (TEAL, VIOLET)  # two of a kind, such as two runs, or two ends of a training
SERIES = (  # of categories and of other series without a name, in this order
    *(TEAL, OLIVE, VIOLET, "#8fcfc4", "#5a4f8a", "#d8c24a", "#77a8a1", "#b2abd2", NEUTRAL),
    "#c7c7c7",
)
CLASSES: tuple[tuple[str, str], ...] = (  # what became of a type, in the order of rocks.CLASSES
    ("#d8c24a", "#b09a2f"),
    ("#2a938f", "#1f9e89"),
    ("#a8dbd2", "#1c5249"),
    ("#b9aedb", "#5e4f92"),
    ("rgba(0,0,0,0)", "rgba(0,0,0,0)"),  # never hard: the page shows
    ("#d9d9d9", "#4a4a4a"),
)
HARD, EASY = OLIVE, TEAL  # types at or above the mean loss of the first checkpoint, and below it
VERDICTS: dict[str, str] = {  # what a knockout says of a token
    "Strong Pillar": TEAL,
    "Strong Stumbling": OLIVE,
    "Neutral": VIOLET,
    "undecided": NEUTRAL,
}
ARMS: dict[str, str] = {  # one arm has one colour, wherever it is drawn
    "baseline": NEUTRAL,
    "rock-freeze": TEAL,
    "random-freeze": CONTROL,
    "dynamic": OLIVE,
    "soft": "#8fcfc4",
    "top-entropy": "#5a4f8a",
    "low-entropy": "#b2abd2",
    "iw-opd": "#d8c24a",
}
PHASES: dict[str, str] = {  # of a step of a training
    "sample": SKY,
    "teacher": TEACHER,
    "student": STUDENT,
    "update": VIOLET,
    "log": NEUTRAL,
}
PAGE = ("#ffffff", "#171614")  # Streamlit's own two pages, and the text on them
TEXT = ("#2f2d2b", "#edebe8")
