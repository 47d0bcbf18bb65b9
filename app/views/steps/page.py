"""One signal over the steps of a run: where, in which types, in what categories does the loss stay
or go?
"""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection
from app.views.steps import words
from app.views.steps.asked import Asked
from app.views.steps.categories import show_categories
from app.views.steps.positions import choose_rollout, show_positions
from app.views.steps.surfaces import explain_nothing
from app.views.steps.token_types import show_types

run = selection.run()
facts = data.runs.facts(run)


def page(sources: list[str]) -> None:
    probes = [data.texts.Texts(s) for s in sources if data.texts.Texts(s).probe_set]
    row = st.container(horizontal=True, key="steps controls")
    with row:
        view = selection.choose(
            "view",
            st.segmented_control,
            "View",
            list(words.VIEWS),
            "position" if probes else "type",  # no position of a fresh text has a history
            format_func=words.VIEWS.get,
            required=True,
        )
        source = controls.source(sources, width=170)
        steps = data.runs.steps(run, source)
        step = selection.choose(
            "step", st.select_slider, "Step cursor", steps, steps[-1], width=150
        )
        texts = data.texts.Texts(source)
        signal = controls.signal(run, "Signal", data.runs.SIGNALS, texts, width=130)
    controls.show_lacks(data.runs.lacks(run, data.runs.SIGNALS))
    if signal is None:
        explain_nothing(str(facts.held.lack("kl")))
        return
    if len(steps) == 1:
        st.text(words.one_step(steps[0]))
    asked = Asked(run, facts, source, signal, step)
    if view == "position" and source in probes:
        with row:
            rollout = choose_rollout(run, source, step)
        if rollout is not None:
            show_positions(asked, rollout, row)
        return
    if view == "position":
        explain_nothing(words.no_position_history([probe.label for probe in probes]))
    elif view == "type":
        show_types(asked, row)
    else:
        show_categories(asked, row)
    asked.link_to_trace()
    if view == "type":
        controls.show_rock_line(run)


st.title("Steps")
logged = data.runs.logged_texts(run)
if logged:
    page(logged)
elif facts.held.words:
    explain_nothing(str(facts.held.lack("kl")))
elif not controls.show_elsewhere(run, "steps"):
    st.text(words.NOTHING_YET)
