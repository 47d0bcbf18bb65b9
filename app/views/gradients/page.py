"""Who takes the gradient: its shares over the training, where mean gradients point, and what
leaving tokens out would give up.
"""

import streamlit as st

from app import controls, data, selection, words
from app.views.gradients import charts

VALUES = {"corrected": "corrected, cross-fitted", "naive": "naive"}
VALUES_HELP = (
    "The mean of n noisy gradients is long by noise alone, which makes rare types look long and "
    "turned away; corrected numbers use only "
    "products of occurrences in different rollouts, on rollouts that did not choose the types."
)
MOST_CHOICES = 300

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


def taken(source: str, norm: str, step: int, rule: data.rocks.RockRule, rocks: set[int]) -> None:
    """Shares over the steps, how unequal they are, and the types as bubbles."""
    by = selection.choose(
        "by", st.segmented_control, "Stacked by", list(data.gradients.BY) if rocks else ["category"], "category",
        format_func=data.gradients.BY.get, required=True,
    )  # fmt: skip
    about = f"{facts.meta.name} · {controls.TEXTS[source].lower()} · {norm} · {facts.estimator}"
    stack = data.gradients.stacked(run, source, norm, by, rule)
    st.plotly_chart(
        charts.shares(stack.frame, stack.labels, about),
        key="shares",
        alt="Shares by label over the steps",
    )
    if by == "set":
        last = stack.frame[
            (stack.frame.label == "Rock Tokens") & (stack.frame.step == stack.frame.step.max())
        ]
        for row in last.itertuples():
            st.text(
                f"At step {row.step} the {len(rocks)} Rock Tokens are {row.tokens_share:.1%} of "
                f"the tokens, {row.kl_share:.0%} of the kl "
                f"and {row.gradient_share:.0%} of the gradient norm."
            )
    else:
        st.caption(
            "Where a band is wider in the third panel than in the first, its tokens take more of "
            "the gradient than their number says."
        )
    left, right = st.columns([2, 3])
    with left:
        curves = data.gradients.inequality(run, source, norm, step)
        st.plotly_chart(
            charts.lorenz(curves, f"{facts.meta.name} · step {step} · {norm}"),
            key="lorenz",
            alt="Lorenz curves with Gini",
        )
        st.caption(
            "The further a curve hangs below the diagonal, the fewer types or tokens hold most of "
            "the norm."
        )
    with right:
        now = data.gradients.at_step(run, source, norm, step, rocks)
        event = st.plotly_chart(
            charts.bubbles(now, f"step {step} · {about}"), key="bubbles", on_select="rerun", selection_mode="points",
            alt="Types by frequency, mean kl and share of the gradient norm",
        )  # fmt: skip
        picked(event)
        st.caption(
            "Upper right: frequent and far from the teacher. Click a type for what the log says "
            "of it."
        )


def picked(event) -> None:
    """A clicked point becomes the type in the link."""
    points = getattr(event, "selection", {}).get("points", [])
    token = int(points[0]["customdata"][0]) if points and points[0].get("customdata") else None
    if selection.is_new("point", token):
        selection.pick("token", str(token))


def directions(probe_set: str, rule: data.rocks.RockRule, rocks: set[int]) -> None:
    """Lengths and cosines by group, then early against late."""
    steps = data.gradients.direction_steps(run, probe_set)
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
    about = (
        f"{facts.meta.name} · {controls.TEXTS[probe_set].lower()} · step {step} · {facts.estimator}"
    )
    if rocks:
        by_group(data.gradients.compared_groups(run, probe_set, step, rule), shown, about)
    if error := data.gradients.cosine_error(run, probe_set, step):
        st.caption(
            f"The gradients are logged as random projections, which adds ±{error:.3f} (one "
            "standard deviation) to a cosine."
        )
    if len(steps) > 1:
        early_late(probe_set, steps[0], steps[-1], rocks)
    else:
        st.text(f"Only step {steps[0]} has directions, so there is no early and late.")


