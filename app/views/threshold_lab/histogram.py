"""The thresholds: the histogram with its handles, and the same numbers to type."""

from __future__ import annotations

import streamlit as st

from app import data, selection
from app.components import loss_histogram
from app.views.threshold_lab.high import high_numbers, show_heading
from app.views.threshold_lab.knobs import change_rule

HANDLES = "tau handles"


def is_linked(rule: data.rocks.RockRule) -> bool:
    """Whether both thresholds move as one."""
    return rule.tau_pre == rule.tau_post and not selection.flag("apart")


def follow_hand(linked: bool) -> None:
    """A threshold was dragged in the histogram."""
    where = selection.moved(HANDLES)
    if where:
        change_rule(
            tau_pre=float(where["tau_pre"]),
            tau_post=float(where["tau_pre"] if linked else where["tau_post"]),
        )


def show_thresholds(
    run: data.runs.RunKey, rule: data.rocks.RockRule, before: data.rocks.Instant | None
) -> None:
    """What the thresholds alone decide, over the histogram with their handles: there at once, also
    while a handle moves. `before`: what it was before the last change.
    """
    linked, facts = is_linked(rule), data.runs.facts(run)
    now = data.rocks.instant(run, rule)
    numbers = None
    if now is not None:
        numbers = high_numbers(rule, now, before, data.rocks.courses(run, rule, linked))
    with st.container(gap="xxsmall"):
        show_heading(rule, now is not None)
        loss_histogram.show(
            HANDLES,
            data.rocks.histogram(run, rule),
            data.rocks.taus(run, rule),
            linked,
            f"{facts.meta.name} · {facts.measured(rule.column)}.",
            lambda: follow_hand(linked),
            numbers,
        )


def show_typed(run: data.runs.RunKey, rule: data.rocks.RockRule) -> None:
    """Fields for a quantile and for nats: what is typed is how the thresholds are given."""
    tau, linked = data.rocks.taus(run, rule), is_linked(rule)
    about = data.rocks.KNOBS["tau_quantile"]
    fields = st.columns(2 if linked else 3)
    with fields[0]:
        selection.control(
            "typed quantile",
            st.number_input,
            "q, quantile of the loss before",
            rule.tau_quantile if rule.tau_pre is None else None,
            lambda v: change_rule(tau_quantile=v) if v is not None else None,
            min_value=about.low,
            max_value=about.high,
            step=0.005,
            format="%.3f",
            placeholder="given in nats",
            help=about.meaning,
        )
    ends = {"tau_pre": "τ before and after, nats"} if linked else NATS
    for column, (name, label) in zip(fields[1:], ends.items(), strict=True):
        with column:
            show_nats(name, label, rule, tau, linked)


NATS = {"tau_pre": "τ_pre, nats", "tau_post": "τ_post, nats"}


def show_nats(
    name: str, label: str, rule: data.rocks.RockRule, tau: dict[str, float], linked: bool
) -> None:
    """A field for one threshold; the other stays where it stands, unless both are one."""

    def take(value: float | None) -> None:
        if value is not None:
            change_rule(**(dict.fromkeys(tau, value) if linked else {**tau, name: value}))

    about = data.rocks.KNOBS[name]
    selection.control(
        f"typed {name}",
        st.number_input,
        label,
        tau[name],
        take,
        min_value=about.low,
        max_value=about.high,
        step=0.05,
        format="%.4g",
        help=about.meaning,
    )
