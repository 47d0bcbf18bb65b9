"""A run in training, as it happens: how far it is, how its loss falls, what the student writes
now.
"""

import streamlit as st

from app import charts, controls, data, selection, words
from app.components import token_pane

MOST_TYPES = 12
LOOK_EVERY_S = 2
WAIT_EVERY_S = 4  # where nothing is in training yet

run = selection.opened()


def explain_nothing_running() -> None:
    """Why there is nothing to follow, and what to do about it."""
    if run is not None:
        st.text(f"{data.runs.facts(run).meta.name} is not in training: {data.runs.status(run)}")
        selection.link("overview", "See how it went")
    training = data.trainings.others(run)
    st.fragment(rerun_on_change, run_every=WAIT_EVERY_S)(training)
    if training:
        st.text("In training now:")
        for name in training:
            st.button(f"Follow {words.literal(name)}", on_click=selection.put, args=("run", name))
    else:
        st.text(
            "No run is in training here. Start one on the page “Session”, or in a terminal: "
            "rockcore train"
        )
        selection.link("session", "Start a training")


def rerun_on_change(training: list[str]) -> None:
    """Show the page anew when a training begins or ends."""
    if data.trainings.others(run) != training or (run is not None and data.runs.is_live(run)):
        st.rerun()


def show_progress(now: data.runs.RunKey) -> None:
    """How it stands, how old that is, how long it will take."""
    st.text(data.runs.status(now))
    far = data.runs.facts(now).progress
    if far is None:
        st.text(
            "No step is finished yet: the first one also rates the models on held-out problems "
            "and scores the probe texts."
        )
        return
    st.progress(
        far.step / max(far.steps, 1), f"Shown: step {far.step} of {far.steps}{pace_of(far)}"
    )


def pace_of(far: data.trainings.Progress) -> str:
    """How fast it goes, and how long it will take; nothing where the log has no times."""
    if far.pace is None:
        return ""
    left = (
        f"about {words.duration(far.pace.left_s)} left, milestones not counted"
        if far.step < far.steps
        else "finishing"
    )
    return f" · {far.pace.step_s:.2f} s a step · {far.pace.tokens_per_s:,.0f} tokens/s · {left}"


def show_curves(now: data.runs.RunKey) -> None:
    facts = data.runs.facts(now)
    left, right = st.columns(2)
    with left:
        if facts.means.empty:
            st.text(str(facts.held.lack("kl") or "No step has a mean KL yet."))
        else:
            about = facts.measured(facts.loss)
            st.plotly_chart(
                charts.loss_curve(facts.means, facts.loss, facts.meta.name, about),
                key="live kl",
                alt=f"Mean {facts.loss} so far",
            )
    with right:
        if facts.evals.empty:
            st.text(
                "No held-out accuracy yet: its prompts have no known answers, or the first "
                "milestone is not reached."
            )
        else:
            st.plotly_chart(
                charts.accuracy_curve(facts.evals, facts.meta.name),
                key="live accuracy",
                alt="Held-out accuracy so far",
            )


def show_newest_text(now: data.runs.RunKey, step: int, wanted: int) -> None:
    """What the student has just written."""
    ids = data.runs.rollouts(now, "fresh", step).rollout_id.tolist()
    if not ids:
        st.text(f"Step {step} has logged no rollouts.")
        return
    rollout = ids[min(wanted, len(ids) - 1)]
    text, values = (
        data.texts.text(now, "fresh", step, rollout),
        data.texts.values(now, "fresh", step, rollout),
    )
    if not text.length:
        st.text(f"Rollout {rollout} of step {step} is empty: the student ended at once.")
        return
    facts = data.runs.facts(now)
    view = token_pane.View(
        scale=data.texts.scale(now, facts.loss),
        caption=f"{facts.meta.name}, rollout {rollout} of step {step}, the last one logged in "
        f"full. {facts.measured(facts.loss)}.",
        categories=data.runs.categories(now),
        state=token_pane.State(rollout, step),
        steps=[step],
        mark=data.texts.mark(now),
        quiet=True,
    )
    token_pane.show("live pane", text, values, view)


def show_heaviest(now: data.runs.RunKey, step: int) -> None:
    """Where the loss of the newest rollouts sits."""
    if (gone := data.runs.holdings(now).lack("kl", data.runs.Texts.FRESH)) is not None:
        st.text(str(gone))
        return
    frame = data.runs.ranking(now, step)
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    controls.show_types(
        now,
        frame.head(MOST_TYPES),
        "heaviest types",
        column_order=["rank", "shown", "category", "rock_score", "share", "frequency", "mean_kl"],
        column_config={
            "shown": text("token", help="␣ space, ⏎ line break"),
            "rock_score": number(
                "R(v) (nats)", format="%.2f", help="Rock Score: mean KL × frequency, at this step."
            ),
            "share": number("share of kl", format="percent"),
            "frequency": number("n", format="%d"),
            "mean_kl": number("mean KL (nats)", format="%.4f"),
        },
        alt="The token types with most of the loss of the newest logged step",
    )
    st.caption(
        f"{min(len(frame), MOST_TYPES)} of {len(frame):,} types of step {step}, by Rock Score. "
        "Which of them are Rock Tokens is known once "
        "the final student has written its probe texts."
    )


def follow(opened: data.runs.RunKey, wanted: int) -> None:
    """One look, every two seconds."""
    try:
        with data.trainings.looking(opened) as now:
            if not data.runs.is_live(now):
                st.rerun()
            show_progress(now)
            steps = data.runs.steps(now)
            if data.runs.facts(now).metrics.empty or not steps:
                return
            show_curves(now)
            st.subheader("What the student writes now")
            show_newest_text(now, steps[-1], wanted)
            st.subheader("Where the loss sits now")
            show_heaviest(now, steps[-1])
    except data.runs.RunNotFound:
        st.rerun()  # the whole page says what is gone
    except data.runs.RockError as e:
        st.text(str(e))


st.title("Live")
if run is None or not data.runs.is_live(run):
    explain_nothing_running()
else:
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        following = st.toggle(
            "Keep up with the training",
            value=True,
            help=f"Looks for news every {LOOK_EVERY_S} seconds, less often where reading takes "
            "long. Off: the page holds still, the "
            "training goes on.",
        )
    with right:
        wanted = selection.count(
            "rollout", "Rollout to read", 0, data.runs.facts(run).last_rollouts - 1, 0
        )
    st.fragment(follow, run_every=LOOK_EVERY_S if following else None)(run, wanted)
