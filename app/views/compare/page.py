"""Two runs, or two steps of one, side by side: texts on one prompt, the rock sets, the curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from app import controls, data, selection, words
from app.components import pane_pair, token_pane
from app.views.compare import charts
from app.views.compare import words as sentences

PANES = {"both": "A | B", "a": "A", "b": "B", "difference": "Difference"}
BY = {"rule": "the rule", "score": "Rock Score at these steps"}
MOST_ROWS = 1_000
DRAWN = 20  # types in the chart of ranks

run = selection.run()
facts = data.runs.facts(run)
number, text = st.column_config.NumberColumn, st.column_config.TextColumn


class Sides(NamedTuple):
    """What A and B are; the run of A is that of the sidebar."""

    b: data.runs.RunKey
    name_b: str
    texts: data.compare.Texts
    step_a: int
    step_b: int

    @property
    def one_run(self) -> bool:
        return self.b.path == run.path


class Shown(NamedTuple):
    """A pair of texts as the page shows it."""

    a: data.compare.Text
    b: data.compare.Text
    pair: data.compare.Pair
    signal: str
    panes: str  # a key of PANES


def part(draw: Callable[[], None], what: str) -> None:
    """A part of the page; where it cannot be had it says why, and the others stay."""
    try:
        draw()
    except data.runs.RockError as e:
        st.text(f"{what} cannot be compared. {e}")


def choose_b() -> tuple[str, data.runs.RunKey] | None:
    """The name and key of B's run, or None after saying why it cannot be had."""
    found = data.runs.offered()
    own = next((name for name, path in found.items() if path == run.path), facts.meta.name)
    found.setdefault(own, run.path)
    left, right = st.columns(2)
    left.selectbox("Run A", [own], disabled=True, help="The run of the sidebar.")
    with right:
        names = {name: f"{name}, the same run" if name == own else name for name in found}
        name = selection.choose(
            "run_b", st.selectbox, "Run B", list(names), own, format_func=names.get
        )
    if name == own:
        return own, run
    try:
        key = data.runs.key(found[name])
        data.compare.check(run, key)
    except data.runs.RockError as e:
        st.subheader("These two cannot be compared")
        st.text(str(e))
        st.text("Run A can still be read on the other pages.")
        return None
    return name, key


def choose_sides(name: str, b: data.runs.RunKey) -> Sides | None:
    both = data.compare.common_texts(run, b)
    if not both:
        st.text(
            "There are no texts of one kind that both runs have logged (yet). Reload in a moment "
            "(press R) if one is training."
        )
        return None
    kind = data.compare.Texts(controls.source(both))
    steps_a, steps_b = data.runs.steps(run, kind), data.runs.steps(b, kind)
    left, right = st.columns(2)
    with left:
        first = steps_a[0] if b.path == run.path else steps_a[-1]
        step_a = selection.choose("step_a", st.select_slider, "Step of A", steps_a, first)
    with right:
        step_b = selection.choose("step_b", st.select_slider, "Step of B", steps_b, steps_b[-1])
    return Sides(b, name, kind, step_a, step_b)


def no_prompt(sides: Sides, shared: data.compare.SharedPrompts) -> None:
    st.subheader("No texts to set side by side")
    st.text(sentences.no_shared_prompt(shared))
    if sides.one_run:
        st.text(
            "A run trains on other prompts at every step. Its probe texts stay the same: choose "
            "them above, if there are any."
        )
        return
    scenario = facts.meta.scenario
    if scenario in data.runs.SCENARIOS:
        st.text(
            f"Every run of the scenario {scenario} has the same probe prompts. Train a second "
            "one, for instance at half the pace:"
        )
        lr = facts.meta.config.get("lr")
        st.code(
            f"rockcore train --scenario {scenario} --lr "
            f"{lr / 2 if isinstance(lr, float) else 5e-4:g}",
            language="sh",
        )
    else:
        st.text(
            "Train both on one file of prompts with one seed: then their probe texts answer the "
            "same prompts. Two steps of a run do."
        )


