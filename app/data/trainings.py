"""The door to trainings: those started from a page, and those that a page follows while they run.

Reading only ever opens finished files, so a training never waits for it. But both share the cores:
what a look costs is measured, and the next one is put off until it is a small share of the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from app import access
from app.data import children, demo, imports, runs, turns
from app.data.children import CannotStart, can_train
from app.data.demo import is_demo_there, reset_demo, start_demo
from app.data.orders import RUNS, asked_for, offered, start_training
from app.data.runs import RunKey
from rockcore import config, log
from rockcore.analysis.course import Progress
from rockcore.analysis.expected import Expected, expected
from rockcore.config import (
    ARM_SETTINGS,
    OWN_PAIR,
    TUNED,
    SessionConfig,
    Setting,
    free_folder,
)
from rockcore.schema import RockError

__all__ = [
    "CannotStart",
    "Expected",
    "Progress",
    "asked_for",
    "can_train",
    "is_demo_there",
    "offered",
    "reset_demo",
    "start_demo",
    "start_training",
]

DEMO, OF_DEMO = demo.NAME, demo.SETTINGS
_MOST_TIMED = 5  # of the last trainings, when a duration is reckoned
_SHARE = 0.2  # of one core, at most, on average


class Watched(NamedTuple):
    """A training as its page shows it: the log once there is one, whether to look again, and what
    it printed. `place`: in the queue, from 1; None for one that has left it. `stopping`: it was
    asked to end, and has not ended yet.
    """

    run: RunKey | None
    running: bool
    line: str
    output: str
    place: int | None = None
    stopping: bool = False


def request_stop(run: RunKey) -> None:
    """Ask a training to end after its current step. Raises Refused for a visitor who may not act,
    RunNotFound for a run that is not among those offered.
    """
    access.require("Stopping a training")
    if run.path not in runs.offered().values():
        raise runs.RunNotFound(
            f"{Path(run.path).name} is not among the runs here",
            "Only they can be stopped from a page",
            "Open the run in the sidebar",
        )
    log.request_stop(run.path)


def arms() -> dict[str, bool]:
    """The arms of a training, each with whether it needs a set."""
    return {arm: "rocks" in used for arm, used in ARM_SETTINGS.items()}


def about(name: str) -> str:
    """What the command line says of a setting."""
    return next(setting.help for setting in config.settings() if setting.name == name)


def pair() -> list[Setting]:
    """What names an own pair."""
    return [setting for setting in config.settings() if setting.name in turns.PAIR]


def defaults(scenario: str) -> dict[str, Any]:
    """What a setting left empty stands for; "" is an own pair."""
    return config.defaults() | (TUNED[scenario] if scenario else OWN_PAIR)


def free_name(scenario: str) -> str:
    """A name under ./runs that is not taken yet, by a training in the queue neither."""
    return free_folder(scenario or "own", queue()).name


def expect(settings: Mapping[str, Any]) -> Expected | None:
    """How long a training with these settings will take, by the last that was trained here in this
    scenario, else by the bundled run; None where neither says, or a setting cannot work.
    """
    given = {name: value for name, value in settings.items() if value not in ("", None)}
    whole = {name: int(v) for name, v in given.items() if isinstance(v, float) and v.is_integer()}
    try:
        plan = SessionConfig(**{**given, **whole}).resolved()
    except RockError:
        return None
    for run in _timed(str(settings.get("scenario", ""))):
        if (found := expected(runs.log(run), plan)) is not None:
            return found
    return None


def _timed(scenario: str) -> Iterator[RunKey]:
    """The finished runs to reckon from, the best first."""
    folders = [RUNS / name for name in trainings()[:_MOST_TIMED] if name != demo.NAME]
    if scenario:
        folders.append(log.sample_runs() / scenario)
    for folder in folders:
        try:
            run = runs.key(str(folder.resolve()))
        except RockError:
            continue
        meta = runs.log(run).meta
        if meta.status == "finished" and meta.scenario == scenario:
            yield run


def queue() -> list[str]:
    """Names of the trainings and imports that wait for their turn, the next one first."""
    return [folder.name for folder in turns.waiting()]


def at_once() -> int:
    """How many trainings may run at a time."""
    return access.terms().trainings


def trainings() -> list[str]:
    """Names under ./runs that were trained from a page, the latest first, then those that wait. Who
    may only look is told of those that the sidebar offers, or that this server has started.
    """
    outputs = sorted(RUNS.glob(f"*/{children.OUTPUT}"), key=_written_at, reverse=True)
    folders = [file.parent for file in outputs]
    if not access.may_act():
        shown = {*map(Path, runs.offered().values()), *children.started()}
        folders = [folder for folder in folders if folder.resolve() in shown]
    names = dict.fromkeys([*(folder.name for folder in folders), *queue()])
    return [name for name in names if name not in imports.imports()]


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # its folder is being deleted
        return 0.0


def cancel_training(name: str) -> None:
    """Take a training out of the queue, or end one that is still loading its models. Raises Refused
    for a visitor who may not act.
    """
    turns.cancel(RUNS / name)


def name_in_sidebar(run: RunKey) -> str:
    """How the sidebar calls a run, which is not the name of its folder where two have the same."""
    return next((name for name, path in runs.offered().items() if path == run.path), "")


def watch(name: str) -> Watched:
    """How the training in ./runs/NAME stands."""
    folder = RUNS / name
    if name in (waiting := queue()):
        return _waiting(waiting.index(name) + 1, len(waiting))
    if (why := turns.why_it_never_began(folder)) is not None:
        return Watched(None, False, f"Its turn came, and it could not be started: {why}", "")
    code, alive = children.exit_code(folder), children.is_alive(folder)
    printed = children.output(folder)
    if not (folder / "run.json").exists():
        return Watched(None, alive, _without_a_log(code, alive), printed)
    try:
        run = runs.key(str(folder.resolve()))
        line, claims = runs.status(run), runs.log(run).meta.status == "running"
    except RockError as e:
        return Watched(None, alive, str(e), printed)
    if claims and code is not None:
        line = (
            f"Its process ended with exit code {code} without a word in the log. Every finished "
            "step is there."
        )
    running = claims and code is None
    stopping = running and log.is_stop_requested(folder)
    return Watched(run, running, line, printed, stopping=stopping)


def _waiting(place: int, of: int) -> Watched:
    line = (
        f"Waiting, place {place} of {of} in the queue: {at_once()} may train at a time. It starts "
        "by itself, also when no browser looks; if the dashboard ends before its turn, it does not."
    )
    return Watched(None, True, line, "", place)


def _without_a_log(code: int | None, alive: bool) -> str:
    if code is not None:
        return (
            f"It ended with exit code {code} before it wrote a log; the reason should stand below."
        )
    if alive:
        return "Starting: nothing logged yet."
    return "Nothing logged. It was started by an earlier dashboard and may have died."


@dataclass
class _Look:
    run: RunKey
    again: float = 0.0  # when a newer one may be taken, on the monotonic clock
    lock: threading.Lock = field(default_factory=threading.Lock)  # sessions share a look


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
    with look.lock:
        fresh = started >= look.again
        if fresh:
            look.run = runs.key(run.path)
        state = look.run
    yield state
    if fresh:
        now = time.monotonic()
        with look.lock:
            look.again = max(look.again, now + (now - started) * (1 / _SHARE - 1))


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
    except RockError:
        return False
