"""The Rock Tokens of a run under a rule: which types, how sure, in what contexts, against what
control.
"""

import streamlit as st

from app import data, selection, words
from app.views.rock_tokens import charts, columns

MOST_ROWS = 1_000  # more are a megabyte a rerun; search and facets reach the others

run = selection.run()
facts = data.runs.facts(run)
st.title("Rock tokens")
st.text(
    "Token types whose loss is high before and after training, at places that recur in similar "
    "contexts."
)


def ranked_by_step() -> None:
    """Where no detection is possible: the types of one step by Rock Score."""
    steps = data.runs.steps(run)
    if not steps:
        return
    step = selection.choose("step", st.select_slider, "Step", steps, steps[-1])
    st.text(f"The types of step {step} by Rock Score alone, which needs no second checkpoint:")
    st.dataframe(
        data.runs.ranking(run, step),
        hide_index=True,
        column_order=columns.OF_STEP,
        column_config=columns.config("kl"),
        alt="Token types of one step by Rock Score",
    )


HOW = {
    "given": "as the rule says",
    "stability": "the largest with a split-half Jaccard of {least:g} or more",
    "knee": "the knee of coverage: no K is stable",
    "tau_rock": "by the threshold on the score",
}


def headline(report: data.rocks.RockReport) -> None:
    """Five numbers, each with what it is of; those that an empty set does not have are dashes."""
    stable, k, density = report.stability, len(report.ids), report.density
    how = HOW[report.chosen_by].format(least=report.rule.min_jaccard)
    cells = (
        (
            "Rock Tokens K",
            str(k),
            f"Of {len(report.tokens)} types. {how if k else 'None is in it'}.",
        ),
        (
            "Coverage",
            f"{report.coverage:.0%}" if k else "–",
            f"Share of the summed {report.rule.column} on tokens of these types.",
        ),
        (
            "Stability",
            f"{stable.value:.2f}" if k else "–",
            f"Jaccard of two disjoint halves, {stable.low:.2f} to {stable.high:.2f} in 95 % of "
            "the splits."
            if k
            else "An empty set has none.",
        ),
        (
            "Type density",
            "unknown" if density["type"] is None else f"{density['type']:.1%}",
            "Share of all tokens that are of a rock type, wherever they stand.",
        ),
        (
            "Occurrence density",
            "unknown" if density["occurrence"] is None else f"{density['occurrence']:.1%}",
            "Share of all tokens that are rock occurrences: of a rock type, persistent, in a "
            "context that recurs.",
        ),
    )
    for place, (label, value, about) in zip(st.columns(len(cells)), cells, strict=True):
        place.metric(label, value, help=about)
    if report.why_empty:
        st.warning(words.plain(f"No type is in the set. {report.why_empty}"))
    st.text(funnel_line(report))
    for note in report.notes:
        st.info(words.plain(note), icon=":material/info:")


def funnel_line(report: data.rocks.RockReport) -> str:
    """How many occurrences pass each gate."""
    n, rule = report.occurrences, report.rule
    if n["persistent"] is None:
        return (
            f"{n['scored']:,} occurrences, of which {n['persistent_low']:,} to "
            f"{n['persistent_high']:,} are persistent."
        )
    return (
        f"{n['scored']:,} occurrences → {n['persistent']:,} persistent (at least "
        f"{rule.tau_pre:.3g} nats before, {rule.tau_post:.3g} after) → {n['consistent']:,} in "
        f"contexts that recur → {n['in_set']:,} of a type in the set."
    )


def filtered(rule: data.rocks.RockRule, table, report: data.rocks.RockReport):
    """Search and facets above the table; returns the rows left."""
    left, right = st.columns([2, 1])
    with left:
        search = selection.words(
            "find", "Search a token or id", placeholder="part of a token, or a whole id"
        )
    with right:
        only = selection.choose(
            "only",
            st.segmented_control,
            "Show",
            ["all types", "the set"],
            "all types",
            required=True,
        )
    facets = {}
    for name in ("category", "class"):
        counts = data.rocks.types_by(run, rule, name)
        facets[name] = selection.choose_some(
            name,
            st.pills,
            name.capitalize(),
            list(counts),
            selection_mode="multi",
            format_func=lambda v, c=counts: f"{v} {c.get(v, 0)}",
        )
    with st.expander("What the classes mean"):
        st.text(
            f"{data.rocks.HARD} Here that is {report.hard_from:.3g} nats. What changed is measured "
            "on rollouts that did not choose the type."
        )
        for name, meaning in data.rocks.CLASSES.items():
            st.markdown(f"**{name}**: {meaning}")
    pick = data.rocks.Pick(search, facets["category"], facets["class"], only == "the set")
    return pick.rows(table)


