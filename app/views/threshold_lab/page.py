"""Every knob of a rule, and what it does to the set while it moves.

Not a fragment: Streamlit lets a moved control end a running page, but not a running fragment, and
here it has to.
"""

from __future__ import annotations

import math
import shlex
from typing import NamedTuple

import streamlit as st

from app import data, selection, words
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

run = selection.run()
facts = data.runs.facts(run)
HANDLES = "tau handles"
MOST_NAMED = 20  # types in a command


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
        f"{facts.meta.name} · {data.rocks.corpus_line(run, rule)} · {rule.column}: "
        f"{facts.meta.estimator}.",
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


class Cell(NamedTuple):
    """A number now and before; None where it is not known."""

    label: str
    now: float | None
    before: float | None
    shown: str
    step: str
    unknown: str = "unknown"


def show_cells(cells: list[Cell]) -> None:
    for column, cell in zip(st.columns(len(cells)), cells, strict=True):
        delta = None
        if cell.now is not None and cell.before is not None and cell.now != cell.before:
            delta = cell.step.format(cell.now - cell.before)
        value = cell.unknown if cell.now is None else cell.shown.format(cell.now)
        column.metric(cell.label, value, delta, delta_color="off")


def percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def readout(now: data.rocks.Instant | None, before: data.rocks.Instant | None) -> None:
    """What the thresholds alone decide: there at once."""
    if now is None:
        st.text(
            "Without paired texts no occurrence has both losses, so no number of persistent ones "
            "follows the thresholds. What they change is said below."
        )
        return
    fields = (
        ("Persistent occurrences", "occurrences", "{:,}", "{:+,}"),
        ("their types", "types", "{:,}", "{:+,}"),
        ("% of tokens", "token_share", "{:.2f} %", "{:+.2f}"),
        ("% of loss", "loss_share", "{:.1f} %", "{:+.1f}"),
        ("% of gradient", "grad_share", "{:.1f} %", "{:+.1f}"),
    )
    cells = []
    for label, name, form, step in fields:
        value, old = (None if e is None else getattr(e.reading, name) for e in (now, before))
        if name.endswith("share"):
            value, old = percent(value), percent(old)
        cells.append(Cell(label, value, old, form, step, unknown="not logged"))
    show_cells(cells)


def set_numbers(report: data.rocks.RockReport | None) -> list[float | None]:
    """Kept occurrences, K, coverage, stability, density; None for what an empty set has not."""
    if report is None:
        return [None] * 5
    k, kept = len(report.ids), report.occurrences["consistent"]
    return [
        kept,
        None if report.unstable else k,
        percent(report.coverage) if k else None,
        None if math.isnan(report.stability.value) else report.stability.value,
        percent(report.density["occurrence"]) if k else None,
    ]


def set_readout(report: data.rocks.RockReport, before: data.rocks.RockReport | None) -> None:
    """What needs contexts and halves: there a moment later."""
    none = "unknown" if report.ids else "–"
    about = (
        ("Kept occurrences", "{:,}", "{:+,}", "unknown"),
        ("Rock Tokens K", "{}", "{:+}", "no set"),
        ("Coverage", "{:.0f} %", "{:+.0f}", none),
        ("Stability", "{:.2f}", "{:+.2f}", none),
        ("Occ. density", "{:.2f} %", "{:+.2f}", none),
    )
    pairs = zip(about, set_numbers(report), set_numbers(before), strict=True)
    show_cells([Cell(a[0], now, old, a[1], a[2], a[3]) for a, now, old in pairs])
    if report.no_set:
        st.warning(words.literal(report.no_set))
    else:
        st.caption(words.literal(about_k(report)))
    if report.ids:
        show_pillars(report)
    if before is not None:
        show_moved(report, before)
    for note in report.notes:
        st.info(words.literal(note), icon=":material/info:")


