"""One rollout as text, each token coloured by a signal: where, in what words, does the student
differ from its teacher?
"""

from typing import Any, NamedTuple

import streamlit as st

from app import controls, data, links, selection, words
from app.components import token_pane
from app.views.trace.words import show_words

PANE = "token pane"
# field of the pane's state -> name in the link; each "" where it is at its default
LISTS = {"light": "light", "classes": "light_class", "only": "only"}

run = selection.run()
facts = data.runs.facts(run)


def follow_the_pane() -> None:
    """The pane was walked, stepped or filtered by hand: what it shows now is what the link says."""
    shown: dict[str, Any] = dict(selection.moved(PANE) or {})
    texts = {name: links.joined(shown.get(part, [])) for part, name in LISTS.items()}
    texts |= {
        "cut": shown.get("cut", ""),
        "span": "-".join(map(str, shown.get("span", []))),
        "types": links.joined(shown.get("types", [])),
        "rest": "" if (rest := shown.get("rest", "dim")) == "dim" else rest,
        "token_at": "" if shown.get("token") is None else str(shown["token"]),
    }
    texts |= {name: str(shown[name]) for name in ("step", "rollout") if name in shown}
    for name, text in texts.items():
        if selection.asked(name) != text:
            selection.put(name, text)


def selected_span(length: int) -> list[int]:
    """The positions selected on the page Steps, if the text has them."""
    asked = selection.text("span", "")
    try:
        return list(data.steps.span_of(asked, length) or ())
    except data.steps.NoSpan:
        there_is = f"0 to {length - 1:,}" if length else "none"
        selection.explain_gone("span", "Positions", asked, there_is, "all")
        return []


def selected_types() -> list[int]:
    """The token types to mark, as far as the vocabulary has them."""
    asked = links.listed(selection.text("types", ""))
    size = data.runs.facts(run).meta.vocab_size
    known = [int(i) for i in asked if links.is_count(i) and int(i) < size]
    gone = [i for i in asked if not (links.is_count(i) and int(i) < size)]
    selection.explain_gone(
        "types",
        "Types",
        links.span_of(gone) if gone else "",
        f"0 to {size - 1:,}",
        links.span_of(known),
    )
    return known


def asked_look() -> tuple[str, str]:
    """What becomes of the tokens that are not lit, and the threshold of a colour, as asked for."""
    rest, cut = (selection.text(name, "") for name in ("rest", "cut"))
    if rest and rest not in token_pane.RESTS:
        selection.explain_gone("rest", "Other tokens", rest, ", ".join(token_pane.RESTS), "dim")
        rest = ""
    if cut and not token_pane.is_cut(cut):
        selection.explain_gone("cut", "Threshold", cut, "a signal and a number, as kl:0.5")
        cut = ""
    return rest or "dim", cut


def asked_state(
    rollout: int, step: int, length: int, categories: list[str], classes: list[str]
) -> token_pane.State:
    """What the link asks of the pane, as far as it can be had."""
    rest, cut = asked_look()
    return token_pane.State(
        rollout=rollout,
        step=step,
        token=selection.place("token_at", "Token", length),
        light=selection.chosen("light", "Categories", categories),
        classes=selection.chosen("light_class", "Classes", classes) if classes else [],
        only=selection.chosen("only", "Only", token_pane.ONLY),
        span=selected_span(length),
        types=selected_types(),
        rest=rest,
        cut=cut,
    )


def find_verdict(source: str, rollout: int, ids: Any, at_once: bool) -> data.rocks.Verdict:
    """What the rule of the link makes of the text; `at_once`: as far as that is known by now."""
    try:
        rule = data.rocks.rule(selection.text("rule", "default"))
    except data.runs.RockError as e:
        return data.rocks.Verdict(None, [], "", "", str(e))
    return data.rocks.verdict(run, rule, source, rollout, ids, at_once)