def choose_texts(sides: Sides) -> tuple[data.compare.Text, data.compare.Text] | None:
    """A text of each side on one prompt, or None after saying why there is none."""
    shared = data.compare.shared(run, sides.b, sides.texts, sides.step_a, sides.step_b)
    if not shared.prompts:
        no_prompt(sides, shared)
        return None
    left, right = st.columns(2) if shared.several else (st.container(), None)
    with left:
        rollout = selection.choose(
            "rollout",
            st.selectbox,
            "Prompt and text of A",
            list(shared.prompts),
            next(iter(shared.prompts)),
            format_func=lambda i: sentences.named_prompt(i, shared.prompts[i]),
            help=f"{shared.both:,} prompts are on both sides, of {shared.of_a:,} of A and "
            f"{shared.of_b:,} of B.",
        )
    a = data.compare.Text(run, sides.texts, sides.step_a, rollout)
    partners = data.compare.partners(shared, a, sides.b, sides.step_b)
    chosen = next(iter(partners))
    if right and len(partners) > 1:
        with right:
            chosen = selection.choose(
                "rollout_b",
                st.selectbox,
                "Text of B on this prompt",
                list(partners),
                chosen,
                format_func=partners.get,
            )
    return a, data.compare.Text(sides.b, sides.texts, sides.step_b, chosen)


def pane(shown: Shown, letter: str, difference: bool) -> None:
    """One side as a text pane, on the scale of both, or in the colours of B − A."""
    of, b = (shown.a if letter == "A" else shown.b), shown.b
    seen = data.compare.shown(shown.pair, of, letter, difference)
    scale = (data.compare.difference_scale if difference else data.compare.scale)(
        run, b.run, shown.signal
    )
    estimator = data.runs.facts(of.run).estimator
    if shown.signal != "kl":
        estimator = f"{shown.signal} as logged"
    # as long on both sides, so that the texts begin at one height
    caption = f"{letter} at step {of.step}. {estimator}."
    if difference:
        over = "the run" if b.run.path == run.path else "both runs"
        caption = (
            f"B minus A, on the text of B: {shown.a.name}, step {shown.a.step} → {of.name}, step "
            f"{of.step}. Blue: lower in B, orange: higher. {estimator}. Colours change at "
            f"quantiles of |{shown.signal}| over all {scale['tokens']:,} tokens of {over}."
        )
    view = token_pane.View(
        scale=scale,
        caption=caption,
        categories=data.runs.categories(of.run),
        state=seen.state,
        steps=[of.step],
        judged=seen.judged,
        tau=data.compare.threshold(run, b.run, "kl"),
        narrow=shown.panes == "both",
        quiet=True,
    )
    token_pane.show(f"compare {letter}", seen.text, seen.values, view)


def choose_view() -> tuple[str, str]:
    """Which panes are shown, and the signal that colours them."""
    left, right = st.columns([3, 2])
    with left:
        panes = selection.choose(
            "panes",
            st.segmented_control,
            "Show",
            list(PANES),
            "both",
            format_func=PANES.get,
            required=True,
        )
    with right:
        signal = selection.choose("signal", st.selectbox, "Colour", data.runs.SIGNALS, "kl")
    return panes, signal


def texts(sides: Sides) -> None:
    chosen = choose_texts(sides)
    if chosen is None:
        return
    panes, signal = choose_view()
    pair = data.compare.pair(*chosen, signal)
    about = [data.compare.about(text) for text in chosen]
    for letter, text, told, place in zip("AB", chosen, about, st.columns(2), strict=True):
        place.text(sentences.side(letter, text, told))
    if not all(told.tokens for told in about):
        st.text("One of the texts is empty: its student ended at once.")
        return
    names = dict(zip("AB", (text.name for text in chosen), strict=True))
    refused = data.compare.no_difference(run, sides.b, signal)
    refused = refused or sentences.not_logged(pair, signal, names)
    st.text(sentences.aligned(pair, *about))
    moved = data.compare.moved(pair, run, sides.b, signal)
    st.text(refused or sentences.moved(moved, signal, sides.one_run))
    if panes == "difference" and refused:
        st.subheader("No difference to show")
        st.text("Choose another colour or “A | B” above.")
        return
    draw(Shown(*chosen, pair, signal, panes))
    links(chosen, sides.name_b)


