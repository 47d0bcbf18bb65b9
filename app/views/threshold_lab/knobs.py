"""The controls of the lab: one for each field of a rule, whose range and meaning the rule itself
states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import data, selection


def current() -> data.rocks.RockRule:
    """The rule of the link. Raises BadRule."""
    return data.rocks.rule(selection.text("rule", "default"))


def take(rule: data.rocks.RockRule) -> None:
    selection.put("rule", rule.short())


def change(**fields: Any) -> None:
    """Take a new value from a control; one that contradicts the rest is told and not taken."""
    try:
        take(current().changed(**fields))
    except data.runs.RockError as e:
        selection.complain(str(e))


def knob(name: str, rule: data.rocks.RockRule, widget: Callable[..., Any], **look: Any) -> None:
    """A control for one number of the rule: its symbol, its name, and one sentence below."""
    about = data.rocks.KNOBS[name]
    selection.control(
        name,
        widget,
        f"{about.symbol} · {name}",
        getattr(rule, name),
        lambda v: change(**{name: v}),
        **({"min_value": about.low, "max_value": about.high} | look),
    )
    st.caption(about.meaning)


def choice(name: str, label: str, rule: data.rocks.RockRule) -> None:
    """A control for one word of the rule."""
    about = data.rocks.CHOICES[name]
    selection.control(
        name,
        st.segmented_control,
        label,
        getattr(rule, name),
        lambda v: change(**{name: v}),
        list(about.options),
        required=True,
        help=about.meaning,
    )


def knobs(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    """Every field but the thresholds, which stand beside the histogram."""
    with st.expander("Context", expanded=True):
        context(rule)
    with st.expander("Ranking and cutoff", expanded=True):
        ranking(rule)
    with st.expander("What is left out"):
        left_out(run, rule)
    with st.expander("Which texts"):
        which_texts(run, rule)


def context(rule: data.rocks.RockRule) -> None:
    knob("window", rule, st.slider)
    offsets = 2 * rule.window
    share = [i / offsets for i in range(1, offsets + 1)]
    about = data.rocks.KNOBS["gamma"]
    selection.control(
        "gamma",
        st.select_slider,
        f"{about.symbol} · gamma",
        min(share, key=lambda g: abs(g - rule.gamma)),
        lambda v: change(gamma=v),
        share,
        format_func=lambda g: f"{round(g * offsets)} of {offsets}",
    )
    st.caption(about.meaning)
    knob("eta", rule, st.slider, step=0.01)
    knob("min_support", rule, st.number_input, step=1)
    knob("min_rollouts", rule, st.slider)


def ranking(rule: data.rocks.RockRule) -> None:
    scores = data.rocks.SCORES
    selection.control(
        "score", st.selectbox, "score", rule.score, lambda v: change(score=v), list(scores)
    )
    about = scores[rule.score].__doc__ if rule.score in scores else ""
    st.caption((about or "").strip().splitlines()[0] if about else "No such score.")
    knob("top_k", rule, st.number_input, step=1, placeholder="the largest stable K")
    knob("tau_rock", rule, st.number_input, format="%g", placeholder="not used")
    knob("min_jaccard", rule, st.slider, step=0.05)


def left_out(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    knob("min_frequency", rule, st.number_input, step=1)
    knob("drop_most_frequent", rule, st.number_input, step=1)
    names = data.rocks.token_names(run, rule)
    selection.control(
        "excluded_types",
        st.multiselect,
        "Types",
        list(rule.excluded_types),
        lambda v: change(excluded_types=tuple(v)),
        list(names),
        format_func=names.get,
    )
    st.caption(f"Types that are never in the set. The {len(names)} most frequent can be chosen.")
    for offset, where in ((-1, "right after"), (1, "right before")):
        neighbours(rule, offset, where, names)
    st.caption("Occurrences with one of these neighbours are not kept.")


def neighbours(rule: data.rocks.RockRule, offset: int, where: str, names: dict[int, str]) -> None:
    """Which tokens at this offset keep an occurrence from being kept."""
    others = tuple(pair for pair in rule.excluded_contexts if pair[0] != offset)
    selection.control(
        f"context {offset}",
        st.multiselect,
        f"Contexts: {where}",
        [token for at, token in rule.excluded_contexts if at == offset],
        lambda v: change(excluded_contexts=(*others, *((offset, t) for t in v))),
        list(names),
        format_func=names.get,
    )


def which_texts(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    choice("column", "loss", rule)
    choice("mode", "mode", rule)
    choice("probe_set", "probe texts", rule)
    steps = data.rocks.steps(run, rule)
    checkpoint("pre_step", rule.pre_step, steps[:-1], steps[0])
    checkpoint("post_step", rule.post_step, steps[1:], steps[-1])
    choice("controls", "controls", rule)
    knob("draws", rule, st.number_input, step=10)
    knob("seed", rule, st.number_input, step=1)


def checkpoint(name: str, picked: int | None, steps: list[int], default: int) -> None:
    """A selector for one end of the comparison."""
    selection.control(
        name,
        st.selectbox,
        name.replace("_", " "),
        default if picked is None else picked,
        lambda v: change(**{name: v}),
        steps,
    )
