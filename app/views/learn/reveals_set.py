"""What the middle steps show once the reader has answered: gates, gradient, three runs."""

from __future__ import annotations

import streamlit as st

from app import data, selection, words
from app.components.colours import NEUTRAL, ROCK
from app.views.learn import charts
from app.views.learn import words as sentences
from app.views.learn.asked import Asked, again_on_a_sample

KNOBS = {"tau": "high: τ", "context": "recurring: γ, η", "cutoff": "in the set: K"}
REASONS = {"habit": "slow", "hidden": "impossible", "skill": "learnable"}


def show_gates(asked: Asked) -> None:
    report = data.rocks.found(asked.run, asked.rule).report
    n = report.occurrences
    scored, in_set = n["scored"], n["in_set"]
    if scored is None or in_set is None:
        why = f"Which tokens are high before and after is not known here ({report.mode})."
        again_on_a_sample(asked, why)
        return
    share = in_set / max(scored, 1)
    few = "few" if in_set else "none"
    asked.tell("many" if share > 0.2 else "some" if share > 0.02 else few)
    before, after = report.steps[0], report.steps[-1]
    counts = {
        "all tokens": scored,
        "high": n["persistent"] or 0,
        "recurring": n["consistent"] or 0,
        "in the set": in_set,
    }
    st.plotly_chart(
        charts.gates(
            counts,
            f"Tokens behind each gate, rule {report.asked.name}<br>{asked.name}, "
            f"{report.source.phrase}, before: step {before}, after: step {after}",
        ),
        key="gates",
        alt="Tokens left behind each gate",
    )
    st.text(f"τ is {report.rule.tau_post:.3f} nats after training. {sentences.named_set(report)}")
    st.markdown("Its knobs in the lab:")
    with st.container(horizontal=True):
        for knob, label in KNOBS.items():
            selection.link("threshold_lab", label, lesson="gates", knob=knob)


def show_gradient(asked: Asked) -> None:
    share = data.rocks.share(asked.run, asked.rule)
    if share.why_empty:
        again_on_a_sample(asked, share.why_empty)
        return
    if share.gradient is None:
        again_on_a_sample(asked, "The gradient is not logged for these texts.")
        return
    guess, found = int(asked.answer), share.gradient.value
    st.markdown(f":material/arrow_forward: You said {guess} %. It is **{words.percent(found)}**.")
    known = {
        "the tokens": share.token_share,
        f"the {words.loss_name(share.column)}": share.loss_share,
        "the gradient": share.gradient,
    }
    st.plotly_chart(
        charts.shares(
            {name: tuple(each) for name, each in known.items() if each is not None},
            guess / 100,
            f"What falls on {sentences.times(share.types, 'Rock Token')}, 95 % over texts"
            f"<br>{asked.name}, {share.where}",
        ),
        key="shares",
        alt="Share of Rock Tokens of tokens, KL and gradient",
    )
    st.text(f"{share.sentence}.")


def show_reasons(asked: Asked) -> None:
    runs = data.lessons.samples()
    if len(runs) < len(REASONS):
        st.text("The bundled runs are not here, so there is nothing to put side by side.")
        return
    none = [name for name, run in runs.items() if data.rocks.no_set(run, asked.rule)]
    if none == ["skill"] or asked.answer not in none:
        asked.tell(none[0]) if none else st.text("By this rule each of them has a set.")
    else:
        asked.tell(asked.answer)
    for place, (name, run) in zip(st.columns(3), runs.items(), strict=True):
        with place:
            show_scenario(asked, name, run)
    st.markdown(
        "*habit* and *hidden* look alike. *That* a KL stays, a log shows; *why*, only what each "
        "model read and learned."
    )


def show_scenario(asked: Asked, name: str, run: data.runs.RunKey) -> None:
    report = data.rocks.found(run, asked.rule).report
    st.markdown(f"**{name}**: {REASONS[name]}")
    frame = data.lessons.course(run, asked.rule)
    colours = {data.lessons.ROCKS: ROCK, data.lessons.OTHERS: NEUTRAL, data.lessons.ALL: NEUTRAL}
    frames = {who: frame.loc[frame.who == who] for who in dict.fromkeys(frame.who)}
    st.plotly_chart(
        charts.course(frames, colours, f"Mean KL, 95 % over texts<br>{name}"),
        key=f"course {name}",
        alt=f"KL of the set and of other tokens over the steps of {name}",
    )
    for line in sentences.scenario(report):
        st.text(line)
