"""The controls of the lab: one for each field of a rule, whose range and meaning the rule itself
states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import cards, data, selection, words
from app.views.threshold_lab import look


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
    """A control for one number of the rule: its symbol, its name, and one sentence as its help."""
    if selection.hidden(name):
        return
    about = data.rocks.KNOBS[name]
    helps = cards.about(name) or words.literal(about.meaning)
    helps += " " + settings.pop("help", "")
    selection.control(
        name,
        widget,
        f"{about.symbol} · {name}",
        getattr(rule, name),
        lambda v: change_rule(**{name: v}),
        **({"min_value": about.low, "max_value": about.high, "help": helps.strip()} | settings),
    )


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
    """Every field, under the gate that it opens or closes; `knob=` of a link opens one and marks
    it.
    """
    asked = selection.text("knob", "")
    high, recurring, in_set = st.columns(3)
    for column, name, label, show in (
        (high, "tau", "1 High: the thresholds", lambda: show_taus(run, rule)),
        (recurring, "context", "2 Recurring: the contexts", lambda: show_context(rule)),
        (in_set, "cutoff", "3 In the set: rank and cutoff", lambda: show_ranking(rule)),
    ):
        key = look.MARKED if name == asked else f"lab-{name}"
        with column, st.container(key=key), st.expander(label, expanded=True):
            show()
    left, right = st.columns(2)
    for column, name, label, show in (
        (left, "out", "What is left out", lambda: show_left_out(run, rule)),
        (right, "texts", "Which texts", lambda: show_texts(run, rule)),
    ):
        mark = name == asked
        with column, st.container(key=look.MARKED if mark else f"lab-{name}"):
            # closed, it is not worked out: a third of the page's time for what few open
            key = f"lab knobs {name} {mark}"
            box = st.expander(label, expanded=mark, key=key, on_change="rerun")
            if box.open:
                with box:
                    show()


def show_taus(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    """How both thresholds are given; the handles and fields above say where they stand."""
    selection.control(
        "tau mode",
        st.segmented_control,
        "Thresholds as",
        "nats" if rule.tau_pre is not None else "quantile",
        lambda v: (
            change_rule(tau_quantile=rule.tau_quantile)
            if v == "quantile"
            else change_rule(**data.rocks.taus(run, rule))
        ),
        ["quantile", "nats"],
        required=True,
    )
    draw_knob("tau_quantile", rule, st.slider, step=0.005, format="%.3f")
    selection.control(
        "apart",
        st.toggle,
        "Move τ_pre and τ_post apart",
        rule.tau_pre != rule.tau_post or selection.flag("apart"),
        lambda v: selection.put_flag("apart", v),
        help="Off: one value for both ends.",
    )


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
        help=cards.about("gamma") or words.literal(about.meaning),
    )
    draw_knob("eta", rule, st.slider, step=0.01)
    draw_knob("min_support", rule, st.number_input, step=1)
    draw_knob("min_rollouts", rule, st.slider)


def show_ranking(rule: data.rocks.RockRule) -> None:
    scores = data.rocks.SCORES
    about = scores[rule.score].__doc__ if rule.score in scores else ""
    selection.control(
        "score",
        st.selectbox,
        "score",
        rule.score,
        lambda v: change_rule(score=v),
        list(scores),
        help=words.literal((about or "No such score.").strip().splitlines()[0]),
    )
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
