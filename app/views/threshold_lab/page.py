"""Every knob of a rule, and what it does to the set while it moves.

Not a fragment: Streamlit lets a moved control end a running page, but not a running fragment, and
here it has to.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import streamlit as st

from app import data, selection, words
from app.components import loss_histogram, token_pane
from app.views.threshold_lab import charts

run = selection.run()
facts = data.runs.facts(run)
HANDLES = "tau handles"


def current() -> data.rocks.RockRule:
    return data.rocks.rule(selection.text("rule", "default"))


def change(**fields: Any) -> None:
    """Take a new value from a control; one that contradicts the rest is told and not taken."""
    try:
        new = current().changed(**fields)
    except data.runs.RockError as e:
        selection.complain(str(e))
        return
    selection.put("rule", new.short())


def take(rule: data.rocks.RockRule) -> None:
    selection.put("rule", rule.short())


def follow_hand(linked: bool) -> None:
    """A threshold was dragged in the histogram."""
    where = selection.moved(HANDLES)
    if where:
        change(
            tau_pre=float(where["tau_pre"]),
            tau_post=float(where["tau_pre"] if linked else where["tau_post"]),
        )


def presets(rule: data.rocks.RockRule) -> None:
    names = data.rocks.rule_names()
    left, undo, save = st.columns([6, 1, 1], vertical_alignment="bottom")
    shown = next((name for name in names if name == rule.name), None)
    changed = shown is not None and rule != data.rocks.named_rule(shown)

    def load(name: str | None) -> None:
        if name is not None:
            take(data.rocks.named_rule(name))

    with left:
        label = "Preset" + (f" (changed from {shown}: pick it again to go back)" if changed else "")
        selection.control("preset", st.pills, label, None if changed else shown, load, names)
    before = selection.previous("rule")
    undo.button(
        "Undo",
        on_click=selection.undo,
        args=("rule",),
        disabled=before is None,
        icon=":material/undo:",
        width="stretch",
    )
    with save.popover("Save", icon=":material/save:", width="stretch"):
        name = st.text_input(
            "Name", key="save name", placeholder="my rule", help="Goes to ./rules/NAME.json."
        )
        if st.button("Save the rule", type="primary", disabled=not name.strip()):
            path = data.rocks.save_rule(rule, name.strip())
            st.text(
                f"Saved as {path}. On the command line: rockcore rocks RUN --rule "
                f"{shlex.quote(str(path))}"
            )
        st.download_button(
            "Download as JSON",
            rule.to_json(),
            f"{name.strip() or rule.name}.json",
            "application/json",
            on_click="ignore",
        )


def thresholds(rule: data.rocks.RockRule, now: data.rocks.Instant | None) -> None:
    """The histogram with its handles."""
    linked = rule.tau_pre == rule.tau_post and not selection.flag("apart")
    tau = {"tau_pre": now.tau_pre, "tau_post": now.tau_post} if now else data.rocks.taus(run, rule)
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
        knob(
            "tau_quantile",
            rule,
            st.slider,
            step=0.005,
            min_value=0.5,
            max_value=0.995,
            format="%.3f",
        )
    with right:
        selection.control(
            "apart",
            st.toggle,
            "Move τ_pre and τ_post apart",
            not linked,
            lambda v: selection.put_flag("apart", v),
            help="Off: one value for both ends.",
        )


def knob(name: str, rule: data.rocks.RockRule, widget: Callable[..., Any], **look: Any) -> None:
    """A control for one field of the rule: its symbol, its name, and one sentence below."""
    about = data.rocks.KNOBS[name]
    selection.control(
        name,
        widget,
        f"{about.symbol} · {name}",
        getattr(rule, name),
        lambda v: change(**{name: v}),
        **look,
    )
    st.caption(about.meaning)


def knobs(rule: data.rocks.RockRule) -> None:
    with st.expander("Context", expanded=True):
        knob("window", rule, st.slider, min_value=1, max_value=6)
        share = [i / (2 * rule.window) for i in range(1, 2 * rule.window + 1)]
        gamma = min(share, key=lambda g: abs(g - rule.gamma))
        selection.control(
            "gamma", st.select_slider, "γ · gamma", gamma, lambda v: change(gamma=v), share,
            format_func=lambda g: f"{round(g * 2 * rule.window)} of {2 * rule.window}",
        )  # fmt: skip
        st.caption(data.rocks.KNOBS["gamma"].meaning)
        knob("eta", rule, st.slider, min_value=0.0, max_value=1.0, step=0.01)
        knob("min_support", rule, st.number_input, min_value=0, max_value=1000, step=1)
        knob("min_rollouts", rule, st.slider, min_value=0, max_value=2)
    with st.expander("Ranking and cutoff", expanded=True):
        selection.control(
            "score",
            st.selectbox,
            "score",
            rule.score,
            lambda v: change(score=v),
            list(data.rocks.SCORES),
        )
        st.caption((data.rocks.SCORES[rule.score].__doc__ or "").strip().splitlines()[0])
        knob(
            "top_k",
            rule,
            st.number_input,
            min_value=0,
            max_value=100_000,
            step=1,
            placeholder="the largest stable K",
        )
        knob("tau_rock", rule, st.number_input, min_value=0.0, format="%g", placeholder="not used")
        knob("min_jaccard", rule, st.slider, min_value=0.0, max_value=1.0, step=0.05)
    with st.expander("What is left out"):
        knob("min_frequency", rule, st.number_input, min_value=1, max_value=1_000_000, step=1)
        knob("drop_most_frequent", rule, st.number_input, min_value=0, max_value=10_000, step=1)
        words = data.rocks.token_names(run, rule)
        selection.control(
            "excluded_types",
            st.multiselect,
            "Types",
            list(rule.excluded_types),
            lambda v: change(excluded_types=tuple(v)),
            list(words),
            format_func=words.get,
        )
        st.caption(
            f"Types that are never in the set. The {len(words)} most frequent can be chosen."
        )
        for offset, where in ((-1, "right after"), (1, "right before")):
            others = tuple(pair for pair in rule.excluded_contexts if pair[0] != offset)
            picked = [token for at, token in rule.excluded_contexts if at == offset]

            def exclude(
                tokens: list[int],
                offset: int = offset,
                others: tuple[tuple[int, int], ...] = others,
            ) -> None:
                change(excluded_contexts=(*others, *((offset, t) for t in tokens)))

            selection.control(
                f"context {offset}",
                st.multiselect,
                f"Contexts: {where}",
                picked,
                exclude,
                list(words),
                format_func=words.get,
            )
        st.caption("Occurrences with one of these neighbours are not kept.")
    with st.expander("Which texts"):
        selection.control(
            "column",
            st.segmented_control,
            "loss",
            rule.column,
            lambda v: change(column=v),
            list(data.rocks.COLUMNS),
            required=True,
        )
        selection.control(
            "mode",
            st.segmented_control,
            "mode",
            rule.mode,
            lambda v: change(mode=v),
            list(data.rocks.MODES),
            required=True,
        )
        selection.control(
            "probe_set",
            st.segmented_control,
            "probe texts",
            rule.probe_set,
            lambda v: change(probe_set=v),
            ["auto", "final", "first"],
            required=True,
        )
        steps = data.rocks.steps(run, rule)
        for name, default, choices in (
            ("pre_step", steps[0], steps[:-1]),
            ("post_step", steps[-1], steps[1:]),
        ):
            value = default if getattr(rule, name) is None else getattr(rule, name)
            selection.control(
                name,
                st.selectbox,
                name.replace("_", " "),
                value,
                lambda v, n=name: change(**{n: v}),
                choices,
            )
        selection.control(
            "controls",
            st.segmented_control,
            "controls",
            rule.controls,
            lambda v: change(controls=v),
            list(data.rocks.CONTROLS),
            required=True,
        )
        knob("draws", rule, st.number_input, min_value=20, max_value=10_000, step=10)
        knob("seed", rule, st.number_input, min_value=0, max_value=2**32 - 1, step=1)


def readout(now: data.rocks.Instant | None, before: data.rocks.Instant | None) -> None:
    """What the thresholds alone decide: there at once."""
    if now is None:
        st.text(
            "Without paired texts no occurrence has both losses: what is persistent is bounded "
            "below, not counted."
        )
        return
    reading, old = now.reading, before.reading if before else None
    columns = st.columns(5)
    cells = (
        ("Persistent occurrences", reading.occurrences, old and old.occurrences, "{:,}", "{:+,}"),
        ("their types", reading.types, old and old.types, "{:,}", "{:+,}"),
        (
            "% of tokens",
            100 * reading.token_share,
            old and 100 * old.token_share,
            "{:.2f} %",
            "{:+.2f}",
        ),
        (
            "% of loss",
            100 * reading.loss_share,
            old and 100 * old.loss_share,
            "{:.1f} %",
            "{:+.1f}",
        ),
        (
            "% of gradient",
            None if reading.grad_share is None else 100 * reading.grad_share,
            None if old is None or old.grad_share is None else 100 * old.grad_share,
            "{:.1f} %",
            "{:+.1f}",
        ),
    )
    for column, (label, value, earlier, form, step) in zip(columns, cells, strict=True):
        delta = (
            None
            if value is None or earlier is None or value == earlier
            else step.format(value - earlier)
        )
        column.metric(
            label, "not logged" if value is None else form.format(value), delta, delta_color="off"
        )


def set_readout(rocks: data.rocks.RockSet, before: data.rocks.RockSet | None) -> None:
    """What needs contexts and halves: there a moment later."""
    columns = st.columns(5)
    stable = rocks.stability
    cells = (
        (
            "Kept occurrences",
            rocks.occurrences["consistent"],
            before and before.occurrences["consistent"],
            "{:,}",
            "{:+,}",
        ),
        ("Rock Tokens K", len(rocks.ids), before and len(before.ids), "{}", "{:+}"),
        ("Coverage", 100 * rocks.coverage, before and 100 * before.coverage, "{:.0f} %", "{:+.0f}"),
        (
            "Stability",
            stable.value if rocks.ids else None,
            before.stability.value if before and before.ids else None,
            "{:.2f}",
            "{:+.2f}",
        ),
        (
            "Occ. density",
            _percent(rocks),
            _percent(before) if before else None,
            "{:.2f} %",
            "{:+.2f}",
        ),
    )
    for column, (label, value, earlier, form, step) in zip(columns, cells, strict=True):
        delta = (
            None
            if value is None or earlier is None or value == earlier
            else step.format(value - earlier)
        )
        column.metric(
            label, "unknown" if value is None else form.format(value), delta, delta_color="off"
        )
    if before is not None:
        now, old = set(rocks.ids), set(before.ids)
        names = rocks.tokens.set_index("token_id").token
        for verb, ids in (("In", now - old), ("Out", old - now)):
            if ids:
                st.text(
                    f"{verb}: "
                    f"{'  '.join(words.visible(str(names.get(i, i))) for i in sorted(ids)[:40])}"
                )
    for note in rocks.notes:
        st.info(words.plain(note), icon=":material/info:")


def _percent(rocks: data.rocks.RockSet) -> float | None:
    density = rocks.density["occurrence"]
    return None if density is None else 100 * density


def preview(rule: data.rocks.RockRule) -> None:
    """One rollout before and after, with what the rule makes of it."""
    if data.rocks.source(run, rule) == "fresh":
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
    steps = data.rocks.found(run, rule).rocks.steps
    scale = data.texts.scale(run, rule.column)
    for column, step, when in zip(
        st.columns(2), (steps[0], steps[-1]), ("before", "after"), strict=True
    ):
        with column:
            st.markdown(f"**{when}: step {step}**")
            seen = data.rocks.preview(run, rule, rollout, step)
            view = token_pane.View(
                scale=scale,
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
    st.caption(
        "Dotted: persistent. Dashed: and in a context that recurs. Solid and thick: and of a type "
        "in the set."
    )


def command(rule: data.rocks.RockRule) -> str:
    name, *settings = rule.short().split(";")
    flags = " ".join(f"--set {shlex.quote(s)}" for s in settings)
    return (
        f"rockcore rocks {shlex.quote(data.runs.short_path(run))} --preset {name} {flags}".strip()
    )


def lab() -> None:
    if problem := selection.complaint():
        st.warning(words.plain(problem))
    rule = current()
    presets(rule)
    now = data.rocks.instant(run, rule)
    thresholds(rule, now)
    text = selection.previous("rule")
    earlier = None if text is None else data.rocks.rule(text or "default")
    readout(now, None if earlier is None else data.rocks.instant(run, earlier))
    below = st.container()
    left, right = st.columns([1, 2])
    with left:
        knobs(rule)
    with right:
        rocks = data.rocks.found(run, rule).rocks
        with below:
            set_readout(rocks, None if earlier is None else data.rocks.found_before(run, earlier))
        about = f"{facts.meta.name} · {rocks.mode} · score {rule.score}"
        figure = charts.cutoff(
            rocks.curves, len(rocks.ids), rocks.knee, rule.min_jaccard, rule.draws, about
        )
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
                "This rule beside the presets, on the same texts. J with this: Jaccard index of "
                "the two sets."
            )
        preview(rule)
    st.code(command(rule), language="sh")


st.title("Threshold lab")
st.text("What counts as a rock is a choice. Move a knob and see what it takes in.")
try:
    lab()
except data.runs.RockError as e:
    st.subheader("The rule cannot be tried on this run")
    st.text(str(e))
    st.button("Back to the default rule", on_click=lambda: selection.put("rule", "default"))
