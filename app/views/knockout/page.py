"""What became of the answers when the student might not write a token: Pillars, stumbling blocks,
and what this screen cannot tell.
"""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection, words
from app.views.knockout import words as sentences
from app.views.knockout.asked import Asked
from app.views.knockout.candidates import show_candidates, show_counts
from app.views.knockout.census import show_census
from app.views.knockout.empty import explain_no_screen
from app.views.knockout.predictors import show_predictors
from app.views.knockout.texts import show_texts

run = selection.run()
facts = data.runs.facts(run)


def say_what_was_screened(asked: Asked) -> None:
    st.text(sentences.screen_line(asked.found, facts.meta.name))
    for note in asked.found.notes:
        st.info(words.literal(note), icon=":material/info:")


def show_progress(key: data.knockouts.ScreenKey) -> bool:
    """How far a screen is that is not finished; whether there is something to show."""
    far = data.knockouts.progress(key)
    if not far.is_whole or not far.planned:
        st.info(words.literal(sentences.unfinished(far)), icon=":material/hourglass_top:")
        st.code(data.knockouts.command(run), language=None)
    return far.done > 0


def page() -> None:
    key = data.knockouts.key(run)
    if key is None:
        explain_no_screen(run)
        return
    if not show_progress(key):
        return
    asked = Asked(run, facts, key, data.knockouts.examined(key))
    controls.show_rock_line(run)
    say_what_was_screened(asked)
    show_counts(asked.found)
    FIGURES[controls.figure("knockout_figure", LABELS)](asked)


def show_one_by_one(asked: Asked) -> None:
    """Each candidate, and the texts of the one that is opened."""
    show_texts(asked, show_candidates(asked))


FIGURES = {"each": show_one_by_one, "known": show_predictors, "corrected": show_census}
LABELS = {
    "each": "What each one did",
    "known": "Could one have known?",
    "corrected": "With and without a correction",
}


st.title("Knockout")
st.text("Which tokens carry the answer? Forbid the student one of them, and grade it again.")
try:
    page()
except data.runs.RockError as e:
    st.subheader("This screen cannot be shown")
    st.text(str(e))
