"""Trainings started from a page: child processes `python -m rockcore train …` that outlive it.
Reached through app.data.

The page never imports torch; the child prints into output.txt of its run's folder, and the log it
writes is the rest.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rockcore.config import SessionConfig, flag_of
from rockcore.interventions import load_set
from rockcore.log.folders import STDOUT
from rockcore.schema import RockError
from rockcore.spelling import printable

OUTPUT = STDOUT
_ROOT = Path(__file__).resolve().parents[2]
PAIR = ("student", "teacher", "prompts")
_MOST_ENDED = 100
# of this server; a training started by an earlier one is in neither
_children: dict[Path, subprocess.Popen[bytes]] = {}  # that run
_ended: OrderedDict[Path, int] = OrderedDict()  # the exit codes of those that ended last
_lock = threading.Lock()


class CannotStart(RockError, ValueError):
    """The training was not started."""


def flags(settings: Mapping[str, Any]) -> list[str]:
    """The arguments of `rockcore train` for settings by their names in SessionConfig; what is empty
    is left away.
    """
    given = {name: value for name, value in settings.items() if value not in ("", None)}
    return [f"{flag_of(name)}={value}" for name, value in given.items()]


def can_train() -> bool:
    return importlib.util.find_spec("torch") is not None


def start(settings: Mapping[str, Any], folder: Path) -> None:
    """Start the training that writes its run to `folder`; raises CannotStart if the folder is taken
    or a setting is missing, BadConfig if one cannot work, BadRockSet, BadRule or BadIntervention if
    the set cannot.
    """
    if any(name in settings for name in PAIR) and not all(settings.get(name) for name in PAIR):
        raise CannotStart(
            "Student, teacher or prompts are not given",
            "An own pair needs all three",
            "Fill in the three fields",
        )
    given = {name: value for name, value in settings.items() if value not in ("", None)}
    given |= {name: Path(given[name]) for name in ("prompts", "rocks") if name in given}
    # what is wrong is told here, not by a process that has died
    config = SessionConfig(**given)
    config.refuse_unused()
    config.resolved()
    if config.rocks is not None:
        load_set(config.rocks)
    command = [sys.executable, "-m", "rockcore", "train", "--out", str(folder.resolve())]
    command += flags(settings)
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CannotStart(
                f"{folder} already holds files",
                "A new run would mix with them",
                "Choose another name",
            )
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / OUTPUT).open("wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,  # Ctrl-C on the dashboard leaves it training
            )
    except OSError as e:
        raise CannotStart(
            f"{folder} cannot be written ({e.strerror})",
            "The log needs a place",
            "Start the dashboard in a folder you may write to",
        ) from e
    with _lock:
        _children[folder.resolve()] = child
        _ended.pop(folder.resolve(), None)


def _sweep() -> None:
    """Let go of the processes that have ended; of the last of them the exit codes are kept."""
    with _lock:
        for folder, child in list(_children.items()):
            if (code := child.poll()) is not None:
                del _children[folder]
                _ended[folder] = code
        while len(_ended) > _MOST_ENDED:
            _ended.popitem(last=False)


def exit_code(folder: Path) -> int | None:
    """The exit code of a training this server started and that has ended; None otherwise."""
    _sweep()
    return _ended.get(folder.resolve())


def cancel(folder: Path) -> None:
    """End a training that has not begun to log, and so cannot see a request to stop."""
    child = _children.get(folder.resolve())
    if child is not None and child.poll() is None:
        child.terminate()


def is_alive(folder: Path) -> bool:
    """Whether a training that this server started is still there."""
    _sweep()
    return folder.resolve() in _children


def started() -> list[Path]:
    """The folders of the trainings that this server started: all that run, and the last that
    ended.
    """
    with _lock:
        return [*_ended, *_children]


def output(folder: Path, lines: int = 20) -> str:
    """The last lines that the training printed; a progress bar's overwritten lines are left out."""
    try:
        with (folder / OUTPUT).open("rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 20_000))
            text = f.read().decode("utf-8", errors="replace")
    except OSError:  # none yet, or the folder is gone
        return ""
    kept = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    return printable("\n".join(line for line in kept[-lines:] if line.strip()))
