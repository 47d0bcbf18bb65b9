"""Formula cards: what a word, symbol or sign means, its equation, what it is in this run, what the
paper says, and where one goes wrong. All of it is told by `rockcore.glossary`.

A card is the help of a control, a number or a column (`help_of`), a button of its own where there
is none (`card`, `row`), and all words of a page are at its foot (`show_words`).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data, selection, words
from rockcore.glossary import TERMS, Term

PAPER = "Paper (arXiv 2605.09253)"
ALL = "all"  # words of a page: those of every topic


def help_of(key: str, *notes: str, **values: Any) -> str:
    """A card as Markdown, for `help=`. `notes`: what else is to be said at this place; `values`:
    numbers of the run, beside those that are known of it.
    """
    return "\n\n".join((_body(TERMS[key], _known() | values), *map(words.literal, notes)))


def card(key: str, **values: Any) -> None:
    """A button that opens a card, where no control or number has a help of its own."""
    term = TERMS[key]
    with st.popover(words.literal(_label(term)), icon=":material/help:", type="tertiary"):
        st.markdown(_body(term, _known() | values))


def row(*keys: str, **values: Any) -> None:
    """Cards beside each other, for what stands above in a chart or a table."""
    with st.container(horizontal=True, gap="small"):
        for key in keys:
            card(key, **values)


def _known() -> dict[str, Any]:
    """What is known of the open run by the rule of the link."""
    run = selection.opened()
    return {} if run is None else data.cards.values(run, selection.asked("rule") or "default")


def _label(term: Term) -> str:
    """A symbol alone says nothing to somebody who needs the card."""
    return term.name if term.symbol in ("", term.name) else f"{term.symbol} · {term.name}"


def _body(term: Term, values: dict[str, Any]) -> str:
    parts = [f"**{words.literal(_label(term))}**", words.literal(term.sentence)]
    if term.equation:
        parts.append(f"$$\n{term.equation}\n$$")
    if term.here and set(term.values) <= set(values):
        parts.append(words.literal(term.here.format(**values)))
    if term.paper:
        parts.append(f"*{PAPER}:* {words.literal(term.paper)}")
    if term.trap:
        parts.append(f"*Take care:* {words.literal(term.trap)}")
    return "\n\n".join(parts)
