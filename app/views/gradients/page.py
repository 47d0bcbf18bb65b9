"""Who takes the gradient: its shares over the training, where mean gradients point, and what
leaving tokens out would give up.
"""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from app import controls, data, selection, words
from app.views.gradients import charts
from app.views.gradients import words as sentences

VALUES = {"corrected": "corrected, cross-fitted", "naive": "naive"}
VALUES_HELP = (
    "The mean of n noisy gradients is long by noise alone, which makes rare types look long and "
    "turned away; corrected numbers use only "
    "products of occurrences in different rollouts, on rollouts that did not choose the types."
)
MOST_CHOICES = 300
MOVED = {  # as a choice, as a heading, as an axis
    "kl": ("mean kl", "Mean kl of each type", "kl (nats)"),
    "norm": (
        "length of the mean gradient",
        "Length of each type's mean gradient",
        "‖ḡ‖, corrected",
    ),
}

run = selection.run()
facts = data.runs.facts(run)
number, text = st.column_config.NumberColumn, st.column_config.TextColumn


def how_to_log(why: Exception) -> None:
    """For a run without gradients."""
    st.subheader("No gradients in this log")
    st.text(str(why))
    st.text("A run of this program logs the norms and the sums by type without being asked:")
    st.code(
        "rockcore train --out runs/mine                    # norms of every token, sums of the "
        "probe texts by type",
        language=None,
    )
    st.code(
        "rockcore train --out runs/mine --gradients full   # and exact gradients of a sample, to "
        "check the norms",
        language=None,
    )


def the_rule() -> tuple[data.rocks.RockRule, set[int], str]:
    """The rule of the link and its set; empty, with the reason, where none can be found."""
    rule = data.rocks.rule(selection.text("rule", "default"))
    try:
        return rule, data.gradients.rocks_of(run, rule), ""
    except data.runs.RockError as e:
        return rule, set(), str(e)


def who_takes_it(seen: Seen, rule: data.rocks.RockRule, rocks: set[int]) -> None:
    """Shares over the steps, how unequal they are, and the types as bubbles."""
    by = selection.choose(
        "by",
        st.segmented_control,
        "Stacked by",
        list(data.gradients.BY) if rocks else ["category"],
        "category",
        format_func=data.gradients.BY.get,
        required=True,
    )
    stack = data.gradients.stacked(run, seen.texts, seen.norm, by, rule)
    st.plotly_chart(
        charts.shares(stack.frame, stack.labels, seen.about),
        key="shares",
        alt="Shares by label over the steps",
    )
    row = stack.at_last_step(data.gradients.IN_SET) if by == "set" else None
    if row is not None:
        st.text(sentences.of_the_set(row, len(rocks)))
    elif by != "set":
        st.caption(
            "Where a band is wider in the third panel than in the first, its tokens take more of "
            "the gradient than their number says."
        )
    left, right = st.columns([2, 3])
    with left:
        spread_of_norm(seen)
    with right:
        types_at_step(seen, rocks)


def spread_of_norm(seen: Seen) -> None:
    curves = data.gradients.inequality(run, seen.texts, seen.norm, seen.step)
    st.plotly_chart(
        charts.lorenz(curves, f"{facts.meta.name} · step {seen.step} · {seen.norm}"),
        key="lorenz",
        alt="Lorenz curves with Gini",
    )
    st.caption(
        "The further a curve hangs below the diagonal, the fewer types or tokens hold most of "
        "the norm."
    )


def types_at_step(seen: Seen, rocks: set[int]) -> None:
    now = data.gradients.at_step(run, seen.texts, seen.norm, seen.step, rocks)
    event = st.plotly_chart(
        charts.bubbles(now, f"step {seen.step} · {seen.about}"),
        key="bubbles",
        on_select="rerun",
        selection_mode="points",
        alt="Types by frequency, mean kl and share of the gradient norm",
    )
    picked(event)
    st.caption(
        "Upper right: frequent and far from the teacher. Click a type for what the log says of it."
    )


def picked(event) -> None:
    """A clicked point becomes the type in the link."""
    points = getattr(event, "selection", {}).get("points", [])
    token = int(points[0]["customdata"][0]) if points and points[0].get("customdata") else None
    if selection.is_new("point", token):
        selection.pick("token", str(token))


def directions(texts: data.gradients.Texts, rule: data.rocks.RockRule, rocks: set[int]) -> None:
    """Lengths and cosines by group, then early against late."""
    steps = data.gradients.direction_steps(run, texts)
    left, right = st.columns([2, 3])
    with left:
        step = selection.choose(
            "direction_step", st.select_slider, "Step of the directions", steps, steps[-1]
        )
    with right:
        shown = selection.choose(
            "values",
            st.segmented_control,
            "Values",
            list(VALUES),
            "corrected",
            format_func=VALUES.get,
            required=True,
            help=VALUES_HELP,
        )
    about = f"{facts.meta.name} · {texts.label.lower()} · step {step} · {facts.estimator}"
    if rocks:
        by_group(data.gradients.compared_groups(run, texts, step, rule), shown, about)
    if error := data.gradients.cosine_error(run, texts, step):
        st.caption(
            f"The gradients are logged as random projections, which adds ±{error:.3f} (one "
            "standard deviation) to a cosine."
        )
    if len(steps) > 1:
        early_late(texts, steps[0], steps[-1], rocks)
    else:
        st.text(f"Only step {steps[0]} has directions, so there is no early and late.")