def show_table(rows, column: str) -> int | None:
    """The table; returns the token id of the picked row."""
    event = st.dataframe(
        rows,
        hide_index=True,
        height=430,
        on_select="rerun",
        selection_mode="single-row",
        key="types",
        column_order=columns.WHOLE,
        column_config=columns.config(column),
        alt="Token types by falling score",
    )
    picked = event.selection.rows if event else []
    return int(rows.token_id.iloc[picked[0]]) if picked else None


def contexts(rule: data.rocks.RockRule, tokens, picked: int | None) -> None:
    """Where a type stands, keyword in context: that of the picked row, or of the link."""
    if selection.is_new("row", picked):
        selection.pick("token", str(picked))
    names = data.rocks.labels(run, rule, MOST_ROWS, selection.asked("token"))
    ids = list(names)
    token = selection.choose(
        "token",
        st.selectbox,
        "Contexts of",
        ids,
        ids[0],
        format_func=names.get,
        help="Pick a row above, or choose here.",
    )
    rows = data.rocks.examples(run, rule, token)
    st.dataframe(
        rows,
        hide_index=True,
        height=320,
        column_order=columns.CONTEXTS,
        column_config=columns.contexts(),
        alt="Occurrences of the type in their contexts",
    )
    of = int(tokens.frequency[tokens.token_id == token].iloc[0])
    st.caption(
        f"{len(rows)} of {of} occurrences: those in the set first, then kept, then persistent, "
        "each by falling loss."
    )


def figures(rule: data.rocks.RockRule, report: data.rocks.RockReport, table) -> None:
    about = (
        f"{facts.meta.name} · {rule.column}: {facts.meta.estimator}, nats<br>"
        f"{data.rocks.corpus_line(run, rule)}"
    )
    pair = data.rocks.category_pair(run, rule)
    control_types = data.rocks.control_types(run, rule)
    st.plotly_chart(
        charts.funnel(table, control_types, data.rocks.frequency_band(table), about, rule.column),
        key="funnel",
        alt="Token types by frequency and mean loss",
    )
    st.caption(
        "Upper right: frequent and far from the teacher. Along a dotted line the Rock Score is "
        "the same."
    )
    left, right = st.columns(2)
    with left:
        if len(pair):
            st.plotly_chart(
                charts.category_pair(pair, about),
                key="pair",
                alt="Categories of rock occurrences and of the control",
            )
        short = (
            f" {report.control['short']} could not be placed."
            if report.control.get("short")
            else ""
        )
        st.caption(f"Control: {report.control['how']}{short}")
    with right:
        st.plotly_chart(
            charts.densities(data.rocks.densities(run, rule), about),
            key="density",
            alt="Rock density per rollout",
        )
        st.caption("The two definitions differ: a rock type also stands where it is easy.")
    left, right = st.columns(2)
    with left:
        st.plotly_chart(
            charts.flow(data.rocks.flow(run, rule), report.steps, about),
            key="flow",
            alt="Hard types from checkpoint to checkpoint",
        )
        st.caption(f"{data.rocks.HARD} All rollouts count here, so small types may move by chance.")
    with right:
        st.plotly_chart(
            charts.group_changes(report.groups, about),
            key="groups",
            alt="Relative change of three groups of types",
        )
        st.caption(
            "Types picked because they were high fall when measured again, even if nothing is "
            "learned; the blue dots are free of that."
        )


def page() -> None:
    rule = data.rocks.rule(selection.text("rule", "default"))
    report, table = data.rocks.found(run, rule).report, data.rocks.table(run, rule)
    st.badge(words.plain(facts.estimator), help="What the numbers called kl are.")
    st.text(f"Rule: {rule.short()} · {data.rocks.corpus_line(run, rule)}")
    selection.link("threshold_lab", "Change the rule in the Threshold lab")
    headline(report)
    rows = filtered(rule, table, report)
    picked = show_table(rows.head(MOST_ROWS), rule.column)
    cut = f", the first {MOST_ROWS:,} shown" if len(rows) > MOST_ROWS else ""
    st.caption(
        f"{len(rows):,} of {len(table):,} types{cut} · {words.plain(facts.meta.name)} · steps "
        f"{report.steps[0]} to {report.steps[-1]}"
    )
    left, right, _ = st.columns([1, 1, 3])
    name = f"{facts.meta.name}-rocks"
    left.download_button(
        "Table as CSV", report.to_csv, f"{name}.csv", "text/csv", on_click="ignore"
    )
    right.download_button(
        "Set as JSON",
        report.rock_set.to_json,
        f"{name}.json",
        "application/json",
        on_click="ignore",
        help="What a training can filter by.",
    )
    contexts(rule, table, picked)
    figures(rule, report, table)


try:
    page()
except data.runs.RockError as e:
    st.subheader("No Rock Tokens can be found here")
    st.text(str(e))
    ranked_by_step()
