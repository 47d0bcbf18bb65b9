"""The one door from the pages to rockcore: each function answers one question about a run, cached
and bounded.

Caches are keyed by (path, fingerprint, arguments): a run that is still training gets new answers as
soon as it has written something, and nothing else is ever recomputed. Raises RockError where
rockcore does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from app import words
from app.data import children
from app.data.children import CannotStart, Order, can_train
from rockcore import schema
from rockcore.analysis import signals
from rockcore.analysis.signals import QUANTILES, SIGNED_QUANTILES, Scale
from rockcore.categories import categories_of
from rockcore.config import OWN_PAIR, TUNED
from rockcore.log import Run, find_runs, request_stop, sample_runs
from rockcore.rocks.ranking import rank
from rockcore.schema import RockError, RunMeta
from rockcore.world import SCENARIOS

__all__ = [
    "QUANTILES",
    "SCENARIOS",
    "SIGNED_QUANTILES",
    "CannotStart",
    "Order",
    "RockError",
    "Scale",
    "can_train",
    "request_stop",
]

# Float columns of the log that are signals.
SIGNALS = ("kl", "sampled_loss", "student_entropy", "teacher_entropy", "grad_norm")
SOURCES = ("fresh", *schema.PROBE_SETS)
_SILENT_S = 600  # a run without a step for so long is not counted as training


class RunKey(NamedTuple):
    """A run in one state of its files: the first argument of every cached question."""

    path: str
    fingerprint: str


def places(arguments: list[str]) -> list[Path]:
    """Where to look for runs: what the command line names, else the bundled runs and ./runs."""
    return [*([Path(a) for a in arguments] or [sample_runs(), Path("runs")]), *children.started()]


def find(where: list[Path]) -> dict[str, str]:
    """Name -> path of each run; a place that holds none stands for itself, so that opening it says
    what is wrong.
    """
    paths: list[Path] = []
    for place in where:
        optional = place in (sample_runs(), Path("runs"), *children.started())
        paths += find_runs([place]) or ([] if optional else [place.resolve()])
    paths = list(dict.fromkeys(paths))
    names = [p.name for p in paths]
    return {str(p) if names.count(p.name) > 1 else p.name: str(p) for p in paths}


def offered() -> dict[str, str]:
    """Name -> path of the runs that the sidebar offers."""
    return find(places(sys.argv[1:]))


def opened_first(found: dict[str, str]) -> str:
    return "habit" if "habit" in found else next(iter(found))


def key(path: str) -> RunKey:
    """Raises RockError if there is no readable run at `path`."""
    return RunKey(path, Run.open(path).fingerprint())


@st.cache_resource(max_entries=16, show_spinner=False)
def log(run: RunKey) -> Run:
    """The run of a key; opening it looks at every file, which takes milliseconds, once."""
    return Run.open(run.path)


def short_path(run: RunKey) -> str:
    """The folder of a run as it would be typed from where the dashboard was started."""
    path = Path(run.path)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@dataclass(frozen=True)
class Facts:
    """What the first page says about a run."""

    meta: RunMeta
    summary: str  # one sentence on the scenario; empty for other prompts
    metrics: pd.DataFrame
    evals: pd.DataFrame
    logged: list[int]  # the steps whose tokens are logged; metrics exist for all

    @property
    def tokens(self) -> int:
        """Tokens in the log."""
        return int(self.metrics.tokens[self.metrics.step.isin(self.logged)].sum())

    @property
    def generated(self) -> int:
        """Tokens that the student wrote on training prompts, logged or not."""
        return int(self.metrics.tokens.sum())

    @property
    def estimator(self) -> str:
        """The badge of every chart: what kl is, its direction, its unit."""
        kind = {
            "full": "full vocabulary, reverse, nats",
            "topk+tail": "top-k with tail, reverse, nats",
        }
        return f"kl: {kind.get(self.meta.estimator, 'not logged')}"


@st.cache_data(max_entries=16, show_spinner=False)
def facts(run: RunKey) -> Facts:
    """The metrics carry low, high: mean kl ± 1.96 standard errors over rollouts."""
    opened = log(run)
    metrics = opened.metrics().sort_values("step", ignore_index=True)
    metrics = metrics.assign(
        low=(metrics.kl_mean - 1.96 * metrics.kl_stderr).clip(lower=0),
        high=metrics.kl_mean + 1.96 * metrics.kl_stderr,
    )
    scenario = SCENARIOS.get(opened.meta.scenario)
    return Facts(
        opened.meta, scenario.summary if scenario else "", metrics, opened.evals(), opened.steps()
    )


def status(run: RunKey) -> str:
    """One line: running and when it last wrote, or how it ended and why. Not cached: it ages."""
    opened = log(run)
    meta, age = opened.meta, words.duration(opened.age_s())
    if meta.status != "running":
        return f"{meta.status}{f': {meta.reason}' if meta.reason else ''} · last written {age} ago"
    steps = opened.steps("metrics")
    silent = (
        ""
        if opened.age_s() < _SILENT_S
        else " · nothing for long: the process that trains it may have died"
    )
    stands = f"step {steps[-1]} of {meta.steps_planned}" if steps else "no step finished yet"
    return f"running: {stands} · last written {age} ago{silent}"


def is_live(run: RunKey) -> bool:
    """Whether the run is in training and has been heard of lately."""
    opened = log(run)
    return opened.meta.status == "running" and opened.age_s() < _SILENT_S


@st.cache_data(max_entries=64, show_spinner=False)
def steps(run: RunKey, source: str = "fresh") -> list[int]:
    """The steps at which a trace of `source` can be shown."""
    return log(run).steps(table(source))


def table(source: str) -> str:
    """The table of the log that holds the tokens of `source`."""
    return "tokens" if source == "fresh" else f"probe/{source}"


def probe_set(source: str) -> str | None:
    """The probe set that a source names; None for fresh rollouts."""
    return None if source == "fresh" else source


@st.cache_data(max_entries=32, show_spinner=False)
def ranking(run: RunKey, step: int) -> pd.DataFrame:
    """rocks.rank at a step, plus `rank` from 1 and `shown`, the token with visible whitespace."""
    frame = rank(log(run), step)
    return frame.assign(
        rank=np.arange(1, len(frame) + 1), shown=[words.visible(t) for t in frame.token]
    )


class Concentration(NamedTuple):
    top: int
    types: int
    tokens: int
    token_share: float
    kl_share: float
    gradient_share: float | None  # of the summed gradient norm; None where it is not logged


def concentration(run: RunKey, step: int, top: int) -> Concentration:
    """How much of a step's tokens, of their kl and of their gradient norm falls on the `top` token
    types by Rock Score.
    """
    frame = ranking(run, step)
    head = frame.head(top)
    tokens = int(frame.frequency.sum())
    norm = frame.grad_norm_sum.sum(skipna=False)
    gradient = float(head.grad_norm_sum.sum() / norm) if norm > 0 else None
    return Concentration(
        len(head),
        len(frame),
        tokens,
        head.frequency.sum() / max(tokens, 1),
        head.share.sum(),
        gradient,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def rollouts(run: RunKey, source: str, step: int) -> pd.DataFrame:
    """rollout_id and `hint` of each text: graded how, how long, how far from the teacher."""
    opened = log(run)
    texts = opened.rollouts(step if source == "fresh" else None, probe_set(source))
    frame = texts.merge(opened.rollout_sums(step, probe_set(source)), on="rollout_id")
    graded = ["not graded" if pd.isna(c) else "correct" if c else "wrong" for c in frame.correct]
    cut = [", cut at the limit" if c else "" for c in frame.truncated.fillna(False)]
    loss = ["" if pd.isna(m) else f", mean kl {m:.3f} nats" for m in frame.kl_mean]
    hints = [
        f"{r} · {g}, {n} tokens{t}{m}"
        for r, g, n, t, m in zip(frame.rollout_id, graded, frame.tokens, cut, loss, strict=True)
    ]
    return pd.DataFrame({"rollout_id": frame.rollout_id, "hint": hints})


@st.cache_data(max_entries=64, show_spinner=False)
def scale(run: RunKey, signal: str) -> Scale:
    """The colour scale of a signal, the same for every text of the run."""
    return signals.scale(log(run), signal)


def meaning(signal: str) -> str:
    """The sentence of the log's schema on a signal."""
    return schema.TOKENS[signal].meaning


