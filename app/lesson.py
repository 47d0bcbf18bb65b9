"""Learn on the pages themselves: a strip that says what to do there and ticks it off, and the offer
at the first start.

The link holds which step is open (`lesson`); which are ticked off, this session remembers.
"""

from __future__ import annotations

import streamlit as st

from app import data, selection
from app.views.learn.steps import STEPS, LessonStep, after, number

_OFFER = "learn offered"


def current() -> LessonStep | None:
    """The step that the link names; None where it names none."""
    return STEPS.get(selection.asked("lesson"))


def ticked() -> set[str]:
    """The ids of the steps whose action the reader has done."""
    return selection.remembered("learned", set())


def rule() -> data.rocks.RockRule:
    """The rule of the link; the default where it is none."""
    try:
        return data.rocks.rule(selection.asked("rule") or "default")
    except data.runs.RockError:
        return data.rocks.rule("default")


def begun() -> dict[str, dict[str, str]]:
    """Step -> the state that its page had when it was opened for it."""
    return selection.remembered("lessons begun", {})


def open_state(step: LessonStep) -> dict[str, str]:
    """The state in which the page of a step is opened from Learn."""
    return {**step.enter(selection.run(), rule()), "lesson": step.id, "hide": ",".join(step.hide)}


def watch(step: LessonStep, state: dict[str, str]) -> None:
    """Tick the step off if what is asked for now is what the reader was asked to do since `state`,
    as the page of the step was first seen, or opened from Learn.
    """
    now = selection.everything_asked()
    seen = {name: now.get(name) or text for name, text in state.items()}
    if step.done(begun().setdefault(step.id, seen), now):
        ticked().add(step.id)


def come_back() -> None:
    """On Learn: what a lesson set on its page is as it was before."""
    away: set[str] = selection.remembered("lessons away", set())
    for step in (STEPS[name] for name in away):
        for name in step.leave:
            selection.keep(name, begun()[step.id].get(name, ""))
        begun().pop(step.id)
    if away:
        show_controls()
    away.clear()


def show_controls() -> None:
    """What the link of a lesson hides is drawn again."""
    selection.keep("hide", "")
    selection.text("hide", "")


def strip(page: str) -> None:
    """Above a page while a lesson is open: what to do, whether it is done, and the way on."""
    asked = selection.text("lesson", "")
    step = current()
    if step is None:
        selection.explain_gone("lesson", "Lesson", asked, ", ".join(STEPS))
        return
    here = step.page == page and selection.opened() is not None
    if here:
        watch(step, step.enter(selection.run(), rule()))
        selection.remembered("lessons away", set()).add(step.id)
    elif selection.asked("hide"):
        show_controls()
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(_said(step, here), width="stretch")
        _show_links(step, here)


def _said(step: LessonStep, here: bool) -> str:
    head = f"**Learn {number(step)}**"
    if step.id in ticked():
        return f"{head} :material/check_circle: Done: {step.title}"
    return f"{head} {step.todo}" if here else f"{head} {step.title}"


def _show_links(step: LessonStep, here: bool) -> None:
    back = dict.fromkeys((*step.leave, "hide"), "")
    following = after(step) if step.id in ticked() else None
    if not here and step.page and selection.opened() is not None:
        selection.link(step.page, "To its page", **open_state(step))
    selection.link("learn", "Back to Learn", **back, lesson=step.id)
    if following is not None:
        selection.link("learn", "Next step", **back, lesson=following.id)
    st.button(
        "Close",
        key="close lesson",
        type="tertiary",
        icon=":material/close:",
        on_click=close,
        help="Ends the lesson. Learn is first in the menu.",
    )


def close() -> None:
    for name in ("lesson", "hide"):
        selection.pick(name, "")


def offer() -> None:
    """At the first start, one line that leads to Learn; not after a link, nor twice."""
    shown = selection.remembered(_OFFER, {"on": selection.came_bare()})
    if not shown["on"] or ticked() or begun():
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        selection.link("learn", ":material/school: New here? Learn what you see, in five minutes")
        st.button("Not now", on_click=lambda: shown.update(on=False), type="tertiary")
