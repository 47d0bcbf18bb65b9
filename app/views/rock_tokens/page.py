"""The Rock Tokens of a run under a rule: which types, how sure, in what contexts, against what
control.
"""

import streamlit as st

from app import data, selection, words
from app.views.rock_tokens import charts

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
    columns = [
        "rank",
        "shown",
        "token_id",
        "category",
        "frequency",
        "mean_kl",
        "rock_score",
        "share",
        "coverage",
    ]
    st.dataframe(
        data.runs.ranking(run, step),
        hide_index=True,
        column_order=columns,
        alt="Token types of one step by Rock Score",
    )


def headline(rocks: data.rocks.RockSet) -> None:
    """Four numbers, each with what it is of."""
    n, stable, k = rocks.occurrences, rocks.stability, len(rocks.ids)
    how = {
        "given": "as the rule says",
        "stability": f"the largest with a split-half Jaccard of {rocks.rule.min_jaccard:g} or more",
        "knee": "the knee of coverage: no K is stable",
        "tau_rock": "by the threshold on the score",
    }
    columns = st.columns(5)
    columns[0].metric(
        "Rock Tokens K", k, help=f"Of {len(rocks.tokens)} types. {how[rocks.chosen_by]}."
    )
    columns[1].metric(
        "Coverage",
        f"{rocks.coverage:.0%}",
        help=f"Share of the summed {rocks.rule.column} on tokens of these types.",
    )
    columns[2].metric(
        "Stability",
        f"{stable.value:.2f}",
        help=f"Jaccard of two disjoint halves, {stable.low:.2f} to {stable.high:.2f} in 95 % of "
        "the splits.",
    )
    columns[3].metric(
        "Type density",
        f"{rocks.density['type']:.1%}",
        help="Share of all tokens that are of a rock type, wherever they stand.",
    )
    occurrence = rocks.density["occurrence"]
    columns[4].metric(
        "Occurrence density",
        "unknown" if occurrence is None else f"{occurrence:.1%}",
        help="Share of all tokens that are rock occurrences: of a rock type, persistent, in a "
        "context that recurs.",
    )
    if n["persistent"] is None:
        st.text(
            f"{n['scored']:,} occurrences, of which {n['persistent_low']:,} to "
            f"{n['persistent_high']:,} are persistent."
        )
    else:
        st.text(
            f"{n['scored']:,} occurrences → {n['persistent']:,} persistent (at least "
            f"{rocks.rule.tau_pre:.3g} nats before, "
            f"{rocks.rule.tau_post:.3g} after) → {n['consistent']:,} in contexts that recur → "
            f"{n['in_set']:,} of a type in the set."
        )
    for note in rocks.notes:
        st.info(words.plain(note), icon=":material/info:")


def filtered(table, rocks: data.rocks.RockSet):
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
        counts = table[name].value_counts()
        facets[name] = selection.choose_some(
            name,
            st.pills,
            name.capitalize(),
            counts.index.tolist(),
            selection_mode="multi",
            format_func=lambda v, c=counts: f"{v} {c.get(v, 0)}",
        )
    with st.expander("What the classes mean"):
        st.text(
            f"{data.rocks.HARD} Here that is {rocks.hard_from:.3g} nats. What changed is measured "
            "on rollouts that did not choose the type."
        )
        for name, meaning in data.rocks.CLASSES.items():
            st.markdown(f"**{name}**: {meaning}")
    return data.rocks.narrowed(
        table, search, facets["category"], facets["class"], only == "the set"
    )


