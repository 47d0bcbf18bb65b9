"""The colours of things, wherever they are drawn: on a page, in a report. Those of values are the
dashboard's own.

A colour is mid-toned, so that one serves on a light and on a dark page, or a pair of one for each.
"""

from __future__ import annotations

STUDENT, TEACHER, NEUTRAL = "#3a82bd", "#e08214", "#8c8c8c"
KL = "#26828e"  # of viridis: what a kl is drawn and written in where it has one colour
VIOLET, SKY = "#8073ac", "#5ab4d6"
ROCK, CONTROL = TEACHER, VIOLET
SERIES = (  # of more series than have a name, in this order
    *(STUDENT, TEACHER, VIOLET, SKY, "#b35806", "#b2abd2", "#1f4e79", "#fdb863", NEUTRAL),
    "#c7c7c7",
)
ARMS: dict[str, str] = {  # one arm has one colour, wherever it is drawn
    "baseline": NEUTRAL,
    "rock-freeze": ROCK,
    "random-freeze": CONTROL,
    "dynamic": STUDENT,
    "soft": "#b35806",
    "top-entropy": SKY,
    "low-entropy": "#2f6f9f",
    "iw-opd": "#c7902f",
}
PAGE = ("#ffffff", "#171614")  # Streamlit's own two pages, and the text on them
TEXT = ("#2f2d2b", "#edebe8")
