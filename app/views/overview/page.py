"""First page: what this run is, how it went, and how concentrated its loss is. Text first, charts
below.
"""

import streamlit as st

from app import charts, data, selection, words
from app.views.overview import words as sentences

run = selection.run()
facts = data.runs.facts(run)
meta = facts.meta

st.title(words.literal(meta.name))
if facts.summary:
    st.text(facts.summary)
if meta.origin:
    st.text(f"Where persisting loss can come from: {meta.origin}")
st.badge(
    words.literal(facts.estimator),
    help="What the numbers called kl are. KL(student ‖ teacher), averaged over the student's own "
    "tokens.",
)
st.text(f"Student: {meta.student} · teacher: {meta.teacher} · {data.runs.status(run)}")
st.text(facts.objective)


def say_what_is_missing(texts: list[str]) -> None:
    """Why the figures of the training are not here, and what can be read instead."""
    if texts:
        there = "; ".join(
            f"{data.runs.texts_label(t)}, steps {selection.span_of(data.runs.steps(run, t))}"
            for t in texts
        )
        st.subheader("The course of the training is not logged")
        st.text(f"There are texts and what both models say of them: {there}.")
        with st.container(horizontal=True):
            selection.link("trace", "Read the texts")
            selection.link("rock_tokens", "See the Rock Tokens")
            selection.link("steps", "See step by step")
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
    last, known = facts.metrics.iloc[-1], facts.kl.iloc[-1]
    columns = st.columns(3)
    columns[0].metric(
        "Tokens logged",
        f"{facts.tokens:,}",
        help=f"Of {facts.generated:,} that the student wrote on training prompts.",
    )
    columns[1].metric(
        "Steps logged",
        f"{len(steps)} of {len(facts.metrics)}",
        help=f"The last is step {int(last.step)}.",
    )
    columns[2].metric(
        "Last mean kl",
        f"{known.kl_mean:.4f} nats",
        help=f"{known.interval[:1].upper()}{known.interval[1:]} of step {int(known.step)}.",
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
if not steps or facts.kl.empty:
    say_what_is_missing(data.runs.logged_texts(run))
    if not facts.evals.empty:
        show_accuracies()
        draw_accuracies()
    selection.stop()

show_figures()
show_accuracies()

st.subheader("Where the loss sits")
top = selection.count(
    "top", "So many token types, the highest by Rock Score", 1, 10_000, 20, width=320
)
share = data.runs.concentration(run, steps[-1], top)
for sentence in sentences.concentration(steps[-1], share):
    st.markdown(sentence)
st.caption(
    "A high score alone is no Rock Token: which types are, or that no set is stable, says a rule."
)
left, right, _ = st.columns([1, 1, 2])
with left:
    selection.link("rock_tokens", "See the Rock Tokens by a rule")
with right:
    selection.link("gradients", "See who takes the gradient")

st.subheader("Over the training")
st.plotly_chart(
    charts.kl_curve(facts.kl, meta.name, facts.estimator),
    key="kl",
    alt="Mean kl over steps with its interval",
)
if facts.evals.empty:
    st.text(
        "No held-out accuracy is logged: the prompts of this run have no known answers, or "
        "evaluation was switched off."
    )
else:
    draw_accuracies()
st.plotly_chart(
    charts.phase_times(facts.metrics, meta.name), key="phases", alt="Seconds per phase of each step"
)
