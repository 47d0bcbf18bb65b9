"""One signal over the steps of a run: where, in which types, in what categories does the loss stay
or go?
"""

import streamlit as st

from app import controls, data, selection, words
from app.components import heatmap
from app.components.heatmap import chart as painting

VIEWS = {"position": "position × step", "type": "type × step", "category": "category × step"}
WHICH = {"set": "the set of the rule", "top": "top by score", "picked": "those selected"}
SORT_HELP = (
    "Score: Rock Score R(v) on these texts at the last logged step. Class: as on the page “Rock "
    "tokens”. Slope: the least-squares slope "
    "of the mean over the logged steps, the fastest rise first. Frequency: occurrences at the "
    "last logged step."
)
MOST_LINKED = 300  # types that a link can carry
MOST_ROWS = 1_000

run = selection.run()
facts = data.runs.facts(run)
number, text = st.column_config.NumberColumn, st.column_config.TextColumn


def empty(why: str) -> None:
    st.subheader("Nothing to draw")
    st.text(why)


def whose(source: str) -> str:
    return {
        "fresh": "fresh rollouts",
        "first": "texts of the first student",
        "final": "texts of the final student",
    }[source]


def draw(
    surface: data.steps.Surface,
    look: dict,
    marked: list[tuple[int, int]],
    key: str,
    selectable: bool = True,
) -> tuple[int, int] | None:
    """The heatmap by whichever painter its size asks for; returns the rows that a box has just
    selected.
    """
    drawn = data.steps.binned(surface, heatmap.MOST_CELLS)
    if drawn.per > 1:
        st.info(
            f"{surface.cells:,} cells are more than can be drawn: each shows the mean of "
            f"{drawn.per} neighbouring {look['rows']}s."
        )
    spans = tuple((low // drawn.per, high // drawn.per) for low, high in marked)
    chart = painting.Heatmap(
        drawn.values, drawn.names, drawn.axis.steps, drawn.axis.logged, per=drawn.per, marked=spans, **look
    )  # fmt: skip
    if drawn.cells > painting.MOST_CELLS:
        span = heatmap.show(key, chart, selectable)
        return None if span is None else painting.rows_within(span, len(surface.names))
    event = st.plotly_chart(
        painting.figure(chart, st.context.theme.type == "dark"),
        key=key,
        on_select="rerun" if selectable else "ignore",
        selection_mode="box",
        config={"displaylogo": False},
        alt=f"{chart.title}. {len(chart.names)} {chart.rows}s by {len(chart.steps)} steps; the "
        "table below holds the numbers.",
    )
    boxes = getattr(event, "selection", {}).get("box", []) if selectable else []
    return (
        painting.rows_within(boxes[0]["x" if chart.flat else "y"], len(surface.names), drawn.per)
        if boxes
        else None
    )


def look(
    title: str,
    source: str,
    signal: str,
    step: int,
    rows: str,
    gone: str = painting.NO_VALUE,
    flat: bool = False,
) -> dict:
    scale = data.runs.scale(run, signal)
    estimator = facts.estimator if signal == "kl" else f"{signal} as logged"
    return {
        "edges": scale.edges, "quantiles": scale.quantiles, "signed": scale.signed, "signal": signal, "unit": scale.unit,
        "title": title, "about": f"{facts.meta.name} · {whose(source)} · cursor at step {step} · "
                                 f"{estimator}",
        "rows": rows, "step": step, "flat": flat, "gone": gone,
    }  # fmt: skip


def say(surface: data.steps.Surface, signal: str, what: str, how: str) -> None:
    """The sentence on what to see."""
    scale = data.runs.scale(run, signal)
    high = data.steps.steadily_high(surface, scale)
    if high is None:
        st.text(
            f"This run has no logged values of {signal} in its fresh rollouts, so there is no "
            "scale to colour by."
        )
        return
    if signal != "kl":
        st.caption(f"{words.plain(signal)}: {words.plain(data.runs.meaning(signal))}")
    missing = surface.axis.missing
    gap = (
        " Not logged, though planned: step "
        f"{', '.join(map(str, missing[:12]))}{' …' if len(missing) > 12 else ''}."
        if missing
        else ""
    )
    st.text(
        f"{high[0]:,} of {len(surface.names):,} {what} stay at or above {painting.number(high[1])} "
        "at every logged step, the 0.90 "
        f"quantile of the run{' (of the absolute value)' if scale.signed else ''}: {how}{gap}"
    )


def value_columns(source: str, signal: str, step: int) -> dict:
    """How the values of a table are headed: by the steps they stand for."""
    unit, steps = data.runs.scale(run, signal).unit, data.runs.steps(run, source)
    per = f"{unit} per 100 updates" if unit else "per 100 updates"
    return {
        "shown": text("token", help="␣ space, ⏎ line break"),
        "first": number(
            f"step {steps[0]}", format="%.4g", help=f"{signal} at the first logged step. {unit}"
        ),
        "cursor": number(
            f"step {step}, cursor", format="%.4g", help=f"{signal} at the step cursor. {unit}"
        ),
        "last": number(
            f"step {steps[-1]}", format="%.4g", help=f"{signal} at the last logged step. {unit}"
        ),
        "change": number("change", format="%+.4g", help=f"Last minus first. {unit}"),
        "tokens": number("n at cursor", format="%d", help="Tokens at the step cursor."),
        "frequency": number("n", format="%d", help="Tokens at the last logged step."),
        "score": number(
            "R(v) (nats)", format="%.2f", help="Rock Score on these texts at the last logged step."
        ),
        "slope": number(
            "slope", format="%+.3g", help=f"Least-squares slope of the mean over steps, {per}."
        ),
        "slope_steps": number(
            "n steps", format="%d", help="Logged steps with a value, which the slope is fitted to."
        ),
        "token_id": number("id", format="%d"),
    }


def by_position(source: str, rollout: int, signal: str, step: int) -> None:
    surface = data.steps.positions(run, source, rollout, signal)
    if not surface.cells:
        empty(f"Rollout {rollout} has no tokens in the log.")
        return
    left, right = st.columns([3, 5], vertical_alignment="bottom")
    with left:
        asked = selection.words(
            "span", "Positions", placeholder="all, or such as 12-40: a box does it"
        )
    with right:
        trace_link(step, rollout)
    try:
        span = data.steps.span_of(asked, len(surface.names))
    except data.steps.NoSpan as e:
        st.warning(words.plain(str(e)))
        span = None
    shown = look(
        f"{signal} of rollout {rollout} by position and step",
        source,
        signal,
        step,
        "position",
        flat=True,
    )
    box = draw(surface, shown, [span] if span else [], f"steps {source} {rollout} {asked}")
    if box is not None and (new := f"{box[0]}-{box[1]}") != asked:
        selection.pick("span", new)
        st.rerun()
    say(surface, signal, "positions", "the columns whose strong colour lasts from bottom to top.")
    rows = data.steps.position_table(surface, step, span)
    if span:
        st.text(data.steps.excerpt(surface, span))
    st.dataframe(
        rows.head(MOST_ROWS),
        hide_index=True,
        column_order=["position", "shown", "first", "cursor", "last", "change"],
        column_config=value_columns(source, signal, step),
        alt="Positions with their values over the steps",
    )
    st.caption(
        f"{min(len(rows), MOST_ROWS):,} of {len(surface.names):,} positions. Drag over the "
        "heatmap to narrow them."
    )


def detected() -> tuple:
    """Classes under the rule, or None and why there are none."""
    try:
        return data.steps.classes(run, data.rocks.rule(selection.text("rule", "default"))), ""
    except data.runs.RockError as e:
        return None, str(e)


def by_type(source: str, signal: str, step: int) -> None:
    left, middle, right = st.columns([3, 1, 3], vertical_alignment="bottom")
    with left:
        which = selection.choose(
            "which", st.segmented_control, "Types", list(WHICH), "set", format_func=WHICH.get, required=True,
            help="The rule is the one of the pages “Rock tokens” and “Threshold lab”.",
        )  # fmt: skip
    with middle:
        top = selection.count("rows", "At most", 1, 1_000_000, 40)
    with right:
        sort = selection.choose(
            "sort",
            st.segmented_control,
            "Sorted by",
            data.steps.SORTS,
            "score",
            required=True,
            help=SORT_HELP,
        )
    every = data.steps.types(run, source, signal)
    known, why = detected() if which == "set" or sort == "class" else (None, "")
    if why:
        st.text(f"No set and no classes here, so the types stand by score. {why}")
    picked = picked_types(every)
    chosen = {
        "set": None if known is None else data.steps.in_set(known),
        "top": None,
        "picked": picked,
    }[which]
    rows = data.steps.arranged(every, chosen, top, sort, known)
    if not len(rows):
        empty(
            {
                "set": "The rule finds no Rock Tokens among the types of these texts. "
                "Loosen it in the Threshold lab, or choose “top by score”.",
                "picked": "No type is selected. Choose some above, or draw a box over another "
                "choice of types.",
            }.get(which, "These texts have no tokens.")
        )
        return
    title = f"Mean {signal} of {len(rows):,} token types by step"
    shown = look(title, source, signal, step, "token type", "dotted: the type does not occur")
    surface = data.steps.surface_of(every, rows)
    marked = data.steps.spans_of(rows, picked) if which != "picked" else []
    box = draw(surface, shown, marked, f"steps {source} {which} {sort} {top} {picked}")
    if (
        box is not None
        and (ids := rows.token_id.iloc[box[0] : box[1] + 1].tolist()[:MOST_LINKED]) != picked
    ):
        selection.pick("types", ",".join(map(str, ids)))
        st.rerun()
    say(surface, signal, "types", "the rows whose strong colour lasts from left to right.")
    show_types(every, rows, picked, value_columns(source, signal, step), step)


def show_types(
    every: data.steps.TypeSteps, rows, picked: list[int], columns: dict, step: int
) -> None:
    table = data.steps.type_table(every, rows, step, picked)
    if table.empty:
        st.text(
            "The selected types are not among those shown; choose “those selected” to see them."
        )
        table = data.steps.type_table(every, rows, step, [])
    st.dataframe(
        table.head(MOST_ROWS),
        hide_index=True,
        column_order=[
            "shown", "category", "class", "score", "frequency", "tokens", "first", "cursor", "last", "change", "slope", "slope_steps",
            "token_id",
        ],
        column_config=columns,
        alt="Token types with their values over the steps",
    )  # fmt: skip
    st.caption(
        f"{min(len(table), MOST_ROWS):,} of {len(every.frame):,} types of these texts. Drag over "
        "rows to narrow them."
    )


def picked_types(every: data.steps.TypeSteps) -> list[int]:
    """The selected types, which a box fills in and a hand may change."""
    names = data.steps.offered(every, selection.asked("types"))
    picked = selection.choose_some(
        "types",
        st.multiselect,
        "Selected types",
        list(names),
        format_func=names.get,
        placeholder="none; a box over the heatmap fills this in",
    )
    return [int(i) for i in picked]


def by_category(source: str, signal: str, step: int) -> None:
    surface, _ = data.steps.categories(run, source, signal)
    shown = look(
        f"Mean {signal} by category and step",
        source,
        signal,
        step,
        "category",
        "dotted: the category does not occur",
    )
    draw(surface, shown, [], f"steps {source} categories", selectable=False)
    say(
        surface,
        signal,
        "categories",
        "a mean over many easy tokens is low even where some are hard: compare a row with its "
        "past.",
    )
    st.dataframe(
        data.steps.category_table(run, source, signal, step),
        hide_index=True,
        column_order=[
            "category",
            "tokens",
            "first",
            "cursor",
            "last",
            "change",
            "slope",
            "slope_steps",
        ],
        column_config=value_columns(source, signal, step),
        alt="Categories with their values over the steps",
    )
    st.caption(
        "A type counts in one category, whichever it has where it mostly stands; Trace judges "
        "each occurrence."
    )


def trace_link(step: int, rollout: int | None) -> None:
    """Trace opens at the same step, rollout and signal, with what is selected here."""
    selection.link(
        "trace",
        f"Read {'the texts' if rollout is None else f'rollout {rollout}'} at step {step} in Trace",
    )


def page(sources: list[str]) -> None:
    left, right = st.columns([3, 2])
    with left:
        source = controls.source(sources)
    with right:
        steps = data.runs.steps(run, source)
        step = selection.choose("step", st.select_slider, "Step cursor", steps, steps[-1])
    left, middle, right = st.columns([5, 4, 2])
    with left:
        view = selection.choose(
            "view",
            st.segmented_control,
            "View",
            list(VIEWS),
            "position",
            format_func=VIEWS.get,
            required=True,
        )
    with right:
        signal = selection.choose("signal", st.selectbox, "Signal", data.runs.SIGNALS, "kl")
    if len(steps) == 1:
        st.text(
            f"Only step {steps[0]} is logged for these texts: there is one column, and no change "
            "to see until the next is."
        )
    rollout = None
    if view == "position" and source != "fresh":
        texts = data.runs.rollouts(run, source, step)
        hints = dict(zip(texts.rollout_id.tolist(), texts.hint, strict=True))
        if not hints:
            empty(f"Step {step} has no rollouts of this kind.")
            return
        with middle:
            rollout = selection.choose(
                "rollout",
                st.selectbox,
                "Rollout",
                list(hints),
                next(iter(hints)),
                format_func=hints.get,
            )
        by_position(source, rollout, signal, step)
        return
    trace_link(step, None)
    if view == "position":
        probes = [controls.TEXTS[s] for s in sources if s != "fresh"]
        have = (
            f"Choose “{'” or “'.join(probes)}” above."
            if probes
            else "This run has logged no probe texts (yet)."
        )
        empty(
            f"Fresh rollouts are other texts at every step, so a position has no history. {have} "
            "Types and categories can be followed here."
        )
    elif view == "type":
        by_type(source, signal, step)
    else:
        by_category(source, signal, step)


st.title("Steps")
st.text("The same signal at every logged step: what fades, what stays, what comes back.")
st.badge(words.plain(facts.estimator), help="What the numbers called kl are.")
logged = [s for s in data.runs.SOURCES if data.runs.steps(run, s)]
if logged:
    page(logged)
else:
    st.text(
        "No step has logged its tokens yet. Reload in a moment (press R) if the run is training."
    )
