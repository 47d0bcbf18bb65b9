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

from app.data import children, runs
from app.data.children import CannotStart, can_train
from app.data.runs import RunKey
from rockcore import config
from rockcore.config import ARM_SETTINGS, OWN_PAIR, TUNED, Setting, free_folder
from rockcore.log import request_stop
from rockcore.schema import RockError

__all__ = ["CannotStart", "can_train", "request_stop"]

_SHARE = 0.2  # of one core, at most, on average
_RUNS = Path("runs")  # where a page lets its trainings write


class Watched(NamedTuple):
    """A training as its page shows it: the log once there is one, whether to look again, and what
    it printed.
    """

    run: RunKey | None
    running: bool
    line: str
    output: str


def start_training(settings: Mapping[str, Any], name: str) -> Path:
    """Start a training that writes to ./runs/NAME, with settings by their names in SessionConfig.
    Raises CannotStart if that cannot be.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise CannotStart(
            f"{name!r} is no name for a folder",
            "Runs started here go to ./runs/NAME",
            "Use letters, digits and dashes",
        )
    children.start(settings, _RUNS / name)
    return _RUNS / name


def asked_for() -> list[Setting]:
    """The settings that a form asks for; all others are for the command line."""
    return [setting for setting in config.settings() if setting.in_form]


def arms() -> dict[str, bool]:
    """The arms of a training, each with whether it needs a set."""
    return {arm: "rocks" in used for arm, used in ARM_SETTINGS.items()}


def about(name: str) -> str:
    """What the command line says of a setting."""
    return next(setting.help for setting in config.settings() if setting.name == name)


def pair() -> list[Setting]:
    """What names an own pair."""
    return [setting for setting in config.settings() if setting.name in children.PAIR]


def defaults(scenario: str) -> dict[str, Any]:
    """What a setting left empty stands for; "" is an own pair."""
    return config.defaults() | (TUNED[scenario] if scenario else OWN_PAIR)


def free_name(scenario: str) -> str:
    """A name under ./runs that is not taken yet."""
    return free_folder(scenario or "own").name


def trainings() -> list[str]:
    """Names under ./runs that were started from a page, the latest first."""
    outputs = sorted(_RUNS.glob(f"*/{children.OUTPUT}"), key=_written_at, reverse=True)
    return [f.parent.name for f in outputs]


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # its folder is being deleted
        return 0.0


def cancel_training(name: str) -> None:
    """End a training that is still loading its models."""
    children.cancel(_RUNS / name)


def name_in_sidebar(run: RunKey) -> str:
    """How the sidebar calls a run, which is not the name of its folder where two have the same."""
    return next((name for name, path in runs.offered().items() if path == run.path), "")


def watch(name: str) -> Watched:
    """How the training in ./runs/NAME stands."""
    folder = _RUNS / name
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
    return Watched(run, claims and code is None, line, printed)


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
