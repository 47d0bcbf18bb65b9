"""Finding a token type from any page: one key, a part of its spelling or its id, Enter."""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection, words
from app.components import finder

KEY = "Ctrl+K"
MOST = 12  # of those found that are shown


def offer_search(run: data.runs.RunKey) -> None:
    """The button, and its key on every page."""
    if st.button(
        "Find a token",
        key="find a token",
        icon=":material/search:",
        type="tertiary",
        shortcut=KEY,
        help="All types of the vocabulary, by a part of their spelling or their id.",
    ):
        find(run)


@st.dialog("Find a token")
def find(run: data.runs.RunKey) -> None:
    sought = st.text_input(
        "A part of it, or its id",
        live="150ms",
        placeholder="Wait, ␣Wait, 603",
        help="␣ space, ⏎ line break. Enter opens the first, the arrow keys walk through the list.",
    )
    hits, found = data.token.search(run, selection.asked("rule") or "default", sought, MOST)
    for hit in hits:
        controls.link_token(run, hit.token_id, label_of(hit))
    st.caption(told(sought, len(hits), found))
    finder.show("finder", sought)


def label_of(hit: data.token.Hit) -> str:
    """A line of the list: which type, and how it stands."""
    place = "" if hit.rank is None else f" · rank {hit.rank}{', in the set' * hit.in_set}"
    n = f"{hit.n:,} occurrence{'s' * (hit.n != 1)}" if hit.n else "occurs nowhere in these texts"
    return f"**{words.literal(hit.shown)}** · id {hit.token_id}{place} · {n}"


def told(sought: str, shown: int, found: int) -> str:
    if not sought.strip():
        return "The first of the ranking. Type to find any other."
    if not found:
        return "No type of the vocabulary holds this."
    cut = f", the first {shown} shown" if shown < found else ""
    return f"{found:,} type{'s' * (found != 1)}{cut}: the set first, then by Rock Score."
