"""The Rock Tokens of a run under a rule: which types, how sure, in what contexts, against what
control.
"""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection, words
from app.views.rock_tokens import columns
from app.views.rock_tokens.figures import show_figures
from app.views.rock_tokens.found import find
from app.views.rock_tokens.headline import show_headline
from app.views.rock_tokens.table import show_types

run = selection.run()
facts = data.runs.facts(run)


def show_ranking() -> None:
    """Where no detection is possible: the types of one step by Rock Score."""
    steps = data.runs.steps(run)
    if not steps or not facts.held.has("kl", data.runs.Texts.FRESH):
        return
    step = selection.choose("step", st.select_slider, "Step", steps, steps[-1])
    st.text(f"The types of step {step} by Rock Score alone, which needs no second checkpoint:")
    controls.show_types(
        run,
        data.runs.ranking(run, step),
        "types of a step",
        column_order=columns.OF_STEP,
        column_config=columns.config("kl", data.rocks.RANK),
        alt="Token types of one step by Rock Score",
    )


def offer_ways_on() -> None:
    """Rules that may be tried in place of one that cannot."""
    for label, other in data.rocks.ways_on(run, selection.text("rule", "default")).items():
        st.button(label, on_click=selection.put, args=("rule", other.short()))


def page() -> None:
    rule = data.rocks.rule(selection.text("rule", "default"))
    found = find(run, facts, rule)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(words.literal(facts.measured(rule.column)), help="What the loss of the rule is.")
        st.text(data.rocks.corpus_line(run, rule), width="content")
        selection.link("threshold_lab", "Change the rule")
    controls.show_rock_line(run)
    show_headline(found.report)
    show_types(found)
    if data.rocks.only_scanned(run, rule):
        st.text("Figures of texts, controls and steps take the log itself.")
    else:
        show_figures(found)


st.title(
    "Rock tokens",
    help="Token types whose loss is high before and after training, at places that recur in "
    "similar contexts.",
)
try:
    page()
except data.runs.RockError as e:
    st.subheader("No Rock Tokens can be found here")
    st.text(str(e))
    offer_ways_on()
    show_ranking()