def by_group(found: data.gradients.Comparison, shown: str, about: str) -> None:
    naive = shown == "naive"
    members = found.members.loc[(found.members.chosen_by == "all") == naive]
    left, right = st.columns(2)
    with left:
        chart = charts.group_histogram(
            members,
            data.gradients.GROUPS,
            "norm",
            f"Length of the mean gradient, {shown}",
            "‖mean gradient‖ of a type",
            about,
            None,
        )
        st.plotly_chart(chart, key="lengths", alt="Lengths of mean gradients by group")
    with right:
        title = f"Cosine with the other types' mean, {shown}"
        chart = charts.group_histogram(
            members,
            data.gradients.GROUPS,
            "cos_balanced",
            title,
            "cosine, own type left out",
            about,
            (-1.0, 1.0),
        )
        if members.cos_balanced.notna().any():
            st.plotly_chart(chart, key="cosines", alt="Cosines with the common direction by group")
        else:
            st.text(
                "No corrected cosine can be told here: no length of a type, or not that of the "
                "common direction, is above its noise on the "
                "rollouts that measure it. The naive values show what is left without the "
                "correction, noise and all."
            )
    st.caption(VALUES_HELP)
    groups_table(found, naive)
    beside_the_paper(found)


def beside_the_paper(found: data.gradients.Comparison) -> None:
    """Whether this run shows what the paper saw, by its own way of reckoning."""
    naive = dict(zip(found.groups.group, found.groups.norm_naive, strict=True))
    rocks, rare = naive["rocks"], naive["rare, high KL"]
    if not rocks > 0 or not rare > 0:
        return
    verdict = (
        "as clearly here"
        if rare > 10 * rocks
        else "the same way here, but less clearly"
        if rare > rocks
        else "not in this run"
    )
    st.text(
        "The paper (arXiv 2605.09253) finds rocks with much shorter mean gradients than rare "
        "types of high KL, naive medians 0.016 and "
        f"0.54: {verdict}, {rocks:.3g} and {rare:.3g}."
    )


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
    rows = found.groups
    order = ["group", "types", "measured", *[f"{name}{end}" for name in columns]]
    st.dataframe(
        rows,
        hide_index=True,
        column_order=order,
        column_config={f"{name}{end}": number(head, format="%.4g") for name, head in heads.items()},
        alt="Groups of types with their medians",
    )
    if not naive:
        st.caption(
            "Medians of both halves. No cosine stands where a length was not above its noise on "
            "the half that measured it, and a corrected "
            "one may lie beyond 1; with few Rock Tokens all of these are rough."
        )
    for row in found.tests[found.tests.stat.isin(["norm", "cos_balanced"])].itertuples():
        what = "a longer mean gradient" if row.stat == "norm" else "a larger cosine"
        p, superiority = (row.p_naive, row.superiority_naive) if naive else (row.p, row.superiority)
        n, n_other = (
            (data.gradients.counted(found, name, row.stat) for name in ("rocks", row.other))
            if naive
            else (row.n_rocks, row.n_other)
        )
        if superiority == superiority:
            ratio = (
                ""
                if naive or row.ratio != row.ratio
                else f", medians {row.ratio:.2f} to 1 (95 % {row.ratio_low:.2f} to "
                f"{row.ratio_high:.2f})"
            )
            st.text(
                f"A rock has {what} than a type of “{row.other}” with probability "
                f"{superiority:.2f} (Mann–Whitney p = {p:.2g}; "
                f"{n} against {n_other} values{ratio})."
            )


def early_late(probe_set: str, first: int, last: int, rocks: set[int]) -> None:
    frame = data.gradients.change(run, probe_set, first, last, rocks)
    about = f"{facts.meta.name} · {controls.TEXTS[probe_set].lower()}, the same texts · steps {first} and {last}"
    what = selection.choose("moved", st.segmented_control, "Early against late", ["kl", "norm"], "kl", required=True,
                            format_func={"kl": "mean kl", "norm": "length of the mean "
                                                                  "gradient"}.get)  # fmt: skip
    title, axis = {
        "kl": ("Mean kl of each type", "kl (nats)"),
        "norm": ("Length of each type's mean gradient", "‖ḡ‖, corrected"),
    }[what]
    ends = f"{what}_first", f"{what}_last"
    left, right = st.columns(2)
    with left:
        event = st.plotly_chart(
            charts.early_late(frame, *ends, title, axis, about), key="early late", on_select="rerun", selection_mode="points",
            alt="Each type early and late",
        )  # fmt: skip
        picked(event)
    with right:
        st.plotly_chart(
            charts.change_histogram(frame, *ends, "Its change as a factor", about),
            key="factors",
            alt="Factors of change",
        )
    known = frame[(frame[ends[0]] > 0) & (frame[ends[1]] > 0)]
    st.caption(
        f"{len(known):,} of {len(frame):,} types are positive at both steps and shown. Below the "
        "diagonal: less than before. "
        "No number chose these types, so none falls by being measured again."
    )