def links(chosen: tuple[data.compare.Text, data.compare.Text], name_b: str) -> None:
    """Each side on the page Trace."""
    for letter, text, name, place in zip("AB", chosen, (None, name_b), st.columns(2), strict=True):
        where = {"step": str(text.step), "rollout": str(text.rollout)}
        with place:
            selection.link(
                "trace", f"Read {letter} in Trace", **where, **({"run": name} if name else {})
            )


def draw(shown: Shown) -> None:
    """The panes that were asked for, tied together."""
    letters = {"both": "AB", "a": "A", "b": "B", "difference": "B"}[shown.panes]
    places = st.columns(2) if shown.panes == "both" else [st.container()]
    for letter, place in zip(letters, places, strict=True):
        with place:
            pane(shown, letter, shown.panes == "difference")
    pane_pair.show(
        "pair",
        {s: f"compare {s}" for s in letters},
        shown.pair.aligned.blocks(),
        (shown.pair.values_a, shown.pair.values_b),
        shown.signal,
        data.compare.unit(shown.signal),
    )
    st.caption(
        "Point at a token, or walk with Tab and the arrow keys: its partner is framed, and a line "
        "at the foot gives both values."
    )


def ranked(sides: Sides) -> data.compare.Sides:
    """Both rankings, and in one sentence what they are."""
    right, left = st.columns([3, 2])
    by = "score"
    if not sides.one_run:
        left, right = right, left
        with left:
            by = selection.choose(
                "by",
                st.segmented_control,
                "Rock sets by",
                list(BY),
                "rule",
                format_func=BY.get,
                required=True,
            )
    if by == "rule":
        rule = data.rocks.rule(selection.text("rule", "default"))
        found = data.compare.ranked_by_rule(run, sides.b, rule)
        a, b = (
            f"steps {side.steps[0]} to {side.steps[-1]}, {side.source.label.lower()}"
            for side in found
        )
        st.text(
            f"Each run by the rule {rule.short()}, first against last checkpoint: A {a}; B {b}. "
            f"Types rank by {found.a.score}. "
            "The steps chosen above do not enter."
        )
        selection.link("threshold_lab", "Change the rule in the Threshold lab")
        return found
    with right:
        top = selection.count(
            "top", "Types that count as rocks, by Rock Score", 1, 10_000, data.compare.TOP
        )
    found = data.compare.ranked_by_score(run, sides.step_a, sides.b, sides.step_b, top)
    st.text(
        f"Types by Rock Score R(v) over the fresh rollouts of step {sides.step_a} (A) and step "
        f"{sides.step_b} (B), the first {top} of "
        "each as its set. Fresh rollouts answer other prompts at every step. Of persistence this "
        "says nothing: that takes a rule."
    )
    return found


def rocks(sides: Sides) -> None:
    st.subheader("Rock sets")
    found = ranked(sides)
    shared = data.compare.overlap(found)
    in_a, in_b, both = len(found.a.ids), len(found.b.ids), len(shared.both)
    columns = st.columns(4)
    columns[0].metric(
        "Jaccard",
        f"{shared.jaccard:.2f}" if in_a or in_b else "–",
        help=f"Share of those in either: {in_a} in A, {in_b} in B.",
    )
    columns[1].metric(f"In both, of {in_a + in_b - both}", both)
    columns[2].metric(f"Only in A, of {in_a}", len(shared.only_a))
    columns[3].metric(f"Only in B, of {in_b}", len(shared.only_b))
    tokens = found.tokens()
    for what, ids in (
        ("In both", shared.both),
        ("Only in A", shared.only_a),
        ("Only in B", shared.only_b),
    ):
        if ids:
            st.text(f"{what}: {sentences.token_line(ids, tokens)}")
    table = data.compare.rank_changes(found)
    if not in_a and not in_b:
        st.text(
            "Neither side has a set under this rule: below stand all types by rank. Loosen the "
            "rule in the Threshold lab."
        )
    drawn = table.head(DRAWN)
    loss = facts.estimator if found.a.column == "kl" else found.a.column
    about = f"A: {found.a.name}, {found.a.where}<br>B: {found.b.name}, {found.b.where}"
    st.plotly_chart(
        charts.ranks(drawn, f"{about}<br>{found.a.score} · {loss}"), key="ranks",
        alt="Rank of token types in A and in B; the table below holds the numbers",
    )  # fmt: skip
    st.caption(
        f"The {len(drawn)} of {len(table):,} types that stand highest on either side. A long "
        "line: the type moved far."
    )
    show_table(table, ["ccr_a", "ccr_b"] if found.a.by == "rule" else [])