def offer_downloads(source: str, step: int, rollout: int) -> None:
    left, right, _ = st.columns([1, 1, 3])
    name = words.file_name(f"{facts.meta.name}-{source}-step{step}-rollout{rollout}")
    asked = (run, source, step, rollout)
    left.download_button(
        "Tokens as CSV",
        lambda: data.texts.to_csv(*asked),
        f"{name}.csv",
        "text/csv",
        on_click="ignore",
    )
    right.download_button(
        "Tokens as Parquet",
        lambda: data.texts.to_parquet(*asked),
        f"{name}.parquet",
        "application/vnd.apache.parquet",
        on_click="ignore",
    )


class Opened(NamedTuple):
    """What is read, and among what."""

    source: str
    steps: list[int]
    step: int
    rollouts: list[int]
    rollout: int
    signal: str

    def view(
        self, ids: Any, verdict: data.rocks.Verdict, told: data.knockouts.OfText
    ) -> token_pane.View:
        names, at = data.runs.categories(run), self.rollouts.index(self.rollout)
        about = data.texts.Texts(self.source)
        origin = (
            "a fixed text, scored by the student of each logged step"
            if about.probe_set
            else "the student of this step wrote it"
        )
        meaning = (
            facts.measured(self.signal)
            if self.signal in ("kl", facts.loss)
            else data.texts.SIGNALS[self.signal].meaning
        )
        return token_pane.View(
            scale=data.texts.scale(run, self.signal),
            caption=f"{facts.meta.name}, {about.label}, rollout {self.rollout}: "
            f"{origin}. {meaning.rstrip('.')}.",
            categories=names,
            state=asked_state(self.rollout, self.step, len(ids), names, verdict.names),
            steps=self.steps,
            verdict=verdict._asdict(),
            tau=data.texts.tau(run),
            before=self.rollouts[at - 1] if at else None,
            after=self.rollouts[at + 1] if at + 1 < len(self.rollouts) else None,
            file=words.file_name(f"{facts.meta.name}-{self.source}-rollout{self.rollout}"),
            knockouts=told._asdict(),
        )


def show_text(opened: Opened) -> None:
    """The pane and its files: the text at once, the verdict of the rule when it is known."""
    where = opened.source, opened.step, opened.rollout
    text, values = data.texts.text(run, *where), data.texts.values(run, *where)
    if not text["length"]:
        st.text("This rollout is empty: the student ended at once.")
        return
    ids = data.texts.ids(text)
    verdict = find_verdict(opened.source, opened.rollout, ids, at_once=True)
    told = data.knockouts.of_text(run, ids, at_once=True)
    draw = token_pane.show(PANE, text, values, opened.view(ids, verdict, told), follow_the_pane)
    offer_downloads(*where)
    if verdict.later or told.later:
        told = data.knockouts.of_text(run, ids)
        verdict = find_verdict(opened.source, opened.rollout, ids, at_once=not verdict.later)
        draw(opened.view(ids, verdict, told))
    if verdict.no_set:
        st.text(f"By the rule of this link no token is a rock. {verdict.no_set}")


def page() -> None:
    sources = data.runs.logged_texts(run)
    if not sources:
        show_words(run, facts)
        return
    left, right = st.columns([3, 2])
    with left:
        source = controls.source(sources)
    with right:
        steps = data.runs.steps(run, source)
        step = selection.choose("step", st.select_slider, "Step", steps, steps[-1])
    texts = data.runs.rollouts(run, source, step)
    if texts.empty:
        st.text(f"Step {step} has no rollouts of this kind.")
        return
    left, right = st.columns([3, 2])
    hints = dict(zip(texts.rollout_id.tolist(), texts.hint, strict=True))
    with left:
        rollout = selection.choose(
            "rollout",
            st.selectbox,
            "Rollout",
            list(hints),
            next(iter(hints)),
            format_func=hints.get,
        )
    names = list(data.texts.SIGNALS)
    with right:
        signal = controls.signal(run, "Colour", names, data.texts.Texts(source))
    if signal is None:
        st.text(f"There is nothing to colour by. {facts.held.lack('kl')}")
    controls.show_lacks(data.runs.lacks(run, names))
    show_text(Opened(source, steps, step, list(hints), rollout, signal or "kl"))


st.title("Trace")
page()
