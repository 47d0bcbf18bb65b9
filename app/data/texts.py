"""One rollout as text, for the pages that show one: rockcore's answers, cached and packed for the
token pane.

Raises RockError where rockcore does.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from app.components.token_pane import parts
from app.components.token_pane.parts import TextPart, ValuesPart
from app.data import runs
from app.data.runs import RunKey
from app.work import is_known, kept, kept_saying
from rockcore.analysis import signals, texts
from rockcore.analysis.signals import SIGNALS, SPOKEN, USUAL
from rockcore.schema import Texts

__all__ = [
    "SIGNALS",
    "SPOKEN",
    "TextPart",
    "Texts",
    "ValuesPart",
    "is_measured",
    "mark",
    "scale",
    "text",
    "to_csv",
    "to_parquet",
    "values",
    "words",
]


@kept_saying("Counting the values of the run")
def scale(run: RunKey, signal: str) -> dict[str, Any]:
    """The colour scale and histogram of a signal over the whole run, as a dict: signals.Scale and
    signals.Histogram.
    """
    histogram = signals.histogram(runs.log(run), signal)
    return {**asdict(runs.scale(run, signal)), **histogram._asdict()}


def is_measured(run: RunKey, signal: str) -> bool:
    """Whether a text can be coloured at once."""
    return is_known(scale, run, signal)


def mark(run: RunKey) -> float | None:
    """What 90 % of the run's tokens lie below, in nats of kl: the threshold of a text where no rule
    has a τ.
    """
    return runs.scale(run, "kl").at(USUAL)


def text(run: RunKey, source: str, step: int, rollout: int) -> TextPart:
    """What a step does not change. One step of a probe is as good as
    another.
    """
    about = Texts(source)
    return _text(run, about, step if about is Texts.FRESH else runs.steps(run, source)[-1], rollout)


@kept
def _text(run: RunKey, about: Texts, step: int, rollout: int) -> TextPart:
    found = texts.text(runs.log(run), about, step, rollout)
    return parts.text_part(
        f"{run.path} {about} {rollout}",
        found,
        runs.categories(run),
        _spelled(run, found.teacher, found.token_id),
    )


@kept
def words(run: RunKey, step: int, rollout: int) -> dict[str, str]:
    """A fresh rollout of which only the words are logged, by what they are: texts.words."""
    return texts.words(runs.log(run), step, rollout)


@kept
def values(run: RunKey, source: str, step: int, rollout: int) -> ValuesPart:
    """What the text is at one step."""
    about = Texts(source)
    found = texts.readings(runs.log(run), about, step, rollout)
    return parts.values_part(
        f"{run.path} {about} {rollout}",
        step,
        found,
        _spelled(run, found.student, found.token_id),
        with_kl=about is Texts.FRESH,
    )


def _spelled(run: RunKey, side: texts.Alternatives | None, token_id: np.ndarray) -> list[str]:
    return [] if side is None else texts.spelled(runs.log(run), parts.shown_ids(side, token_id))


def to_csv(run: RunKey, source: str, step: int, rollout: int) -> str:
    """The tokens of a text at one step, as CSV."""
    return texts.to_csv(texts.table(runs.log(run), Texts(source), step, rollout))


def to_parquet(run: RunKey, source: str, step: int, rollout: int) -> bytes:
    """The tokens of a text at one step, as Parquet."""
    return texts.to_parquet(texts.table(runs.log(run), Texts(source), step, rollout))
