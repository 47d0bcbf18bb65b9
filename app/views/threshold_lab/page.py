"""Every knob of a rule, and what it does to the set while it moves.

Not a fragment: Streamlit lets a moved control end a running page, but not a running fragment, and
here it has to.
"""

from __future__ import annotations

import shlex

import streamlit as st

from app import cards, data, selection, tables, words
from app.components import loss_histogram
from app.views.threshold_lab import charts
from app.views.threshold_lab.knobs import (
    change_rule,
    current_rule,
    draw_knob,
    put_rule,
    show_knobs,
)
from app.views.threshold_lab.presets import show_presets
from app.views.threshold_lab.preview import show_preview
from app.views.threshold_lab.readouts import show_instant, show_set
from app.views.threshold_lab.taking import show_taking

run = selection.run()
facts = data.runs.facts(run)
HANDLES = "tau handles"


def follow_hand(linked: bool) -> None:
    """A threshold was dragged in the histogram."""
    where = selection.moved(HANDLES)
    if where:
        change_rule(
            tau_pre=float(where["tau_pre"]),
            tau_post=float(where["tau_pre"] if linked else where["tau_post"]),
        )


def show_thresholds(rule: data.rocks.RockRule) -> None:
    """The histogram with its handles."""
    linked = rule.tau_pre == rule.tau_post and not selection.flag("apart")
    tau = data.rocks.taus(run, rule)
    loss_histogram.show(
        HANDLES,
        data.rocks.histogram(run, rule),
        tau,
        linked,
        f"{facts.meta.name} · {data.rocks.corpus_line(run, rule)} · {facts.measured(rule.column)}.",
        lambda: follow_hand(linked),
    )
    left, middle, right = st.columns(3)
    with left:
        how = "nats" if rule.tau_pre is not None else "quantile"
        selection.control(
            "tau mode",
            st.segmented_control,
            "Thresholds as",
            how,
            lambda v: (
                change_rule(tau_quantile=rule.tau_quantile)
                if v == "quantile"
                else change_rule(**tau)
            ),
            ["quantile", "nats"],
            required=True,
        )
    with middle:
        draw_knob("tau_quantile", rule, st.slider, step=0.005, format="%.3f")
    with right:
        selection.control(
            "apart",
            st.toggle,
            "Move τ_pre and τ_post apart",
            not linked,
            lambda v: selection.put_flag("apart", v),
            help="Off: one value for both ends.",
        )


def command_line(rule: data.rocks.RockRule, command: str = "rocks") -> str:
    name, *settings = rule.short().split(";")
    flags = " ".join(f"--set {shlex.quote(s)}" for s in settings)
    path = shlex.quote(data.runs.short_path(run))
    return f"rockcore {command} {path} --preset {name} {flags}".strip()


def find_before() -> tuple[data.rocks.RockRule | None, data.rocks.Instant | None]:
    """The rule before the last change and what was persistent by it, if it could be tried."""
    text = selection.previous("rule")
    if text is None:
        return None, None
    try:
        rule = data.rocks.rule(text or "default")
        return rule, data.rocks.instant(run, rule)
    except data.runs.RockError:
        return None, None


def page() -> None:
    if problem := selection.complaint():
        st.warning(words.literal(problem))
    rule = current_rule()
    data.rocks.check(run, rule)
    above, numbers, below = st.container(), st.container(), st.container()
    earlier, then = find_before()
    with numbers:  # first of all: they are what a moved threshold is moved for
        show_instant(data.rocks.instant(run, rule), then)
    with above:
        show_presets(rule)
        show_thresholds(rule)
    left, right = st.columns([1, 2])
    with left:
        show_knobs(run, rule)
    with right:
        report = data.rocks.found(run, rule).report
        with below:
            show_set(
                run, report, None if earlier is None else data.rocks.found_before(run, earlier)
            )
        show_figures(rule, report)
        show_preview(run, rule)
    st.code(command_line(rule), language="sh", wrap_lines=True)
    show_taking(run, rule, command_line(rule, "export") if report.ids else None)


def show_figures(rule: data.rocks.RockRule, report: data.rocks.RockReport) -> None:
    about = f"{facts.meta.name} · {report.mode} · score {report.score}"
    marked = charts.Marked(
        len(report.ids), report.knee, report.enough or 0, rule.min_jaccard, rule.draws
    )
    figure = charts.cutoff(report.curves, marked, about)
    st.plotly_chart(figure, key="cutoff", alt="Coverage and stability over K")
    cards.row("K", "coverage", "stability", "jaccard", "knee", "paper_mode")
    if not data.rocks.is_large(run, rule) or st.toggle(
        "Compare with the presets", help="On a log of this size this takes minutes."
    ):
        tables.show(
            data.rocks.beside_presets(run, rule),
            hide_index=True,
            alt="This rule beside the presets",
        )
        st.caption(
            "This rule beside the presets, on the same texts. J with this: Jaccard index of the "
            "two sets."
            + (" Presets that need a second checkpoint are left out." if report.single else "")
        )


def offer_ways_on() -> None:
    """Rules that may be tried in place of one that cannot."""
    for label, other in data.rocks.ways_on(run, selection.text("rule", "default")).items():
        st.button(label, on_click=put_rule, args=(other,))
    st.button("Back to the default rule", on_click=lambda: selection.put("rule", "default"))


st.title("Threshold lab")
st.text("What counts as a rock is a choice. Move a knob and see what it takes in.")
try:
    page()
except data.runs.RockError as e:
    st.subheader("The rule cannot be tried on this run")
    st.text(str(e))
    offer_ways_on()
