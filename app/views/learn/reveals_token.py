"""What the first steps show once the reader has answered: one token, from one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import data, words
from app.views.learn import charts
from app.views.learn import words as sentences
from app.views.learn.asked import Asked, at_token, draw_again

if TYPE_CHECKING:
    import pandas as pd


def show_picture(asked: Asked) -> None:
    asked.tell("own")
    st.markdown("So it meets the states that it brings itself into: that is *on-policy*.")
    at = at_token(asked)
    st.caption(
        f"{words.literal(asked.name)}, {at.texts.phrase}, rollout {at.rollout}, step {at.step}. "
        f"The stronger the colour, the larger the KL; framed: {at.kl:.2f} nats."
    )


def show_draws(asked: Asked) -> None:
    asked.tell("yes")
    at = at_token(asked)
    seed = draw_again("draw", "Draw 100 again")
    drawn = data.lessons.draws(at, seed)
    n = len(drawn.loss)
    st.plotly_chart(
        charts.draws(
            drawn.loss.tolist(),
            drawn.mean.tolist(),
            at.exact,
            f"{n} tokens drawn from the student at the framed place<br>{asked.name}, step "
            f"{at.step} · draw {seed}",
        ),
        key="draws",
        alt="Losses of single draws, their running mean and the KL",
    )
    st.markdown(
        f"**{drawn.negative} of {n}** draws lie below 0: there the teacher likes the token "
        f"*better*. Mean {drawn.mean[-1]:.2f} ± {1.96 * drawn.stderr:.2f} nats (95 %), KL "
        f"{at.exact:.2f}."
    )
    st.caption(
        f"Over {len(at.names) - 1} listed tokens, all others as one; over the whole vocabulary "
        f"the log has {at.kl:.2f}."
    )
    say_of_all(asked)


def say_of_all(asked: Asked) -> None:
    """The same over a whole step of the run."""
    found = data.lessons.one_sample(asked.run)
    if found is None:
        st.text("The log of this run has no sampled losses beside.")
        return
    line = (
        f"All {found.texts.phrase}, step {found.step}: {found.negative:,} of {found.tokens:,} "
        f"are negative, mean {sentences.with_error(found.sampled_loss)}"
    )
    beside = f"; mean KL {sentences.with_error(found.kl)}" if found.kl else ""
    st.text(f"{line}{beside}.")


def show_training(asked: Asked) -> None:
    frame = data.lessons.over_steps(asked.run, asked.rule)
    curve = dict(zip(frame.step.tolist(), frame.kl.tolist(), strict=True))
    steps, kl = list(curve), list(curve.values())
    if len(steps) < 2:
        at_token(asked)
        st.text("This text was scored at one step alone, so nothing can be said of its course.")
        return
    ratio = kl[-1] / kl[0] if kl[0] > 0 else 1.0
    asked.tell("gone" if ratio < 0.1 else "falls" if ratio < 0.9 else "stays")
    at = at_token(asked)
    left, right = st.columns(2)
    with left:
        st.plotly_chart(
            charts.over_steps(
                steps, kl, f"KL at the framed place<br>{asked.name}, rollout {at.rollout}"
            ),
            key="training",
            alt="KL of one token over the steps",
        )
    with right:
        show_ends(asked, frame, steps)
    st.markdown(
        f"From {kl[0]:.2f} nats at step {steps[0]} to {kl[-1]:.2f} at step {steps[-1]}. One token "
        "proves nothing: now all of them."
    )


def show_ends(asked: Asked, frame: pd.DataFrame, steps: list[int]) -> None:
    """Both models' likeliest tokens at the last step."""
    last = frame.loc[frame.step == steps[-1]]
    student, teacher = (
        [p if p == p else None for p in side] for side in (last.student, last.teacher)
    )
    st.plotly_chart(
        charts.alternatives(
            [words.visible(token) for token in last.token],
            student,
            teacher,
            f"What either would write there<br>{asked.name}, step {steps[-1]}",
        ),
        key="alternatives",
        alt="Probabilities of the likeliest tokens under student and teacher",
    )