def of_one_type(source: str, norm: str, step: int, rocks: set[int]) -> None:
    """Evidence in sentences, for the type that was clicked or chosen."""
    st.subheader("One type")
    now = data.gradients.at_step(run, source, norm, step, rocks)
    asked = selection.asked("token")
    ids = now.token_id.head(MOST_CHOICES).tolist()
    if asked.isdecimal() and int(asked) in set(now.token_id):
        ids = list(dict.fromkeys([*ids, int(asked)]))
    names = dict(
        zip(
            now.token_id,
            (
                f"{s} · {share:.1%} of the norm"
                for s, share in zip(now.shown, now.gradient_share, strict=True)
            ),
            strict=True,
        )
    )
    token = selection.choose(
        "token", st.selectbox, "Token type", ids, ids[0], format_func=names.get
    )
    sets = data.gradients.direction_sets(run)
    probe_set = source if source in sets else next(iter(sets), None)
    where = moved = None
    if probe_set:
        steps = data.gradients.direction_steps(run, probe_set)
        where = data.gradients.directions(run, probe_set, steps[-1], rocks)
        moved = (
            data.gradients.change(run, probe_set, steps[0], steps[-1], rocks)
            if len(steps) > 1
            else None
        )
    for sentence in data.gradients.evidence(run, token, now, where, moved):
        st.text(sentence)


def without(source: str, norm: str, rocks: set[int]) -> None:
    """What a training without the set would skip, and what it would give up."""
    st.subheader("What if these tokens were not trained?")
    found = data.gradients.given_up(run, rocks, source, norm)
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


def checks(source: str, norm: str, rocks: set[int]) -> None:
    """How far the closed form can be trusted, and what Adam makes of frequent types."""
    st.subheader("Two checks")
    sets = data.gradients.direction_sets(run)
    found = {name: c for name in sets if (c := data.gradients.exact(run, name, norm)) is not None}
    for name, c in found.items():
        st.text(
            f"{norm} against the gradient in all parameters: correlation of the logarithms "
            f"{c.value:.3f} "
            f"(95 % {c.low:.3f} to {c.high:.3f}, {c.n} positions of "
            f"{controls.TEXTS[name].lower()})."
        )
    if not found:
        st.text(
            "Exact gradients were not taken, so how well the norm stands for them is not known "
            "here: rockcore train --gradients full"
        )
    try:
        frame, c = data.gradients.adam(run, frozenset(rocks))
    except data.gradients.NoGradients as e:
        st.text(str(e))
        return
    st.plotly_chart(
        charts.second_moments(frame, f"{facts.meta.name} · the last logged optimizer"), key="adam",
        alt="Adam's second moment against frequency",
    )  # fmt: skip
    st.text(
        f"Rank correlation of Adam's second moment with frequency: {c.value:.2f} (95 % "
        f"{c.low:.2f} to {c.high:.2f}, {c.n} types). "
        "Positive means that Adam takes shorter steps for the rows of frequent types, as the "
        "paper supposes."
    )


def page() -> None:
    sources = [s for s in data.runs.SOURCES if data.runs.steps(run, s)]
    if not sources:
        st.text(
            "No step has logged its tokens yet. Reload in a moment (press R) if the run is "
            "training."
        )
        return
    source = controls.source(sources)
    left, right = st.columns(2)
    norms = data.gradients.logged_norms(run, source)
    with left:
        norm = selection.choose(
            "norm",
            st.selectbox,
            "Norm of the gradient",
            norms,
            norms[0],
            format_func=data.gradients.NORMS.get,
        )
    steps = data.gradients.norm_steps(run, source, norm)
    with right:
        step = selection.choose("step", st.select_slider, "Step", steps, steps[-1])
    st.badge(words.plain(facts.estimator), help="What the numbers called kl are.")
    rule, rocks, why = the_rule()
    if why:
        st.text(f"No Rock Tokens here, so types stand by category alone. {why}")
    taken(source, norm, step, rule, rocks)
    st.subheader("Where mean gradients point")
    sets = data.gradients.direction_sets(run)
    if sets:
        directions(source if source in sets else sets[0], rule, rocks)
    else:
        st.text(
            "No summed gradients are logged: train with --gradients sums (the default) and with "
            "probe texts."
        )
    of_one_type(source, norm, step, rocks)
    if rocks:
        without(source, norm, rocks)
    checks(source, norm, rocks)


st.title("Gradients")
st.text(
    "The gradient of a training step is a sum over tokens: who takes most of it, and does it pull "
    "the same way?"
)
try:
    page()
except data.gradients.NoGradients as e:
    how_to_log(e)
