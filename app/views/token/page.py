"""One token type: whether it is a Rock Token and why, its course, its places, what it takes, and
what becomes of training and answers without it. Whatever names a type leads here.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import controls, data, pins, selection, words
from app.views.token import measured, places
from app.views.token.asked import Asked, asked_type

SIGNS = {True: ":material/check_circle:", False: ":material/cancel:", None: ":material/help:"}
GATES = {
    "high": "Gate 1 · high",
    "recurring": "Gate 2 · recurring",
    "in the set": "Gate 3 · in the set",
}
run = selection.run()


def part(heading: str, draw: Callable[..., None], *about: object) -> None:
    """A part of the page, or why it cannot be had."""
    st.subheader(heading)
    try:
        draw(*about)
    except data.runs.RockError as e:
        st.text(str(e))


def show_verdict(asked: Asked) -> tuple[bool, float | None]:
    """Why it is a Rock Token, or is none; returns whether it is, and the rule's τ."""
    try:
        found = data.token.verdict(asked.run, asked.rule, asked.token_id)
        report = data.rocks.found(asked.run, asked.rule).report
    except data.runs.RockError as e:
        st.text(f"Whether it is a Rock Token cannot be told. {e}")
        return False, None
    st.markdown(f"**{words.literal(found.sentence)}**")
    if found.gates:
        for place, gate in zip(st.columns(3), found.gates, strict=True):
            place.markdown(f"{SIGNS[gate.passed]} {GATES[gate.name]}: **{gate.value}**")
    tau = report.rule.tau_post
    return found.in_set, None if report.single else tau


def show_neighbours(asked: Asked) -> None:
    """The types before and after it in the ranking, and those that are spelled alike."""
    with st.container(horizontal=True):
        try:
            before, after = data.token.beside(asked.run, asked.rule, asked.token_id)
        except data.runs.RockError:
            before = after = None
        for arrow, token in (("←", before), ("→", after)):
            if token is not None:
                shown = words.literal(data.token.shown(asked.run, token))
                controls.link_token(asked.run, token, f"{arrow} {shown} in the ranking")
        for hit in data.token.alike(asked.run, asked.rule_text, asked.token_id):
            where = "in the set" if hit.in_set else f"{hit.n:,}×" if hit.n else "never"
            controls.link_token(
                asked.run, hit.token_id, f"spelled alike: {words.literal(hit.shown)} ({where})"
            )
        pins.offer_pin(asked.run, token=asked.token_id, label="Pin this token")


def show_change(asked: Asked) -> None:
    if told := data.token.change(asked.run, asked.rule, asked.token_id):
        st.text(told)


def show_course(asked: Asked, in_set: bool, tau: float | None) -> None:
    places.show_course(asked, in_set, tau)
    show_change(asked)


def page() -> None:
    rule_text = selection.text("rule", "default")
    rule = data.rocks.rule(rule_text)
    token_id = asked_type(run, rule_text)
    if token_id is None:
        st.title("One token")
        st.text(
            f"The vocabulary of this run is empty. {data.runs.facts(run).held.lack('kl') or ''}"
        )
        return
    shown = data.token.shown(run, token_id)
    asked = Asked(run, data.runs.facts(run), token_id, shown, rule_text, rule)
    st.title(f"{words.literal(shown)} :gray[id {token_id}]")
    in_set, tau = show_verdict(asked)
    controls.show_rock_line(run)
    show_neighbours(asked)
    left, right = st.columns(2)
    with left:
        part("Over the steps", show_course, asked, in_set, tau)
    with right:
        part("Where it stands", places.show_contexts, asked)
    left, right = st.columns(2)
    with left:
        part("What it takes", measured.show_share, asked)
        part("Where its gradient points", measured.show_gradient, asked)
    with right:
        part("What would have been said instead", places.show_instead, asked)
    left, right = st.columns(2)
    with left:
        part("The answers without it", measured.show_knockout, asked)
    with right:
        part("Not trained on", measured.show_not_trained, asked)


page()
