"""One rollout as text, each token coloured by a signal: where, in what words, does the student
differ from its teacher?
"""

from typing import Any, NamedTuple

import streamlit as st

from app import controls, data, links, selection, words
from app.components import token_pane
from app.views.trace.asked import Place, asked_state
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
        "pins": pins_text(shown),
        "find": shown.get("find", ""),
        "hit": str(shown.get("hit") or ""),
    }
    texts |= {name: str(shown[name]) for name in ("step", "rollout") if name in shown}
    for name, text in texts.items():
        if selection.asked(name) != text:
            selection.put(name, text)


def pins_text(shown: dict[str, Any]) -> str:
    """The pinned positions as a link has them: with the text that they are positions of."""
    pins = links.joined(shown.get("pins", []))
    return f"{shown['text']}:{pins}" if pins else ""


def answer_the_pane() -> None:
    """A button in the pane asks for a page, or for the rule to be another."""
    asked = selection.told(PANE, "asked")
    if asked.get("what") == "type":
        selection.turn_to("token", token=str(asked["token"]))
    elif asked.get("what") == "undo":
        selection.undo("rule")
    elif asked.get("what") == "tau":
        try:
            rule = data.rocks.rule(selection.asked("rule") or "default")
            new = rule.changed(tau_pre=asked["tau"], tau_post=asked["tau"])
        except data.runs.RockError as e:
            selection.complain(str(e))
            return
        selection.put("rule", new.short())
        selection.pick("cut", "")


def changed_rule() -> str:
    """The τ that the rule was given by hand in this session, as far as that can be taken back."""
    before, now = selection.previous("rule"), selection.asked("rule") or "default"
    try:
        old, new = data.rocks.rule(before or "default"), data.rocks.rule(now)
    except data.runs.RockError:
        return ""
    if before is None or new.tau_post is None or new.tau_post == old.tau_post:
        return ""
    return f"The rule's τ is {new.tau_post:.4g} nats now."


def find_verdict(source: str, rollout: int, ids: Any, at_once: bool) -> data.rocks.Verdict:
    """What the rule of the link makes of the text; `at_once`: as far as that is known by now."""
    try:
        rule = data.rocks.rule(selection.text("rule", "default"))
    except data.runs.RockError as e:
        return data.rocks.Verdict(None, [], b"", b"", str(e))
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

    @property
    def place(self) -> Place:
        return Place(self.source, self.step, self.rollout)

    def view(
        self, ids: Any, verdict: data.rocks.Verdict, told: data.knockouts.OfText
    ) -> token_pane.View:
        names, at = data.runs.categories(run), self.rollouts.index(self.rollout)
        about = data.texts.Texts(self.source)
        origin = (
            "A fixed text, scored by the student of each logged step."
            if about.probe_set
            else "The student of this step wrote it."
        )
        meaning = (
            facts.measured(self.signal)
            if self.signal in ("kl", facts.loss)
            else data.texts.SIGNALS[self.signal].meaning
        )
        return token_pane.View(
            scale=data.texts.scale(run, self.signal),
            caption=f"{facts.meta.name} · {about.label} · rollout {self.rollout} · "
            f"{meaning.rstrip('.')}",
            about=origin,
            text_name=self.place.text_name,
            rule=changed_rule(),
            categories=names,
            state=asked_state(self.place, len(ids), names, verdict.names),
            steps=self.steps,
            verdict=verdict._asdict(),
            mark=data.texts.mark(run),
            before=self.rollouts[at - 1] if at else None,
            after=self.rollouts[at + 1] if at + 1 < len(self.rollouts) else None,
            file=words.file_name(f"{facts.meta.name}-{self.source}-rollout{self.rollout}"),
            knockouts=told._asdict(),
        )


def show_text(opened: Opened) -> None:
    """The pane and its files: the text at once, the verdict of the rule when it is known."""
    where = opened.place
    text, values = data.texts.text(run, *where), data.texts.values(run, *where)
    if not text.length:
        st.text("This rollout is empty: the student ended at once.")
        return
    ids = text.token_id
    first = controls.show_words_first(run, opened.signal, text)
    verdict = find_verdict(opened.source, opened.rollout, ids, at_once=True)
    told = data.knockouts.of_text(run, ids, at_once=True)
    view = opened.view(ids, verdict, told)
    draw = token_pane.show(PANE, text, values, view, follow_the_pane, answer_the_pane)
    first.empty()
    offer_downloads(*where)
    if verdict.later or told.later:
        told = data.knockouts.of_text(run, ids)
        verdict = find_verdict(opened.source, opened.rollout, ids, at_once=not verdict.later)
        draw(opened.view(ids, verdict, told))
    if verdict.classes:  # worked out by now: a large log is not for the sake of a line
        controls.show_rock_line(run)


def choose_text(sources: list[str]) -> Opened | None:
    """What the row of controls asks for; None, and why, where there is no such text."""
    names = list(data.texts.SIGNALS)
    with st.container(horizontal=True, key="trace controls"):
        source = controls.source(sources, width=170)
        steps = data.runs.steps(run, source)
        step = selection.choose("step", st.select_slider, "Step", steps, steps[-1], width=170)
        rollout, rollouts = controls.rollout(run, source, step, width=250)
        if rollout is None:
            st.text(f"Step {step} has no rollouts of this kind.")
            return None
        signal = controls.signal(run, "Colour", names, data.texts.Texts(source), width=160)
    if signal is None:
        st.text(f"There is nothing to colour by. {facts.held.lack('kl')}")
    controls.show_lacks(data.runs.lacks(run, names))
    return Opened(source, steps, step, rollouts, rollout, signal or "kl")


def page() -> None:
    sources = data.runs.logged_texts(run)
    if not sources:
        if not controls.show_elsewhere(run, "trace"):
            show_words(run, facts)
    elif (opened := choose_text(sources)) is not None:
        show_text(opened)


selection.turn()
st.title("Trace")
page()
