"""First page: what this run is, how it went, and how concentrated its loss is. Text first, charts
below.
"""

import streamlit as st

from app import cards, charts, controls, data, selection, words
from app.views.overview import words as sentences

run = selection.run()
facts = data.runs.facts(run)
meta = facts.meta

st.title(words.literal(meta.name))
if facts.summary:
    st.text(facts.summary)
if meta.origin:
    st.text(f"Where persisting loss can come from: {meta.origin}")
controls.show_losses(facts)
st.text(f"Student: {meta.student} · teacher: {meta.teacher} · {data.runs.status(run)}")
if facts.objective:
    st.text(facts.objective)
for sentence in sentences.provenance(facts.provenance):
    st.text(sentence)
if not facts.held.elsewhere:  # of which one sentence below says it
    controls.show_lacks(data.runs.lacks(run, data.runs.SIGNALS))


def say_what_is_missing(texts: list[str]) -> None:
    """Why the figures of the training are not here, and what can be read instead."""
    if texts:
        there = "; ".join(
            f"{data.runs.texts_label(t)}, steps {selection.span_of(data.runs.steps(run, t))}"
            for t in texts
        )
        said = " and what both models say of them" if facts.held.loss else ""
        st.subheader("The course of the training is not logged")
        st.text(f"There are texts{said}: {there}.")
        with st.container(horizontal=True):
            selection.link("trace", "Read the texts")
            selection.link("rock_tokens", "See the Rock Tokens")
            selection.link("steps", "See step by step")
    elif facts.held.words:
        st.subheader("Of the texts only the words are logged")
        st.text(str(facts.held.lack("kl")))
        selection.link("trace", "Read the texts")
    elif controls.show_elsewhere(run, "overview"):
        controls.show_rock_line(run)
    elif facts.meta.status == "running":
        st.subheader("Nothing logged yet")
        st.text(
            "The first step has not been written. Reload in a moment (press R), or look at the "
            "page “Session” for its output."
        )
    else:
        st.subheader("No text is logged")
        st.text("The run has ended, and its folder holds no token of any text.")


def show_figures() -> None:
    columns = st.columns(3)
    columns[0].metric(
        "Tokens logged",
        f"{facts.tokens:,}",
        help=f"Of {facts.generated:,} that the student wrote on training prompts.",
    )
    columns[1].metric(
        "Steps logged",
        f"{len(steps)} of {len(facts.metrics)}",
        help=f"The last is step {int(facts.metrics.step.iloc[-1])}.",
    )
    if facts.means.empty:
        return
    known = facts.means.iloc[-1]
    columns[2].metric(
        f"Last mean {data.texts.SPOKEN[facts.loss]}",
        f"{known['mean']:.4f} nats",
        help=cards.help_of(
            facts.loss,
            f"{known.interval[:1].upper()}{known.interval[1:]} of step {int(known.step)}.",
        ),
    )


def show_accuracies() -> None:
    for decoding in ("greedy", "sampled"):
        st.text(f"Held-out accuracy, {decoding}: {words.accuracy_line(facts.evals, decoding)}")


def draw_accuracies() -> None:
    st.plotly_chart(
        charts.accuracy_curve(facts.evals, meta.name),
        key="accuracy",
        alt="Held-out accuracy over steps with intervals",
    )


steps = data.runs.steps(run)
if not steps or facts.metrics.empty:
    say_what_is_missing(data.runs.logged_texts(run))
    if not facts.evals.empty:
        show_accuracies()
        draw_accuracies()
    selection.stop()

show_figures()
show_accuracies()


def show_concentration() -> None:
    """How much of the last step falls on few types; only kl adds up to a loss that is shared."""
    if not facts.held.has("kl", data.runs.Texts.FRESH):
        st.text(
            "How much of the loss falls on few types is told by the KL, which is not logged here."
        )
        return
    top = selection.count(
        "top", "So many types, those with the largest summed KL", 1, 10_000, 20, width=320
    )
    share = data.runs.concentration(run, steps[-1], top)
    for sentence in sentences.concentration(steps[-1], share):
        st.markdown(sentence)
    st.caption(
        "A high score alone is no Rock Token: these types are of the fresh rollouts of one step, "
        "and no rule has looked whether they stay hard. What the rule finds is the line above."
    )
    left, middle, right = st.columns([1, 1, 2])
    with left:
        selection.link("rock_tokens", "See the Rock Tokens by a rule")
    with middle:
        selection.link("gradients", "See who takes the gradient", gradient_figure="takers")
    with right:
        selection.link("notes", "Make a report, keep notes")


def draw_course() -> None:
    if facts.means.empty:
        st.text("No step has a mean loss to draw.")
    else:
        st.plotly_chart(
            charts.loss_curve(facts.means, facts.loss, meta.name, facts.measured(facts.loss)),
            key="kl",
            alt=f"Mean {facts.loss} over steps with its interval",
        )
    if facts.evals.empty:
        st.text(
            "No held-out accuracy is logged: the prompts of this run have no known answers, "
            "evaluation was switched off, or another program trained it."
        )
    else:
        draw_accuracies()
    if facts.is_timed:
        st.plotly_chart(
            charts.phase_times(facts.phase_seconds, meta.name),
            key="phases",
            alt="Seconds per phase of each step",
        )


st.subheader("Where the loss sits")
rock_line = st.empty()
show_concentration()
st.subheader("Over the training")
draw_course()
with rock_line.container():  # last: a large log takes a while, and the page is there meanwhile
    controls.show_rock_line(run)