def show_table(table, known: list[str]) -> None:
    st.dataframe(
        table.head(MOST_ROWS),
        hide_index=True,
        height=320,
        column_order=[
            "shown", "where", "rank_a", "rank_b", "moved", "score_a", "score_b", *known,
            "frequency_a", "frequency_b", "token_id",
        ],
        column_config={
            "shown": text("token", help="␣ space, ⏎ line break"),
            "where": text("in set", help="Which of the two sets the type is in."),
            "rank_a": number("rank A", format="%d", help="None where the type does not occur. "
                                                         "Types without a score follow by R(v)."),
            "rank_b": number("rank B", format="%d"),
            "moved": number("moved", format="%+d", help="Places it stands higher in B than in A."),
            "score_a": number("score A (nats)", format="%.3f", help="Of the score that ranks."),
            "score_b": number("score B (nats)", format="%.3f"),
            "ccr_a": number("CCR A", format="%.2f", help="Kept occurrences as a share of all of "
                                                         "the type; only a rule knows them."),
            "ccr_b": number("CCR B", format="%.2f"),
            "frequency_a": number("n A", format="%d", help="Occurrences on the texts of this "
                                                           "side."),
            "frequency_b": number("n B", format="%d"),
            "token_id": number("id", format="%d"),
        },
        alt="Token types with their ranks and scores on both sides",
    )  # fmt: skip
    st.caption(f"{min(len(table), MOST_ROWS):,} of {len(table):,} types of either side.")


def curves(sides: Sides) -> None:
    st.subheader("Over the training")
    other = data.runs.facts(sides.b)
    both = [("A", facts), *([] if sides.one_run else [("B", other)])]
    cursors = {"A": sides.step_a, "B": sides.step_b}
    estimator = (
        facts.estimator
        if facts.estimator == other.estimator
        else f"A {facts.estimator}; B {other.estimator}"
    )
    kl = [charts.Curve(s, f.meta.name, f.metrics) for s, f in both]
    st.plotly_chart(
        charts.kl_curves(kl, cursors, estimator),
        key="kl",
        alt="Mean kl over steps of A and B with intervals",
    )
    decodings = [
        d for d in ("greedy", "sampled") if all((f.evals.decoding == d).any() for _, f in both)
    ]
    if not decodings:
        st.text(
            "Held-out accuracy is not logged on both sides: their prompts have no known answers, "
            "or evaluation was switched off."
        )
        return
    decoding = selection.choose(
        "decoding", st.segmented_control, "Decoding", decodings, decodings[0], required=True
    )
    accuracy = [
        charts.Curve(s, f.meta.name, f.evals.loc[f.evals.decoding == decoding]) for s, f in both
    ]
    st.plotly_chart(
        charts.accuracy_curves(accuracy, cursors, decoding),
        key="accuracy",
        alt="Held-out accuracy of A and B over steps",
    )


def page() -> None:
    chosen = choose_b()
    if chosen is None:
        return
    sides = choose_sides(*chosen)
    if sides is None:
        return
    same = sides.one_run and sides.step_a == sides.step_b
    if same:
        st.info(
            "A and B are one run at one step, so every difference is 0. Move one of the steps, or "
            "choose another run for B."
        )
    else:
        part(lambda: texts(sides), "The texts")
    above = st.container()  # the curves below are there at once, the rocks a moment later
    part(lambda: curves(sides), "The curves")
    if not same:
        with above:
            part(lambda: rocks(sides), "The rock sets")


st.title("Compare")
st.text(
    "Two runs, or two steps of one run, side by side: what is harder here, what is easier there?"
)
st.badge(words.plain(facts.estimator), help="What the numbers called kl are.")
page()