def by_group(found: data.gradients.Comparison, shown: str, about: str) -> None:
    naive = shown == "naive"
    left, right = st.columns(2)
    with left:
        chart = charts.group_histogram(
            found.spread("norm", naive),
            f"Length of the mean gradient, {shown}",
            "‖mean gradient‖ of a type",
            about,
            logarithmic=True,
        )
        st.plotly_chart(chart, key="lengths", alt="Lengths of mean gradients by group")
    with right:
        cosines = found.spread("cos_balanced", naive)
        if cosines.n:
            chart = charts.group_histogram(
                cosines,
                f"Cosine with the other types' mean, {shown}",
                "cosine, own type left out",
                about,
                logarithmic=False,
            )
            st.plotly_chart(chart, key="cosines", alt="Cosines with the common direction by group")
        else:
            st.text(
                "No corrected cosine can be told here: no length of a type, or not that of the "
                "common direction, is above its noise on the rollouts that measure it. The naive "
                "values show what is left without the correction, noise and all."
            )
    st.caption(VALUES_HELP)
    groups_table(found, naive)
    if sentence := sentences.beside_the_paper(found):
        st.text(sentence)


def groups_table(found: data.gradients.Comparison, naive: bool) -> None:
    """The three groups in numbers, each with its interval, and what tests say."""
    end = "_naive" if naive else ""
    columns = ["norm", "norm_equal", "cos_balanced", "cos_global", "kl"]
    heads = {
        "norm": f"median ‖ḡ‖{', naive' if naive else ''}",
        "norm_equal": f"‖mean of {found.n_equal}‖",
        "cos_balanced": "cos, G_balanced",
        "cos_global": "cos, G_global",
        "kl": "median kl (nats)",
    }
    st.dataframe(
        found.groups,
        hide_index=True,
        column_order=["group", "types", "measured", *[f"{name}{end}" for name in columns]],
        column_config={f"{name}{end}": number(head, format="%.4g") for name, head in heads.items()},
        alt="Groups of types with their medians",
    )
    if not naive:
        st.caption(
            "Medians of both halves. No cosine stands where a length was not above its noise on "
            "the half that measured it, and a corrected one may lie beyond 1; with few Rock "
            "Tokens all of these are rough."
        )
    for row in found.tests[found.tests.stat.isin(["norm", "cos_balanced"])].itertuples():
        if sentence := sentences.test(found, row, naive):
            st.text(sentence)


def early_late(texts: data.gradients.Texts, first: int, last: int, rocks: set[int]) -> None:
    change = data.gradients.change(run, texts, first, last, rocks)
    about = f"{facts.meta.name} · {texts.label.lower()}, the same texts · steps {first} and {last}"
    what = selection.choose(
        "moved",
        st.segmented_control,
        "Early against late",
        list(MOVED),
        "kl",
        required=True,
        format_func=lambda name: MOVED[name][0],
    )
    _, title, axis = MOVED[what]
    ends = data.gradients.positive_ends(change, what)
    left, right = st.columns(2)
    with left:
        event = st.plotly_chart(
            charts.early_late(ends, title, axis, about),
            key="early late",
            on_select="rerun",
            selection_mode="points",
            alt="Each type early and late",
        )
        picked(event)
    with right:
        st.plotly_chart(
            charts.change_histogram(ends.factors, "Its change as a factor", about),
            key="factors",
            alt="Factors of change",
        )
    st.caption(
        f"{ends.positive:,} of {ends.types:,} types are positive at both steps and shown. Below "
        "the diagonal: less than before. No number chose these types, so none falls by being "
        "measured again."
    )


def of_one_type(seen: Seen, rocks: set[int]) -> None:
    """Evidence in sentences, for the type that was clicked or chosen."""
    st.subheader("One type")
    now = data.gradients.at_step(run, seen.texts, seen.norm, seen.step, rocks)
    ids = now.token_id.head(MOST_CHOICES).tolist()
    names = {
        i: f"{shown} · {share:.1%} of the norm"
        for i, shown, share in zip(
            now.token_id.tolist(), now.shown, now.gradient_share, strict=True
        )
    }
    asked = selection.asked("token")
    if asked.isdecimal() and int(asked) in names:
        ids = list(dict.fromkeys([*ids, int(asked)]))
    token = selection.choose(
        "token", st.selectbox, "Token type", ids, ids[0], format_func=names.get
    )
    logged = data.gradients.direction_texts(run)
    texts = seen.texts if seen.texts in logged else next(iter(logged), None)
    where, moved = data.gradients.about_type(run, token, texts, rocks)
    for sentence in sentences.evidence(data.gradients.row_of(now, token), where, moved):
        st.text(sentence)


