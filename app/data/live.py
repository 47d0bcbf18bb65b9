"""The door from the Live page to a run in training: how far it is, and what it logged last, read at
a price that is bounded.

Reading only ever opens finished files, so a training never waits for it. But both share the cores:
what a look costs is measured, and the next one is put off until it is a small share of the time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import streamlit as st

from app.data import runs
from app.data.runs import RunKey
from rockcore.schema import PHASES

_SHARE = 0.2  # of one core, at most, on average


@dataclass
class _Look:
    run: RunKey
    again: float = 0.0  # when a newer one may be taken, on the monotonic clock


class Progress(NamedTuple):
    """How far a training is. `left_s` is reckoned from the median step; milestones come on top.
    None: no step is finished yet.
    """

    step: int
    steps: int
    kl_mean: float
    step_s: float
    tokens_per_s: float
    left_s: float


@st.cache_resource(max_entries=16, show_spinner=False)
def _look(path: str) -> _Look:
    return _Look(runs.key(path))


@contextmanager
def looking(run: RunKey) -> Iterator[RunKey]:
    """The run as far as it should be read now: in its newest state, or in the last one if that was
    costly to show and just read.

    Raises RockError where runs.key does.
    """
    look, started = _look(run.path), time.monotonic()
    if started < look.again:
        yield look.run
        return
    look.run = runs.key(run.path)
    yield look.run
    now = time.monotonic()
    look.again = now + (now - started) * (1 / _SHARE - 1)


def progress(run: RunKey) -> Progress | None:
    facts = runs.facts(run)
    if facts.metrics.empty:
        return None
    last = facts.metrics.iloc[-1]
    seconds = facts.metrics[list(PHASES)].sum(axis=1).tail(50)
    step_s = float(seconds.median())
    rate = float(facts.metrics.tokens.tail(50).sum() / seconds.sum()) if seconds.sum() > 0 else 0.0
    steps = max(facts.meta.steps_planned, int(last.step))
    return Progress(
        int(last.step), steps, float(last.kl_mean), step_s, rate, step_s * (steps - int(last.step))
    )


def most_rollouts(run: RunKey) -> int:
    """Fresh rollouts of the last finished step; at least 1."""
    metrics = runs.facts(run).metrics
    return max(1, 0 if metrics.empty else int(metrics.rollouts.iloc[-1]))


def others(run: RunKey | None) -> list[str]:
    """Names of the runs in training but the one that is shown."""
    return [
        name
        for name, path in runs.offered().items()
        if (run is None or path != run.path) and _is_live(path)
    ]


def _is_live(path: str) -> bool:
    try:
        return runs.is_live(runs.key(path))
    except runs.RockError:
        return False
