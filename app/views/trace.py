"""One rollout as text, each token coloured by a signal: where, in what words, does the student differ from its teacher?"""

import streamlit as st

from app import data, selection, token_pane

SOURCES = {"fresh": "Fresh rollouts", "first": "Probe: first student", "final": "Probe: final student"}
HELP = "Probe texts were sampled once, by the first or the final student, and are scored again by the student of every logged step."

run = selection.run()
facts = data.facts(run)
st.title("Trace")

sources = [s for s in data.SOURCES if data.steps(run, s)]
if not sources:
    st.text("No step has logged its tokens yet. Reload in a moment (press R) if the run is training.")
    selection.stop()
left, right = st.columns([3, 2])
with left:
    source = selection.choose(
        "source", st.segmented_control, "Texts", sources, sources[-1], format_func=SOURCES.get, required=True, help=HELP
    )
with right:
    steps = data.steps(run, source)
    step = selection.choose("step", st.select_slider, "Step", steps, steps[-1])

texts = data.rollouts(run, source, step)
if texts.empty:
    st.text(f"Step {step} has no rollouts of this kind.")
    selection.stop()
left, right = st.columns([3, 2])
hints = dict(zip(texts.rollout_id.tolist(), texts.hint, strict=True))
with left:
    rollout = selection.choose("rollout", st.selectbox, "Rollout", list(hints), next(iter(hints)), format_func=hints.get)
with right:
    signal = selection.choose("signal", st.selectbox, "Colour", data.SIGNALS, "kl")

text = data.trace(run, source, step, rollout)
names = data.categories(run)
counts = data.category_counts(text, names)
lit = selection.choose_some(
    "light", st.pills, "Light up a category", list(counts), selection_mode="multi", format_func=lambda c: f"{c} {counts.get(c, 0)}"
)
if lit:
    st.caption(f"Lit: {sum(counts[c] for c in lit)} of {len(text['tokens'])} tokens, underlined; the others are dimmed.")

meaning = facts.estimator if signal == "kl" else data.meaning(signal)
students = "the student of this step wrote it" if source == "fresh" else f"a fixed text, scored by the student of step {step}"
token_pane.show(
    text,
    data.scale(run, signal)._asdict(),
    signal,
    names,
    lit,
    caption=f"{facts.meta.name}, step {step}: {students}. {meaning.rstrip('.')}.",
)
