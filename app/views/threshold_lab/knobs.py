"""The controls of the lab: one for each field of a rule, whose range and meaning the rule itself
states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import cards, data, selection


def current_rule() -> data.rocks.RockRule:
    """The rule of the link. Raises BadRule."""
    return data.rocks.rule(selection.text("rule", "default"))


def put_rule(rule: data.rocks.RockRule) -> None:
    selection.put("rule", rule.short())


def change_rule(**fields: Any) -> None:
    """Take a new value from a control; one that contradicts the rest is told and not taken."""
    try:
        put_rule(current_rule().changed(**fields))
    except data.runs.RockError as e:
        selection.complain(str(e))


def draw_knob(
    name: str, rule: data.rocks.RockRule, widget: Callable[..., Any], **settings: Any
) -> None:
    """A control for one number of the rule: its symbol, its name, and one sentence below."""
    about = data.rocks.KNOBS[name]
    selection.control(
        name,
        widget,
        f"{about.symbol} · {name}",
        getattr(rule, name),
        lambda v: change_rule(**{name: v}),
        **({"min_value": about.low, "max_value": about.high, "help": cards.about(name)} | settings),
    )
    st.caption(about.meaning)


def draw_choice(name: str, label: str, rule: data.rocks.RockRule) -> None:
    """A control for one word of the rule."""
    about = data.rocks.CHOICES[name]
    selection.control(
        name,
        st.segmented_control,
        label,
        getattr(rule, name),
        lambda v: change_rule(**{name: v}),
        list(about.options),
        required=True,
        help=about.meaning,
    )


def show_knobs(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    """Every field but the thresholds, which stand beside the histogram."""
    with st.expander("Context", expanded=True):
        show_context(rule)
    with st.expander("Ranking and cutoff", expanded=True):
        show_ranking(rule)
    with st.expander("What is left out"):
        show_left_out(run, rule)
    with st.expander("Which texts"):
        show_texts(run, rule)


def show_context(rule: data.rocks.RockRule) -> None:
    draw_knob("window", rule, st.slider)
    offsets = 2 * rule.window
    share = [i / offsets for i in range(1, offsets + 1)]
    about = data.rocks.KNOBS["gamma"]
    selection.control(
        "gamma",
        st.select_slider,
        f"{about.symbol} · gamma",
        min(share, key=lambda g: abs(g - rule.gamma)),
        lambda v: change_rule(gamma=v),
        share,
        format_func=lambda g: f"{round(g * offsets)} of {offsets}",
    )
    st.caption(about.meaning)
    draw_knob("eta", rule, st.slider, step=0.01)
    draw_knob("min_support", rule, st.number_input, step=1)
    draw_knob("min_rollouts", rule, st.slider)


def show_ranking(rule: data.rocks.RockRule) -> None:
    scores = data.rocks.SCORES
    selection.control(
        "score", st.selectbox, "score", rule.score, lambda v: change_rule(score=v), list(scores)
    )
    about = scores[rule.score].__doc__ if rule.score in scores else ""
    st.caption((about or "").strip().splitlines()[0] if about else "No such score.")
    draw_knob("top_k", rule, st.number_input, step=1, placeholder="found from the run")
    draw_knob("tau_rock", rule, st.number_input, format="%g", placeholder="not used")
    finds = {
        "disabled": not rule.automatic,
        "help": "Where K is found from the run: neither K nor τ_R is given.",
    }
    draw_knob("least_share", rule, st.number_input, step=0.0005, format="%g", **finds)
    draw_knob("even_share", rule, st.number_input, step=0.5, format="%g", **finds)
    draw_knob("min_jaccard", rule, st.slider, step=0.05, **finds)


def show_left_out(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    draw_knob("min_frequency", rule, st.number_input, step=1)
    draw_knob("drop_most_frequent", rule, st.number_input, step=1)
    names = data.rocks.token_names(run, rule)
    selection.control(
        "excluded_types",
        st.multiselect,
        "Types",
        list(rule.excluded_types),
        lambda v: change_rule(excluded_types=tuple(v)),
        list(names),
        format_func=names.get,
    )
    st.caption(f"Types that are never in the set. The {len(names)} most frequent can be chosen.")
    for offset, where in ((-1, "right after"), (1, "right before")):
        show_neighbours(rule, offset, where, names)
    st.caption("Occurrences with one of these neighbours are not kept.")


def show_neighbours(
    rule: data.rocks.RockRule, offset: int, where: str, names: dict[int, str]
) -> None:
    """Which tokens at this offset keep an occurrence from being kept."""
    others = tuple(pair for pair in rule.excluded_contexts if pair[0] != offset)
    selection.control(
        f"context {offset}",
        st.multiselect,
        f"Contexts: {where}",
        [token for at, token in rule.excluded_contexts if at == offset],
        lambda v: change_rule(excluded_contexts=(*others, *((offset, t) for t in v))),
        list(names),
        format_func=names.get,
    )


def show_texts(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    draw_choice("column", "loss", rule)
    draw_choice("mode", "mode", rule)
    draw_choice("probe_set", "probe texts", rule)
    steps = data.rocks.steps(run, rule)
    if len(steps) > 1:
        draw_checkpoint("pre_step", rule.pre_step, steps[:-1], steps[0])
        draw_checkpoint("post_step", rule.post_step, steps[1:], steps[-1])
    draw_choice("controls", "controls", rule)
    draw_knob("draws", rule, st.number_input, step=10)
    draw_knob("seed", rule, st.number_input, step=1)


def draw_checkpoint(name: str, picked: int | None, steps: list[int], default: int) -> None:
    """A selector for one end of the comparison."""
    selection.control(
        name,
        st.selectbox,
        name.replace("_", " "),
        default if picked is None else picked,
        lambda v: change_rule(**{name: v}),
        steps,
    )
