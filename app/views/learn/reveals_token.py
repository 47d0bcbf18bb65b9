"""What the first steps show once the reader has answered: one token, from one run."""

from __future__ import annotations

import streamlit as st

from app import data, words
from app.views.learn import charts
from app.views.learn import words as sentences
from app.views.learn.asked import Asked, at_token, draw_again


def show_picture(asked: Asked) -> None:
    asked.tell("own")
    st.markdown(
        "So the student meets the states that it brings itself into. That is what *on-policy* "
        "means."
    )
    at = at_token(asked)
    st.caption(
        f"From {words.literal(asked.name)}, {at.texts.phrase}, rollout {at.rollout}, scored at "
        f"step {at.step}. The stronger the colour, the larger the KL; the framed token, at "
        f"{at.kl:.2f} nats, will come back."
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
        f"*better* than the student does. {100 * at.negative:.0f} % do in the long run. Their mean "
        f"is {drawn.mean[-1]:.2f} ± {1.96 * drawn.stderr:.2f} nats (95 %), the KL "
        f"{at.exact:.2f}."
    )
    st.caption(
        f"The KL over the {len(at.names) - 1} tokens that either model lists, and all others as "
        f"one; the log has {at.kl:.2f}, over the whole vocabulary."
    )
    say_of_all(asked)


def say_of_all(asked: Asked) -> None:
    """The same over a whole step of the run."""
    found = data.lessons.one_sample(asked.run)
    if found is None:
        st.text("The log of this run has no sampled losses beside.")
        return
    line = (
        f"In the {found.texts.phrase}, step {found.step}: {found.negative:,} of {found.tokens:,} "
        f"sampled losses are negative, mean {sentences.mean(found.sampled_loss)}"
    )
    beside = f"; mean KL {sentences.mean(found.kl)}" if found.kl else ""
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
        "proves nothing: the next steps count all of them."
    )


def show_ends(asked: Asked, frame, steps: list[int]) -> None:
    """Both models' likeliest tokens at the last step."""
    last = frame.loc[frame.step == steps[-1]].fillna(0.0)
    st.plotly_chart(
        charts.alternatives(
            [words.visible(token) for token in last.token],
            last.student.tolist(),
            last.teacher.tolist(),
            f"What either would write there<br>{asked.name}, step {steps[-1]}",
        ),
        key="alternatives",
        alt="Probabilities of the likeliest tokens under student and teacher",
    )
