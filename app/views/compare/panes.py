"""The panes of two texts, tied together: each on the scale of both, or B − A on the text of B."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from app import data
from app.components import pane_pair, token_pane

PANES = {"both": "A | B", "a": "A", "b": "B", "difference": "Difference"}


class Shown(NamedTuple):
    """A pair of texts as the page shows it."""

    a: data.compare.Text
    b: data.compare.Text
    pair: data.compare.Pair
    signal: str
    panes: str  # a key of PANES


def show_panes(shown: Shown) -> None:
    """The panes that were asked for, tied together."""
    letters = {"both": "AB", "a": "A", "b": "B", "difference": "B"}[shown.panes]
    places = st.columns(2) if shown.panes == "both" else [st.container()]
    for letter, place in zip(letters, places, strict=True):
        with place:
            show_pane(shown, letter, shown.panes == "difference")
    pane_pair.show(
        "pair",
        {s: f"compare {s}" for s in letters},
        shown.pair.aligned.blocks(),
        (shown.pair.values_a, shown.pair.values_b),
        shown.signal,
        data.compare.unit(shown.signal),
    )
    st.caption(
        "Point at a token, or walk with Tab and the arrow keys: its partner is framed, and a line "
        "at the foot gives both values."
    )


def show_pane(shown: Shown, letter: str, difference: bool) -> None:
    """One side as a text pane, on the scale of both, or in the colours of B − A."""
    of, a, b = (shown.a if letter == "A" else shown.b), shown.a.run, shown.b.run
    seen = data.compare.shown(shown.pair, of, letter, difference)
    scale_of = data.compare.difference_scale if difference else data.compare.scale
    scale = scale_of(a, b, shown.signal)
    view = token_pane.View(
        scale=scale,
        caption=difference_caption(shown, scale) if difference else caption(shown, of, letter),
        categories=data.runs.categories(of.run),
        state=seen.state,
        steps=[of.step],
        verdict=seen.verdict,
        mark=data.compare.threshold(a, b, "kl"),
        narrow=shown.panes == "both",
        quiet=True,
    )
    token_pane.show(f"compare {letter}", seen.text, seen.values, view)


def meaning(run: data.runs.RunKey, signal: str) -> str:
    facts = data.runs.facts(run)
    return facts.measured(signal) if signal in ("kl", facts.loss) else f"{signal} as logged"


def caption(shown: Shown, of: data.compare.Text, letter: str) -> str:
    """As long on both sides, so that the texts begin at one height."""
    return f"{letter} at step {of.step}. {meaning(of.run, shown.signal)}."


def difference_caption(shown: Shown, scale: dict[str, Any]) -> str:
    a, b = shown.a, shown.b
    over = "the run" if b.run.path == a.run.path else "both runs"
    return (
        f"B minus A, on the text of B: {a.name}, step {a.step} → {b.name}, step {b.step}. Blue: "
        f"lower in B, orange: higher. {meaning(b.run, shown.signal)}. Colours change at quantiles "
        f"of |{shown.signal}| over all {scale['tokens']:,} tokens of {over}."
    )
