"""One signal over the steps of a run: where, in which types, in what categories does the loss stay
or go?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from app import controls, data, selection
from app import words as app_words
from app.components import heatmap
from app.views.steps import words

if TYPE_CHECKING:
    import pandas as pd

MOST_LINKED = 300  # types that a link can carry
MOST_ROWS = 1_000
OF_POSITIONS = ["position", "shown", "first", "cursor", "last", "change"]
OF_CATEGORIES = ["category", "tokens", "first", "cursor", "last", "change", "slope", "slope_steps"]
OF_TYPES = [
    *("shown", "category", "class", "score", "frequency", "tokens"),
    *("first", "cursor", "last", "change", "slope", "slope_steps", "token_id"),
]

run = selection.run()
facts = data.runs.facts(run)


class Asked(NamedTuple):
    """What the controls at the head of the page ask for."""

    source: str
    signal: str
    step: int

    @property
    def columns(self) -> dict[str, Any]:
        unit, steps = data.runs.scale(run, self.signal).unit, data.runs.steps(run, self.source)
        return words.columns(self.signal, unit, steps, self.step)

    def chart(self, surface: data.steps.Surface, title: str, rows: str, **more: Any):
        """A heatmap of these texts."""
        estimator = facts.estimator if self.signal == "kl" else f"{self.signal} as logged"
        texts = data.texts.Texts(self.source).phrase
        return heatmap.Heatmap(
            surface,
            data.runs.scale(run, self.signal),
            title,
            f"{facts.meta.name} · {texts} · cursor at step {self.step} · {estimator}",
            rows,
            self.step,
            **more,
        )


def explain_nothing(why: str) -> None:
    st.subheader("Nothing to draw")
    st.text(why)


def draw(chart: heatmap.Heatmap, selectable: bool = True) -> tuple[int, int] | None:
    """The heatmap; returns the rows that a box has just selected."""
    surface = chart.surface
    box = heatmap.show(f"heatmap of {chart.rows}", chart, selectable)
    return box and (box[0], min(box[1], len(surface.names) * surface.per - 1))


def fitted(surface: data.steps.Surface, rows: str) -> data.steps.Surface:
    """As many rows as can be drawn, each the mean of several where there are more."""
    drawn = data.steps.binned(surface, heatmap.MOST_CELLS)
    if drawn.per > 1:
        st.info(
            f"{surface.cells:,} cells are more than can be drawn: each shows the mean of "
            f"{drawn.per} neighbouring {rows}s."
        )
    return drawn


def explain(surface: data.steps.Surface, asked: Asked, rows: str) -> None:
    """The sentence on what to see."""
    scale = data.runs.scale(run, asked.signal)
    high = data.steps.steadily_high(surface, scale)
    if high is None:
        st.text(
            f"This run has no logged values of {asked.signal}, so there is no scale to colour by."
        )
        return
    if asked.signal != "kl":
        st.caption(words.meaning(asked.signal))
    st.text(words.steadily_high(high, surface, scale, rows))


def by_position(asked: Asked, rollout: int) -> None:
    surface = data.steps.positions(run, asked.source, rollout, asked.signal)
    if not surface.cells:
        explain_nothing(f"Rollout {rollout} has no tokens in the log.")
        return
    left, right = st.columns([3, 5], vertical_alignment="bottom")
    with left:
        text = selection.words(
            "span", "Positions", placeholder="all, or such as 12-40: a box does it"
        )
    with right:
        link_to_trace(asked.step, rollout)
    try:
        span = data.steps.span_of(text, len(surface.names))
    except data.steps.NoSpan as e:
        st.warning(app_words.plain(str(e)))
        span = None
    title = f"{asked.signal} of rollout {rollout} by position and step"
    marked = (span,) if span else ()
    drawn = fitted(surface, "position")
    box = draw(asked.chart(drawn, title, "position", flat=True, marked=marked))
    if box is not None and (new := f"{box[0]}-{min(box[1], len(surface.names) - 1)}") != text:
        selection.pick("span", new)
        st.rerun()
    explain(surface, asked, "position")
    rows = data.steps.position_table(surface, asked.step, span)
    if span:
        st.text(data.steps.excerpt(surface, span))
    show_table(rows, OF_POSITIONS, asked, "Positions")
    st.caption(
        f"{min(len(rows), MOST_ROWS):,} of {len(surface.names):,} positions. Drag over the "
        "heatmap to narrow them."
    )


def show_table(rows: pd.DataFrame, order: list[str], asked: Asked, what: str) -> None:
    st.dataframe(
        rows.head(MOST_ROWS),
        hide_index=True,
        column_order=order,
        column_config=asked.columns,
        alt=f"{what} with their values over the steps",
    )


def judged_types() -> tuple[pd.DataFrame | None, str]:
    """Classes under the rule, or None and why there are none."""
    try:
        return data.steps.classes(run, data.rocks.rule(selection.text("rule", "default"))), ""
    except data.runs.RockError as e:
        return None, str(e)


def by_type(asked: Asked) -> None:
    which, top, sort = choose_types()
    every = data.steps.types(run, asked.source, asked.signal)
    known, why = judged_types() if which == "set" or sort == "class" else (None, "")
    if why:
        st.text(f"No set and no classes here, so the types stand by score. {why}")
    picked = picked_types(every)
    chosen = {"set": known if known is None else data.steps.in_set(known), "picked": picked}
    rows = data.steps.arranged(every, chosen.get(which), top, sort, known)
    if not len(rows):
        explain_nothing(words.NO_TYPES[which])
        return
    title = f"Mean {asked.signal} of {len(rows):,} token types by step"
    surface = data.steps.surface_of(every, rows)
    marked = tuple(data.steps.spans_of(rows, picked)) if which != "picked" else ()
    gone = "dotted: the type does not occur"
    drawn = fitted(surface, "token type")
    box = draw(asked.chart(drawn, title, "token type", marked=marked, gone=gone))
    if box is not None:
        ids = rows.token_id.iloc[box[0] : box[1] + 1].tolist()[:MOST_LINKED]
        if ids != picked:
            selection.pick("types", ",".join(map(str, ids)))
            st.rerun()
    explain(surface, asked, "token type")
    show_types(every, rows, picked, asked)


def choose_types() -> tuple[str, int, str]:
    """Which types, at most how many, in what order."""
    left, right = st.columns([5, 2], vertical_alignment="bottom")
    pills = st.segmented_control
    with left:
        which = selection.choose(
            "which",
            pills,
            "Types",
            list(words.WHICH),
            "set",
            format_func=words.WHICH.get,
            required=True,
            help=words.WHICH_HELP,
        )
    with right:
        top = selection.count("rows", "At most", 1, 1_000_000, 40)
    sort = selection.choose(
        "sort",
        pills,
        "Sorted by",
        data.steps.SORTS,
        "score",
        required=True,
        help=words.SORT_HELP,
    )
    return which, top, sort


def show_types(
    every: data.steps.TypeSteps, rows: pd.DataFrame, picked: list[int], asked: Asked
) -> None:
    table = data.steps.type_table(every, rows, asked.step, picked)
    if table.empty:
        st.text(words.OUT_OF_SIGHT)
        table = data.steps.type_table(every, rows, asked.step, [])
    show_table(table, OF_TYPES, asked, "Token types")
    st.caption(
        f"{min(len(table), MOST_ROWS):,} of {len(every.frame):,} types of these texts. Drag over "
        "rows to narrow them."
    )


def picked_types(every: data.steps.TypeSteps) -> list[int]:
    """The selected types, which a box fills in and a hand may change."""
    names = data.steps.offered(every, selection.asked("types").split(","))
    picked = selection.choose_some(
        "types",
        st.multiselect,
        "Selected types",
        list(names),
        format_func=names.get,
        placeholder="none; a box over the heatmap fills this in",
    )
    return [int(i) for i in picked]


def by_category(asked: Asked) -> None:
    by_category = data.steps.categories(run, asked.source, asked.signal)
    title = f"Mean {asked.signal} by category and step"
    gone = "dotted: the category does not occur"
    surface = fitted(by_category.surface, "category")
    draw(asked.chart(surface, title, "category", gone=gone), selectable=False)
    explain(by_category.surface, asked, "category")
    table = data.steps.category_table(by_category, asked.step)
    show_table(table, OF_CATEGORIES, asked, "Categories")
    st.caption(words.IN_ONE_CATEGORY)


def link_to_trace(step: int, rollout: int | None) -> None:
    """Trace opens at the same step, rollout and signal, with what is selected here."""
    what = "the texts" if rollout is None else f"rollout {rollout}"
    selection.link("trace", f"Read {what} at step {step} in Trace")


def choose_rollout(source: str, step: int) -> int | None:
    """One of the texts of a probe; None, and said, where there is none."""
    texts = data.runs.rollouts(run, source, step)
    hints = dict(zip(texts.rollout_id.tolist(), texts.hint, strict=True))
    if not hints:
        explain_nothing(f"Step {step} has no rollouts of this kind.")
        return None
    ids = list(hints)
    return selection.choose("rollout", st.selectbox, "Rollout", ids, ids[0], format_func=hints.get)


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
            list(words.VIEWS),
            "position",
            format_func=words.VIEWS.get,
            required=True,
        )
    with right:
        signal = selection.choose("signal", st.selectbox, "Signal", data.runs.SIGNALS, "kl")
    if len(steps) == 1:
        st.text(words.one_step(steps[0]))
    asked = Asked(source, signal, step)
    probes = [data.texts.Texts(s) for s in sources if data.texts.Texts(s).probe_set]
    if view == "position" and source in probes:
        with middle:
            rollout = choose_rollout(source, step)
        if rollout is not None:
            by_position(asked, rollout)
        return
    link_to_trace(step, None)
    if view == "position":
        explain_nothing(words.no_position_history([probe.label for probe in probes]))
    elif view == "type":
        by_type(asked)
    else:
        by_category(asked)


st.title("Steps")
st.text("The same signal at every logged step: what fades, what stays, what comes back.")
st.badge(app_words.plain(facts.estimator), help="What the numbers called kl are.")
logged = data.runs.logged_texts(run)
if logged:
    page(logged)
else:
    st.text(words.NOTHING_YET)
