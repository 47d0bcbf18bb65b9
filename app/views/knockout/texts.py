"""Rollouts with and without the picked candidate, side by side, and what stands in its place."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import controls, data, selection
from app.components import colours, pane_pair, token_pane
from app.views.knockout import words as sentences
from app.views.knockout.asked import Asked, names_of

SCALE: dict[str, Any] = {  # the roles of tokens; no number stands behind these colours
    "name": "with and without",
    "kind": "class",
    "unit": "",
    "meaning": "",
    "of": "",
    "edges": [],
    "quantiles": [],
    "tokens": 0,
    "over": "",
    "bins": [],
    "counts": [],
}


def show_texts(asked: Asked, candidate: str) -> None:
    rows = asked.found.candidates
    row: Any = next(rows.loc[rows.candidate == candidate].itertuples())
    name = names_of(rows.loc[rows.candidate == candidate])[0]
    st.subheader("With and without")
    st.text(sentences.about_candidate(row, name))
    controls.link_token(asked.run, int(row.token_id))
    st.text(sentences.replaced(data.knockouts.replacements(asked.key, candidate)))
    examples = data.knockouts.examples(asked.key, candidate)
    if not examples:
        st.text("No text without it is kept, so there is none to set beside.")
        return
    place = selection.choose(
        "knockout_text",
        st.selectbox,
        "Rollout",
        list(examples),
        next(iter(examples)),
        format_func=examples.get,
        help="Those whose grade the ban changed come first.",
    )
    show_pair(asked, data.knockouts.pair(asked.key, candidate, place))


def show_pair(asked: Asked, pair: data.knockouts.Pair) -> None:
    st.text(sentences.parting(pair))
    for place, side, caption in zip(
        st.columns(2), pair.sides, sentences.captions(pair), strict=True
    ):
        with place:
            view = token_pane.View(
                scale=SCALE,
                caption=caption,
                categories=data.runs.categories(asked.run),
                state=token_pane.State(0, pair.step),
                steps=[pair.step],
                verdict={
                    **token_pane.NO_VERDICT,
                    "names": list(data.knockouts.ROLES),
                    "classes": side.roles,
                },
                narrow=True,
                quiet=True,
                palette=colours.ROLES,
            )
            token_pane.show(f"knockout {side.letter}", side.text, side.values, view)
    pane_pair.show(
        "knockout pair", {s.letter: f"knockout {s.letter}" for s in pair.sides}, pair.blocks
    )
    st.caption(
        "Point at a token, or walk with Tab and the arrow keys: its partner is framed, and a line "
        "at the foot says where both stand."
    )
