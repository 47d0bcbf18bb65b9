"""Formula cards: what a word, symbol or sign means, its equation, what it is in this run, what the
paper says, and where one goes wrong. All of it is told by `rockcore.glossary`.

A card is the help of a control, a number or a column (`help_of`), a button of its own where there
is none (`card`, `row`); all cards of a page stand behind one button (`offer_words`).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data, selection, words
from app.page_words import WORDS
from rockcore.glossary import TERMS, Term

# how a heading may be written -> the term: p heads a column of p-values, in a formula it is a model
_IN_ORDER = list(TERMS.items())[::-1]  # of two that are written alike the first one counts
_KEYS = {word: key for key, term in _IN_ORDER for word in (term.symbol, term.name)}
_KEYS |= {word: key for key, term in _IN_ORDER for word in term.also}
PAPER = "Paper (arXiv 2605.09253)"
TITLE, KEY = "What the words mean", "Alt+W"


def help_of(key: str, *notes: str, **values: Any) -> str:
    """A card as Markdown, for `help=`. `notes`: what else is to be said at this place; `values`:
    numbers of the run, beside those that are known of it.
    """
    return "\n\n".join((body(TERMS[key], _known() | values), *map(words.literal, notes)))


def about(heading: str, note: str | None = None) -> str | None:
    """The help of a heading: the card of the term that is written so, if there is one, and a note
    in Markdown on this place.
    """
    term = TERMS.get(_KEYS.get(heading, _KEYS.get(heading.split(" (")[0], "")))
    parts = [body(term, _known())] if term else []
    return "\n\n".join([*parts, *([note] if note else [])]) or None


def on_columns(config: dict[str, Any]) -> dict[str, Any]:
    """The columns of a table, with the cards of those headings that the glossary has."""
    return {
        name: {**column, "help": about(column.get("label") or name, column.get("help"))}
        if isinstance(column, dict)
        else column
        for name, column in config.items()
    }


def card(key: str, **values: Any) -> None:
    """A button that opens a card, where no control or number has a help of its own."""
    term = TERMS[key]
    with st.popover(words.literal(label(term)), icon=":material/help:", type="tertiary"):
        st.markdown(body(term, _known() | values))


def row(*keys: str, **values: Any) -> None:
    """Cards beside each other, for what stands above in a chart or a table."""
    with st.container(horizontal=True, gap="small"):
        for key in keys:
            card(key, **values)


def offer_words(page: str) -> None:
    """A button that opens the cards of all words of a page, with a field that finds any other."""
    if st.button(
        "Words",
        key="words",
        icon=":material/menu_book:",
        type="tertiary",
        shortcut=KEY,
        help="What the words of this page mean: each with its equation, and what it is here.",
    ):
        st.dialog(TITLE, width="medium")(_show_words)(page)


def _show_words(page: str) -> None:
    wanted = st.text_input(
        "Find a word", placeholder="Rock Score, τ, sham …", icon=":material/search:"
    )
    here = WORDS.get(page, tuple(TERMS))
    keys = found(wanted) if wanted.strip() else here
    if not keys:
        st.text("No word is called so, and none is explained with it.")
    elif keys == here:
        st.caption(f"{len(here)} words of this page; of {len(TERMS)} in all.")
    known = _known()
    for key in keys:
        st.markdown(body(TERMS[key], known))


def found(wanted: str) -> list[str]:
    """The keys of the terms that a person looks for: those that are called so, then those that
    have it in their name, then in their sentence.
    """
    asked = wanted.strip().casefold()

    def distance(term: Term) -> int:
        spellings = [each.casefold() for each in term.spellings]
        if asked in spellings:
            return 0
        if any(asked in each for each in spellings):
            return 1
        return 2 if asked in term.sentence.casefold() else 3

    by_distance = sorted((distance(term), key) for key, term in TERMS.items())
    return [key for far, key in by_distance if far < 3]


def _known() -> dict[str, Any]:
    """What is known of the open run by the rule of the link."""
    run = selection.opened()
    return {} if run is None else data.cards.values(run, selection.asked("rule") or "default")


def label(term: Term) -> str:
    """Symbol and name: a symbol alone says nothing to somebody who needs the card."""
    words_of = term.name.split()
    return term.name if term.symbol in ("", *words_of) else f"{term.symbol} · {term.name}"


def body(term: Term, values: dict[str, Any]) -> str:
    parts = [f"**{words.literal(label(term))}**", words.literal(term.sentence)]
    # a line each: side by side they would be cut on a phone and in a tooltip
    parts += [f"$$\n{each.strip()}\n$$" for each in term.equation.split(r"\qquad") if each]
    if term.here and set(term.values) <= set(values):
        parts.append(words.literal(term.here.format(**values)))
    if term.paper:
        parts.append(f"*{PAPER}:* {words.literal(term.paper)}")
    if term.trap:
        parts.append(f"*Take care:* {words.literal(term.trap)}")
    return "\n\n".join(parts)
