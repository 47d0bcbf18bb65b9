"""Every knob of a rule, and what it does to the set while it moves.

Not a fragment: Streamlit lets a moved control end a running page, but not a running fragment, and
here it has to.
"""

from __future__ import annotations

import streamlit as st

from app import cards, controls, data, selection, words
from app.views.threshold_lab import charts, look
from app.views.threshold_lab.beside import show_beside
from app.views.threshold_lab.histogram import show_thresholds, show_typed
from app.views.threshold_lab.knobs import current_rule, put_rule, show_knobs
from app.views.threshold_lab.presets import show_presets
from app.views.threshold_lab.preview import show_preview
from app.views.threshold_lab.readouts import (
    Gates,
    show_pillars,
    show_set,
    show_words,
)
from app.views.threshold_lab.taking import show_taking
from app.views.threshold_lab.types import Earlier, show_types

run = selection.run()


def find_before() -> tuple[data.rocks.RockRule | None, data.rocks.Instant | None]:
    """The rule before the last change and what was high by it, if it could be tried."""
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
    earlier, then = find_before()
    with head:
        show_presets(rule)
    with st.container(key=look.BENCH):
        left, right = st.columns(2)
    with left:  # what a hand moves first
        show_thresholds(run, rule, then)
        show_typed(run, rule)
        line = st.empty()
    with right:
        gates, text = Gates.drawn(), st.container(key=look.TEXT)
    listed = st.container()
    show_knobs(run, rule)
    report = data.rocks.found(run, rule).report
    old = None if earlier is None else data.rocks.found_before(run, earlier)
    before = None if earlier is None or old is None else Earlier(earlier, old)
    show_set(gates, report, old)
    with line:
        controls.show_rock_line(run)
    with text:
        show_preview(run, rule)
    with listed:
        show_types(run, rule, report, before)
    st.caption(words.literal(f"{data.rocks.corpus_line(run, rule)}."))
    show_words(report)
    show_pillars(run, report)
    show_beside(run, rule)
    show_figure(rule, report)
    st.code(data.rocks.command_line(run, rule), language="sh", wrap_lines=True)
    export = data.rocks.command_line(run, rule, "export") if report.ids else None
    show_taking(run, rule, export)


def show_figure(rule: data.rocks.RockRule, report: data.rocks.RockReport) -> None:
    """How K was found."""
    about = f"{data.runs.facts(run).meta.name} · {report.mode} · score {report.score}"
    marked = charts.Marked(
        len(report.ids), report.knee, report.enough or 0, rule.min_jaccard, rule.draws
    )
    figure = charts.cutoff(report.curves, marked, about)
    st.plotly_chart(figure, key="cutoff", alt="Coverage and stability over K")
    cards.row("K", "coverage", "stability", "jaccard", "knee", "paper_mode")


def offer_ways_on() -> None:
    """Rules that may be tried in place of one that cannot."""
    for label, other in data.rocks.ways_on(run, selection.text("rule", "default")).items():
        st.button(label, on_click=put_rule, args=(other,))
    st.button("Back to the default rule", on_click=lambda: selection.put("rule", "default"))


st.html(f"<style>{look.STYLE}</style>")
head = st.container(key=look.HEAD, horizontal=True, vertical_alignment="center")
head.title("Threshold lab", help="What counts as a rock is a choice: move a knob, see the set.")
try:
    page()
except data.runs.RockError as e:
    if not controls.show_elsewhere(run, "threshold_lab", str(e)):
        st.subheader("The rule cannot be tried on this run")
        st.text(str(e))
        offer_ways_on()
