"""Every knob of a rule, and what it does to the set while it moves.

Not a fragment: Streamlit lets a moved control end a running page, but not a running fragment, and
here it has to.
"""

from __future__ import annotations

import shlex

import streamlit as st

from app import data, selection, words
from app.components import loss_histogram, token_pane
from app.views.threshold_lab import charts
from app.views.threshold_lab.knobs import change, current, knob, knobs, take
from app.views.threshold_lab.readouts import readout, set_readout

run = selection.run()
facts = data.runs.facts(run)
HANDLES = "tau handles"


def follow_hand(linked: bool) -> None:
    """A threshold was dragged in the histogram."""
    where = selection.moved(HANDLES)
    if where:
        change(
            tau_pre=float(where["tau_pre"]),
            tau_post=float(where["tau_pre"] if linked else where["tau_post"]),
        )


def stored(name: str) -> data.rocks.RockRule | None:
    """A preset or a saved rule; None if its file cannot be used."""
    try:
        return data.rocks.named_rule(name)
    except data.runs.RockError:
        return None


def load(name: str | None) -> None:
    """Take a preset or a saved rule; a file that holds none is told."""
    if name is None:
        return
    try:
        take(data.rocks.named_rule(name))
    except data.runs.RockError as e:
        selection.complain(str(e))


def presets(rule: data.rocks.RockRule) -> None:
    names = data.rocks.rule_names()
    left, undo, save = st.columns([6, 1, 1], vertical_alignment="bottom")
    base = stored(rule.name) if rule.name in names else None
    changed = base is not None and rule != base
    with left:
        way_back = f" (changed from {rule.name}: pick it again to go back)" if changed else ""
        picked = rule.name if base == rule else None
        selection.control("preset", st.pills, f"Preset{way_back}", picked, load, names)
    undo.button(
        "Undo",
        on_click=selection.undo,
        args=("rule",),
        disabled=selection.previous("rule") is None,
        icon=":material/undo:",
        width="stretch",
    )
    with save.popover("Save", icon=":material/save:", width="stretch"):
        saving(rule)


def saving(rule: data.rocks.RockRule) -> None:
    """Write the rule under a name; one that cannot be is told beside the field."""
    name = st.text_input(
        "Name", key="save name", placeholder="my rule", help="Goes to ./rules/NAME.json."
    ).strip()
    if st.button("Save the rule", type="primary", disabled=not name):
        try:
            path = shlex.quote(str(data.rocks.save_rule(rule, name)))
            st.text(f"Saved. On the command line: rockcore rocks RUN --rule {path}")
        except data.runs.RockError as e:
            st.warning(words.plain(str(e)))
    st.download_button(
        "Download as JSON",
        rule.to_json(),
        f"{name or rule.name}.json",
        "application/json",
        on_click="ignore",
    )


def thresholds(rule: data.rocks.RockRule) -> None:
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
            lambda v: change(tau_quantile=rule.tau_quantile) if v == "quantile" else change(**tau),
            ["quantile", "nats"],
            required=True,
        )
    with middle:
        knob("tau_quantile", rule, st.slider, step=0.005, format="%.3f")
    with right:
        selection.control(
            "apart",
            st.toggle,
            "Move τ_pre and τ_post apart",
            not linked,
            lambda v: selection.put_flag("apart", v),
            help="Off: one value for both ends.",
        )


def preview(rule: data.rocks.RockRule) -> None:
    """One rollout before and after, with what the rule makes of it."""
    if data.rocks.source(run, rule).probe_set is None:
        st.text("The texts before and after differ: there is no rollout to show at both ends.")
        return
    ids = data.rocks.rollouts(run, rule)
    rollout = selection.choose(
        "rollout",
        st.selectbox,
        "Rollout",
        ids,
        ids[0],
        help="Those with most kept occurrences come first.",
    )
    steps = data.rocks.found(run, rule).report.steps
    ends = zip(st.columns(2), (steps[0], steps[-1]), ("before", "after"), strict=True)
    for column, step, when in ends:
        with column:
            st.markdown(f"**{when}: step {step}**")
            side(rule, rollout, step, when)
    st.caption(
        "Dotted: persistent. Dashed: and in a context that recurs. Solid and thick: and of a type "
        "in the set."
    )


def side(rule: data.rocks.RockRule, rollout: int, step: int, when: str) -> None:
    """The rollout at one end."""
    seen = data.rocks.preview(run, rule, rollout, step)
    view = token_pane.View(
        scale=data.texts.scale(run, rule.column),
        caption=f"{facts.meta.name}, step {step}.",
        categories=data.runs.categories(run),
        state=token_pane.State(rollout, step),
        steps=[step],
        judged={**token_pane.NOT_JUDGED, "marks": data.texts.packed(seen["marks"], "u1")},
        tau=data.texts.tau(run),
        narrow=True,
        quiet=True,
    )
    token_pane.show(f"preview {when}", seen["text"], seen["values"], view)


def command(rule: data.rocks.RockRule) -> str:
    name, *settings = rule.short().split(";")
    flags = " ".join(f"--set {shlex.quote(s)}" for s in settings)
    return (
        f"rockcore rocks {shlex.quote(data.runs.short_path(run))} --preset {name} {flags}".strip()
    )


def setting_before() -> tuple[data.rocks.RockRule | None, data.rocks.Instant | None]:
    """The rule before the last change and what was persistent by it, if it could be tried."""
    text = selection.previous("rule")
    if text is None:
        return None, None
    try:
        rule = data.rocks.rule(text or "default")
        return rule, data.rocks.instant(run, rule)
    except data.runs.RockError:
        return None, None


def lab() -> None:
    if problem := selection.complaint():
        st.warning(words.plain(problem))
    rule = current()
    presets(rule)
    now = data.rocks.instant(run, rule)
    thresholds(rule)
    earlier, then = setting_before()
    readout(now, then)
    below = st.container()
    left, right = st.columns([1, 2])
    with left:
        knobs(run, rule)
    with right:
        report = data.rocks.found(run, rule).report
        with below:
            set_readout(report, None if earlier is None else data.rocks.found_before(run, earlier))
        figures(rule, report)
        preview(rule)
    st.code(command(rule), language="sh")


def figures(rule: data.rocks.RockRule, report: data.rocks.RockReport) -> None:
    about = f"{facts.meta.name} · {report.mode} · score {rule.score}"
    marked = charts.Marked(len(report.ids), report.knee, rule.min_jaccard, rule.draws)
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
        )


st.title("Threshold lab")
st.text("What counts as a rock is a choice. Move a knob and see what it takes in.")
try:
    lab()
except data.runs.RockError as e:
    st.subheader("The rule cannot be tried on this run")
    st.text(str(e))
    st.button("Back to the default rule", on_click=lambda: selection.put("rule", "default"))