def about_k(report: data.rocks.RockReport) -> str:
    """How K was chosen, and what its stability is."""
    rule, stable = report.asked, report.stability
    enough = (
        f" Enough: at least {rule.least_share:.3g} of the summed {rule.column}, and more than "
        f"{rule.even_share:g} × 1/{len(report.tokens):,} of it."
        if rule.automatic
        else ""
    )
    splits = (
        ""
        if math.isnan(stable.value)
        else f" Stability of this very set: {rule.draws} splits, middle 95 % {stable.low:.2f} to "
        f"{stable.high:.2f}."
    )
    return f"K: {report.how}.{enough}{splits}"


def show_pillars(report: data.rocks.RockReport) -> None:
    """Which types of the set the answers are known to need: a training that skips the set would
    leave them untaught.
    """
    found = data.knockouts.measured(run)
    if not found.verdicts:
        st.text(f"Pillars at risk: {found.missing}")
        return
    names = dict(zip(report.tokens.token_id, report.tokens.token, strict=True))
    at_risk = [i for i in report.ids if i in found.pillars]
    shown = "  ".join(
        f"W({words.visible(str(names[i]))})"
        if i in found.by_window
        else words.visible(str(names[i]))
        for i in at_risk[:40]
    )
    unknown = [i for i in report.ids if i not in found.verdicts]
    k = len(report.ids)
    rest = f" The others: {data.knockouts.command(run, unknown[:MOST_NAMED])}" if unknown else ""
    st.text(
        f"Pillars at risk: {len(at_risk)} of {len(found.pillars)} known Pillars are in the set"
        f"{f': {shown}' if at_risk else ''}. Knocked out: {k - len(unknown)} of its {k} types."
        f"{'' if data.knockouts.why_not(run) else rest}"
    )


def show_moved(report: data.rocks.RockReport, before: data.rocks.RockReport) -> None:
    """Which types came in, and which went."""
    now, old = set(report.ids), set(before.ids)
    names = dict(zip(report.tokens.token_id, report.tokens.token, strict=True))
    for verb, ids in (("In", now - old), ("Out", old - now)):
        if ids:
            shown = "  ".join(words.visible(str(names.get(i, i))) for i in sorted(ids)[:40])
            st.text(f"{verb}: {shown}")


def command_line(rule: data.rocks.RockRule) -> str:
    name, *settings = rule.short().split(";")
    flags = " ".join(f"--set {shlex.quote(s)}" for s in settings)
    return (
        f"rockcore rocks {shlex.quote(data.runs.short_path(run))} --preset {name} {flags}".strip()
    )


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
        readout(data.rocks.instant(run, rule), then)
    with above:
        show_presets(rule)
        show_thresholds(rule)
    left, right = st.columns([1, 2])
    with left:
        show_knobs(run, rule)
    with right:
        report = data.rocks.found(run, rule).report
        with below:
            set_readout(report, None if earlier is None else data.rocks.found_before(run, earlier))
        show_figures(rule, report)
        show_preview(run, rule)
    st.code(command_line(rule), language="sh")


def show_figures(rule: data.rocks.RockRule, report: data.rocks.RockReport) -> None:
    about = f"{facts.meta.name} · {report.mode} · score {rule.score}"
    marked = charts.Marked(
        len(report.ids), report.knee, report.enough or 0, rule.min_jaccard, rule.draws
    )
    figure = charts.cutoff(report.curves, marked, about)
    st.plotly_chart(figure, key="cutoff", alt="Coverage and stability over K")
    if not data.rocks.is_large(run, rule) or st.toggle(
        "Compare with the presets", help="On a log of this size this takes minutes."
    ):
        st.dataframe(
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
    try:
        other = data.rocks.without_persistence(run, current_rule())
    except data.runs.RockError:
        other = None
    if other is not None:
        st.button(
            "Rank the one checkpoint by Rock Score, without persistence",
            on_click=lambda: put_rule(other),
        )
    st.button("Back to the default rule", on_click=lambda: selection.put("rule", "default"))


st.title("Threshold lab")
st.text("What counts as a rock is a choice. Move a knob and see what it takes in.")
try:
    page()
except data.runs.RockError as e:
    st.subheader("The rule cannot be tried on this run")
    st.text(str(e))
    offer_ways_on()