def without(seen: Seen, rocks: set[int]) -> None:
    """What a training without the set would skip, and what it would give up."""
    st.subheader("What if these tokens were not trained?")
    found = data.gradients.given_up(run, rocks, seen.texts, seen.norm)
    columns = st.columns(4)
    columns[0].metric(
        "Tokens skipped",
        f"{found.tokens / max(found.of_tokens, 1):.1%}",
        help=f"{found.tokens:,} of {found.of_tokens:,}.",
    )
    columns[1].metric(
        "KL given up",
        f"{found.kl / max(found.of_kl, 1e-12):.0%}",
        help=f"{found.kl:.1f} of {found.of_kl:.1f} nats.",
    )
    columns[2].metric(
        "Gradient given up",
        f"{found.gradient / max(found.of_gradient, 1e-12):.0%}",
        help=f"Of the summed norm, {found.of_gradient:.0f}.",
    )
    saved = "not measured" if found.time_saved is None else f"≤ {found.time_saved:.2%}"
    columns[3].metric("Time saved", saved, help="Of a step, at most. See the sentence below.")
    if found.time_saved is None:
        st.text(
            "This log does not time the vocabulary projections (projection_s), so what skipping "
            "could save is unknown."
        )
        return
    st.text(
        "Skipped tokens are still written and read; what can be left out is their way through the "
        "vocabulary projections and the loss, "
        f"which took {found.projection_share:.0%} of a step here (median of {found.steps} steps). "
        "A weight of zero alone skips nothing."
    )


def checks(norm: str, rocks: set[int]) -> None:
    """How far the closed form can be trusted, and what Adam makes of frequent types."""
    st.subheader("Two checks")
    texts = data.gradients.direction_texts(run)
    found = {kind: data.gradients.exact(run, kind, norm) for kind in texts}
    for kind, correlation in found.items():
        if correlation is not None:
            st.text(sentences.exact(norm, kind.label.lower(), correlation))
    if not any(found.values()):
        st.text(
            "Exact gradients were not taken, so how well the norm stands for them is not known "
            "here: rockcore train --gradients full"
        )
    try:
        frame, correlation = data.gradients.adam(run, frozenset(rocks))
    except data.gradients.NoGradients as e:
        st.text(str(e))
        return
    st.plotly_chart(
        charts.second_moments(frame, f"{facts.meta.name} · the last logged optimizer"),
        key="adam",
        alt="Adam's second moment against frequency",
    )
    st.text(sentences.adam(correlation))


class Seen(NamedTuple):
    """What the upper half of the page shows."""

    texts: data.gradients.Texts
    norm: str
    step: int

    @property
    def about(self) -> str:
        return f"{facts.meta.name} · {self.texts.label.lower()} · {self.norm} · {facts.estimator}"


def choose_seen(logged: list[data.gradients.Texts]) -> Seen:
    """Whose texts, which norm, at which step; raises NoGradients."""
    texts = data.gradients.Texts(controls.source(logged))
    left, right = st.columns(2)
    norms = data.gradients.logged_norms(run, texts)
    with left:
        norm = selection.choose(
            "norm",
            st.selectbox,
            "Norm of the gradient",
            norms,
            norms[0],
            format_func=data.gradients.NORMS.get,
        )
    steps = data.gradients.norm_steps(run, texts, norm)
    with right:
        step = selection.choose("step", st.select_slider, "Step", steps, steps[-1])
    return Seen(texts, norm, step)


def page() -> None:
    logged = data.gradients.logged_texts(run)
    if not logged:
        st.text(
            "No step has logged its tokens yet. Reload in a moment (press R) if the run is "
            "training."
        )
        return
    seen = choose_seen(logged)
    st.badge(words.plain(facts.estimator), help="What the numbers called kl are.")
    if data.gradients.is_zero(run, seen.texts, seen.norm):
        steps = data.gradients.norm_steps(run, seen.texts, seen.norm)
        st.subheader("No divergence, so no gradient")
        st.text(
            sentences.no_divergence(seen.texts.label.lower(), len(steps), data.gradients.floor(run))
        )
        return
    rule, rocks, why = the_rule()
    if why:
        st.text(f"No Rock Tokens here, so types stand by category alone. {why}")
    who_takes_it(seen, rule, rocks)
    st.subheader("Where mean gradients point")
    summed = data.gradients.direction_texts(run)
    if summed:
        directions(seen.texts if seen.texts in summed else summed[0], rule, rocks)
    else:
        st.text(
            "No summed gradients are logged: train with --gradients sums (the default) and with "
            "probe texts."
        )
    of_one_type(seen, rocks)
    if rocks:
        without(seen, rocks)
    checks(seen.norm, rocks)


st.title("Gradients")
st.text(
    "The gradient of a training step is a sum over tokens: who takes most of it, and does it pull "
    "the same way?"
)
try:
    page()
except data.gradients.NoGradients as e:
    how_to_log(e)
