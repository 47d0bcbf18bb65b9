"""Learn: eight steps from a picture to one's own conclusions. Each asks, shows what this run says,
and opens the real page, where something is to be done.
"""

from __future__ import annotations

import streamlit as st

from app import data, lesson, selection
from app.views.learn import picture, reveals_end, reveals_set, reveals_token
from app.views.learn.asked import Asked, again_on_a_sample, ask, prose, tick_here
from app.views.learn.steps import STEPS, LessonStep, after, number
from app.views.learn.words import EQUATION

REVEALS = {
    "picture": reveals_token.show_picture,
    "sample": reveals_token.show_draws,
    "training": reveals_token.show_training,
    "gates": reveals_set.show_gates,
    "gradient": reveals_set.show_gradient,
    "reasons": reveals_set.show_reasons,
    "cornerstones": reveals_end.show_cornerstones,
    "mistakes": reveals_end.show_mistakes,
}


def choose_step() -> LessonStep:
    """The step of the link, by default the first that is not ticked off."""
    ids = list(STEPS)
    first = next((i for i in ids if i not in lesson.ticked()), ids[0])
    chosen = selection.choose(
        "lesson",
        st.pills,
        "Steps",
        ids,
        first,
        format_func=lambda i: f"{ids.index(i) + 1}{' ✓' if i in lesson.ticked() else ''}",
        required=True,
        label_visibility="collapsed",
    )
    return STEPS[chosen]


def show_way(step: LessonStep) -> None:
    """Back and on, by key too."""
    ids = list(STEPS)
    at = ids.index(step.id)
    for label, key, to in (("Back", "Left", at - 1), ("Next", "Right", at + 1)):
        there = 0 <= to < len(ids)
        st.button(
            label,
            key=f"learn {label}",
            on_click=selection.pick,
            args=("lesson", ids[to] if there else step.id),
            disabled=not there,
            shortcut=key,
        )


def show_task(step: LessonStep) -> None:
    """What is to be done, and where."""
    with st.container(border=True):
        if step.id in lesson.ticked():
            st.markdown(":material/check_circle: **Done.**")
        st.markdown(f"**Now you:** {step.todo}")
        with st.container(horizontal=True):
            if step.page:
                state = lesson.open_state(step)
                lesson.begun()[step.id] = state
                selection.link(step.page, ":material/open_in_new: Go there", **state)
            if (following := after(step)) is not None:
                selection.link(
                    "learn",
                    f":material/arrow_forward: Next: {following.title}",
                    lesson=following.id,
                )
            else:
                st.markdown("That was all. Where to now?")
                selection.link("trace", ":material/arrow_forward: Read a text", lesson="")
                selection.link("threshold_lab", ":material/arrow_forward: Make a rule", lesson="")


def say_what_it_lacks(asked: Asked) -> None:
    """A run without kl can show little of all this."""
    if (gone := data.runs.holdings(asked.run).lack("kl")) is not None:
        again_on_a_sample(asked, str(gone))


def page() -> None:
    lesson.come_back()
    with st.container(horizontal=True, vertical_alignment="center"):
        step = choose_step()
        show_way(step)
    run, rule = selection.run(), lesson.rule()
    selection.text("rule", "default")
    st.subheader(f"{number(step)} · {step.title}")
    prose(step.text)
    if step.id == "picture":
        st.html(picture.as_html())
        prose(EQUATION)
    asked = Asked(run, rule, step, ask(step))
    say_what_it_lacks(asked)
    if not asked.answer:
        st.caption("Say what you think: the run answers.")
        return
    try:
        REVEALS[step.id](asked)
    except data.runs.RockError as e:
        again_on_a_sample(asked, str(e))
    if not step.page:
        tick_here(step)
    show_task(step)


st.title("Learn")
page()
