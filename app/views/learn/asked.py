"""The step that is open, and what the reader answered."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from app import data, lesson, links, selection
from app.views.learn import words as sentences
from app.views.learn.steps import LessonStep


class Asked(NamedTuple):
    """Of which run under which rule, at which step."""

    run: data.runs.RunKey
    rule: data.rocks.RockRule
    step: LessonStep
    answer: str  # of the reader; empty as long as there is none

    @property
    def name(self) -> str:
        return data.runs.facts(self.run).meta.name

    def tell(self, truth: str) -> None:
        """Whether the reader was right, and what is."""
        right = self.step.answers[truth]
        if self.answer == truth:
            st.markdown(f":material/check_circle: Right. **{right}**.")
        else:
            st.markdown(f":material/arrow_forward: No: **{right}**.")


def prose(text: str) -> None:
    """Our own words in the colours of the charts."""
    st.html(f'<p style="max-width:46rem;margin:0">{sentences.coloured(text)}</p>')


def ask(step: LessonStep) -> str:
    """The question of a step with its answers; what the reader said, which the link keeps."""
    name = f"guess_{step.id}"
    answer = selection.text(name, "")
    if not step.answers:
        return _guess_share(step, name, answer)
    answer = answer if answer in step.answers else ""
    selection.control(
        name,
        st.radio,
        step.question,
        answer or None,
        lambda said: selection.pick(name, said or ""),
        list(step.answers),
        format_func=step.answers.get,
        index=None,
        horizontal=True,
    )
    return answer


def _guess_share(step: LessonStep, name: str, answer: str) -> str:
    """A slider, whose first move is the answer."""
    known = links.is_count(answer) and int(answer) <= 100
    selection.control(
        name,
        st.slider,
        step.question,
        int(answer) if known else 0,
        lambda said: selection.pick(name, str(said)),
        min_value=0,
        max_value=100,
        format="%d %%",
    )
    return answer if known else ""


def draw_again(name: str, label: str) -> int:
    """A button that takes the next seed, which the link keeps; the seed."""
    text = selection.text(name, "")
    seed = int(text) if links.is_count(text) else 0
    st.button(
        label, on_click=selection.pick, args=(name, str(seed + 1)), shortcut="D", type="primary"
    )
    return seed


def at_token(asked: Asked) -> Any:
    """The occurrence of the lesson, after its text was drawn."""
    at = data.lessons.occurrence(asked.run, asked.rule)
    edges = data.runs.scale(asked.run, "kl").edges
    st.html(sentences.token_strip(at.near, edges))
    return at


def again_on_a_sample(asked: Asked, why: str) -> None:
    """This run cannot show it: why, and the way to one that can."""
    st.text(why)
    if name := data.lessons.offered_sample(asked.run):
        label = f"See it on the bundled run {name}"
        selection.link("learn", label, run=name, lesson=asked.step.id)


def tick_here(step: LessonStep) -> None:
    """For what is done on Learn itself."""
    names = ("draw", "deal")
    lesson.watch(step, dict.fromkeys(names, ""))