def show_table(rows, column: str) -> int | None:
    """The table; returns the token id of the picked row."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    event = st.dataframe(
        rows,
        hide_index=True,
        height=430,
        on_select="rerun",
        selection_mode="single-row",
        key="types",
        column_order=[
            "rank", "in_set", "shown", "category", "class", "frequency", "mean", "rock_score", "share", "coverage", "series", "interval",
            "persistent", "consistent", "ccr", "precision", "rock_score_ctx", "type_density", "occurrence_density", "token_id",
        ],
        column_config={
            "rank": number("#", width="small"),
            "in_set": st.column_config.CheckboxColumn("set", width="small", help="Whether the "
                                                                                 "type is a Rock "
                                                                                 "Token under the "
                                                                                 "rule."),
            "shown": text("token", help="␣ space, ⏎ line break"),
            "frequency": number("n", format="%d", help="Occurrences on these texts."),
            "mean": number(f"mean {column} (nats)", format="%.4f", help="At the last checkpoint."),
            "rock_score": number("R(v) (nats)", format="%.2f", help="Rock Score: mean × "
                                                                    "frequency, the type's part "
                                                                    "of the summed loss."),
            "share": number("share", format="percent", help="R(v) as a share of the summed loss."),
            "coverage": number("coverage", format="percent", help="Share of this type and all "
                                                                  "above it."),
            "series": st.column_config.LineChartColumn("over the steps", help=f"Mean {column} at "
                                                                              "each logged "
                                                                              "step.", y_min=0),
            "interval": text("change, 95 %", help="Last minus first checkpoint in nats, on the "
                                                  "rollouts that did not choose the type."),
            "persistent": number("persistent", format="%d", help="Occurrences at or above both "
                                                                 "thresholds."),
            "consistent": number("kept", format="%d", help="Persistent occurrences in contexts "
                                                           "that recur."),
            "ccr": number("CCR", format="%.2f", help="Kept occurrences as a share of all of the "
                                                     "type."),
            "precision": number("κ", format="%.2f", help="Persistent share of all occurrences in "
                                                         "contexts similar to the kept ones."),
            "rock_score_ctx": number("R_ctx (nats)", format="%.2f", help="R × CCR = mean × kept "
                                                                         "occurrences: the "
                                                                         "frequency cancels."),
            "type_density": number("type density", format="percent", help="Its share of all "
                                                                          "tokens."),
            "occurrence_density": number("occ. density", format="percent", help="Its kept "
                                                                                "occurrences as a "
                                                                                "share of all "
                                                                                "tokens."),
            "token_id": number("id", format="%d"),
        },
        alt="Token types by falling score",
    )  # fmt: skip
    picked = event.selection.rows if event else []
    return int(rows.token_id.iloc[picked[0]]) if picked else None


def contexts(rule: data.rocks.RockRule, tokens, picked: int | None) -> None:
    """Where a type stands, keyword in context: that of the picked row, or of the link."""
    if selection.is_new("row", picked):
        selection.pick("token", str(picked))
    ids = tokens.token_id.head(MOST_ROWS).tolist()
    if selection.asked("token").isdecimal() and int(selection.asked("token")) in set(
        tokens.token_id
    ):
        ids = list(dict.fromkeys([*ids, int(selection.asked("token"))]))
    names = {
        i: f"{s} · id {i} · {n} occurrences"
        for i, s, n in zip(ids, tokens.shown, tokens.frequency, strict=True)
    }
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
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        rows,
        hide_index=True,
        height=320,
        column_config={
            "left": text("before it", alignment="right"),
            "shown": text("token", alignment="center"),
            "right": text("after it"),
            "before": number("loss before", format="%.3f", help="At the first checkpoint, nats."),
            "after": number("loss after", format="%.3f", help="At the last checkpoint, nats."),
        },
        alt="Occurrences of the type in their contexts",
    )
    of = int(tokens.frequency[tokens.token_id == token].iloc[0])
    st.caption(
        f"{len(rows)} of {of} occurrences: those in the set first, then kept, then persistent, "
        "each by falling loss."
    )


def figures(rule: data.rocks.RockRule, rocks: data.rocks.RockSet, table) -> None:
    about = f"{facts.meta.name} · {rule.column}: {facts.meta.estimator}, nats<br>{data.rocks.corpus_line(run, rule)}"
    pair = data.rocks.category_pair(run, rule)
    control_types = data.rocks.control_types(run, rule)
    st.plotly_chart(
        charts.funnel(table, control_types, about, rule.column),
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
            f" {rocks.control['short']} could not be placed." if rocks.control.get("short") else ""
        )
        st.caption(f"Control: {rocks.control['how']}{short}")
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
            charts.flow(data.rocks.flow(run, rule), rocks.steps, about),
            key="flow",
            alt="Hard types from checkpoint to checkpoint",
        )
        st.caption(f"{data.rocks.HARD} All rollouts count here, so small types may move by chance.")
    with right:
        st.plotly_chart(
            charts.group_changes(rocks.groups, about),
            key="groups",
            alt="Relative change of three groups of types",
        )
        st.caption(
            "Types picked because they were high fall when measured again, even if nothing is "
            "learned; the blue dots are free of that."
        )


def page() -> None:
    rule = data.rocks.rule(selection.text("rule", "default"))
    found = data.rocks.found(run, rule)
    rocks, table = found.rocks, data.rocks.table(run, rule)
    st.badge(words.plain(facts.estimator), help="What the numbers called kl are.")
    st.text(f"Rule: {rule.short()} · {data.rocks.corpus_line(run, rule)}")
    selection.link("threshold_lab", "Change the rule in the Threshold lab")
    headline(rocks)
    rows = filtered(table, rocks)
    picked = show_table(rows.head(MOST_ROWS), rule.column)
    cut = f", the first {MOST_ROWS:,} shown" if len(rows) > MOST_ROWS else ""
    st.caption(
        f"{len(rows):,} of {len(table):,} types{cut} · {words.plain(facts.meta.name)} · steps "
        f"{rocks.steps[0]} to {rocks.steps[-1]}"
    )
    left, right, _ = st.columns([1, 1, 3])
    name = f"{facts.meta.name}-rocks"
    left.download_button("Table as CSV", rocks.to_csv, f"{name}.csv", "text/csv", on_click="ignore")
    right.download_button(
        "Set as JSON",
        rocks.to_json,
        f"{name}.json",
        "application/json",
        on_click="ignore",
        help="What a training can filter by.",
    )
    contexts(rule, table, picked)
    figures(rule, rocks, table)


try:
    page()
except data.runs.RockError as e:
    st.subheader("No Rock Tokens can be found here")
    st.text(str(e))
    ranked_by_step()
