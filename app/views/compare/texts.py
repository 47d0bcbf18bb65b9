"""A text of each side on one prompt: which two, what they are, and what differs."""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection
from app.views.compare import words as sentences
from app.views.compare.asked import Asked
from app.views.compare.panes import PANES, Shown, show_panes


def show_texts(asked: Asked) -> None:
    chosen = choose_texts(asked)
    if chosen is None:
        return
    panes, signal = choose_view(asked)
    pair = data.compare.pair(*chosen, signal)
    about = [data.compare.about(text) for text in chosen]
    for letter, text, of_text, place in zip("AB", chosen, about, st.columns(2), strict=True):
        place.text(sentences.side(letter, text, of_text))
    if not all(each.tokens for each in about):
        st.text("One of the texts is empty: its student ended at once.")
        return
    names = dict(zip("AB", (text.name for text in chosen), strict=True))
    refused = data.compare.no_difference(asked.a, asked.b, signal)
    refused = refused or sentences.not_logged(pair, signal, names)
    st.text(sentences.aligned(pair, *about))
    moved = data.compare.moved(pair, asked.a, asked.b, signal)
    st.text(refused or sentences.moved(moved, signal, asked.one_run))
    if panes == "difference" and refused:
        st.subheader("No difference to show")
        st.text("Choose another colour or “A | B” above.")
        return
    show_panes(Shown(*chosen, pair, signal, panes))
    link_to_trace(chosen, asked.name_b)


def choose_texts(asked: Asked) -> tuple[data.compare.Text, data.compare.Text] | None:
    """A text of each side on one prompt, or None after saying why there is none."""
    shared = data.compare.shared(asked.a, asked.b, asked.texts, asked.step_a, asked.step_b)
    if not shared.prompts:
        explain_no_prompt(asked, shared)
        return None
    left, right = st.columns(2) if shared.several else (st.container(), None)
    with left:
        rollout = choose_a(shared)
    a = data.compare.Text(asked.a, asked.texts, asked.step_a, rollout)
    partners = data.compare.partners(shared, a, asked.b)
    chosen = partners[0]
    if right and len(partners) > 1:
        with right:
            chosen = choose_b(asked, partners)
    return a, data.compare.Text(asked.b, asked.texts, asked.step_b, chosen)


def choose_a(shared: data.compare.SharedPrompts) -> int:
    """A text of A, by its prompt, or by its number where there are too many for a list."""
    prompts = shared.prompts
    about = (
        f"{shared.both:,} prompts are on both sides, of {shared.of_a:,} of A and "
        f"{shared.of_b:,} of B."
    )
    if len(prompts) > controls.MOST_LISTED:
        return controls.numbered("rollout", "Text of A", sorted(prompts), help=about)
    return selection.choose(
        "rollout",
        st.selectbox,
        "Prompt and text of A",
        list(prompts),
        next(iter(prompts)),
        format_func=lambda i: sentences.named_prompt(i, prompts[i]),
        help=about,
    )


def choose_b(asked: Asked, partners: list[int]) -> int:
    """One of B's texts on the prompt of A's, the likeliest first, which stands there by itself."""
    label = "Text of B on this prompt"
    if len(partners) > controls.MOST_LISTED:
        return controls.numbered("rollout_b", label, sorted(partners), partners[0])
    hints = data.compare.hints(partners, asked.texts, asked.b, asked.step_b)
    box = st.selectbox
    return selection.choose("rollout_b", box, label, partners, partners[0], format_func=hints.get)


def explain_no_prompt(asked: Asked, shared: data.compare.SharedPrompts) -> None:
    st.subheader("No texts to set side by side")
    st.text(sentences.no_shared_prompt(shared))
    if asked.one_run:
        st.text(
            "A run trains on other prompts at every step. Its probe texts stay the same: choose "
            "them above, if there are any."
        )
        return
    meta = asked.facts.meta
    if meta.scenario in data.runs.SCENARIOS:
        st.text(
            f"Every run of the scenario {meta.scenario} has the same probe prompts. Train a second "
            "one, for instance at half the pace:"
        )
        lr = meta.config.get("lr")
        st.code(
            f"rockcore train --scenario {meta.scenario} --lr "
            f"{lr / 2 if isinstance(lr, float) else 5e-4:g}",
            language="sh",
        )
    else:
        st.text(
            "Train both on one file of prompts with one seed: then their probe texts answer the "
            "same prompts. Two steps of a run do."
        )


def choose_view(asked: Asked) -> tuple[str, str]:
    """Which panes are shown, and the signal that colours them."""
    left, right = st.columns([3, 2])
    with left:
        panes = selection.choose(
            "panes",
            st.segmented_control,
            "Show",
            list(PANES),
            "both",
            format_func=PANES.get,
            required=True,
        )
    with right:
        signal = controls.signal(asked.a, "Colour", data.runs.SIGNALS, asked.texts)
    controls.show_lacks(data.runs.lacks(asked.a, data.runs.SIGNALS))
    return panes, signal or "kl"


def link_to_trace(chosen: tuple[data.compare.Text, data.compare.Text], name_b: str) -> None:
    """Each side on the page Trace."""
    for letter, text, name, place in zip("AB", chosen, (None, name_b), st.columns(2), strict=True):
        where = {"step": str(text.step), "rollout": str(text.rollout)}
        with place:
            selection.link(
                "trace", f"Read {letter} in Trace", **where, **({"run": name} if name else {})
            )