def categories(run: RunKey) -> list[str]:
    """The names that the categories of a trace count through."""
    return list(categories_of(log(run).category_rules))


class Watched(NamedTuple):
    """A training as its page shows it: the log once there is one, whether to look again, and what
    it printed.
    """

    run: RunKey | None
    running: bool
    line: str
    output: str


def start_training(order: Order, name: str) -> Path:
    """Start a training that writes to ./runs/NAME; raises CannotStart if that cannot be."""
    if not name or Path(name).name != name or name.startswith("."):
        raise CannotStart(
            f"{name!r} is no name for a folder",
            "Runs started here go to ./runs/NAME",
            "Use letters, digits and dashes",
        )
    children.start(order, Path("runs") / name)
    return Path("runs") / name


def defaults(scenario: str) -> dict[str, float | int]:
    """What a field left empty stands for: steps, rollouts, lr; "" is an own pair."""
    return TUNED[scenario] if scenario else OWN_PAIR


def free_name(scenario: str) -> str:
    """A name under ./runs that is not taken yet."""
    return next(
        name
        for i in range(1, 10_000)
        if not (Path("runs") / (name := f"{scenario or 'own'}-{i}")).exists()
    )


def trainings() -> list[str]:
    """Names under ./runs that were started from a page, the latest first."""
    outputs = sorted(
        Path("runs").glob(f"*/{children.OUTPUT}"), key=lambda f: f.stat().st_mtime, reverse=True
    )
    return [f.parent.name for f in outputs]


def cancel_training(name: str) -> None:
    """End a training that is still loading its models."""
    children.cancel(Path("runs") / name)


def watch(name: str) -> Watched:
    """How the training in ./runs/NAME stands."""
    folder = Path("runs") / name
    code, alive, printed = (
        children.exit_code(folder),
        children.is_alive(folder),
        children.output(folder),
    )
    if not (folder / "run.json").exists():
        ended = (
            f"It ended with exit code {code} before it wrote a log; the reason should stand below."
            if code is not None
            else ""
        )
        waiting = (
            "Starting: nothing logged yet."
            if alive
            else "Nothing logged. It was started by an earlier dashboard and may have died."
        )
        return Watched(None, alive, ended or waiting, printed)
    try:
        run = key(str(folder.resolve()))
        line, claims = status(run), log(run).meta.status == "running"
    except RockError as e:
        return Watched(None, alive, str(e), printed)
    if claims and code is not None:
        line = f"Its process ended with exit code {code} without a word in the log. Every finished step is there."
    return Watched(run, claims and code is None, line, printed)
