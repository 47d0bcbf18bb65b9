"""Trainings and imports started from a page: child processes `python -m rockcore train …` that
outlive it. Reached through app.data; whose turn it is stands in app.data.turns.

The page never imports torch; the child prints into output.txt of its run's folder, and the log it
writes is the rest.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rockcore.config import flag_of
from rockcore.log.folders import STDOUT
from rockcore.log.holders import PLAIN
from rockcore.schema import RockError
from rockcore.spelling import printable

OUTPUT = STDOUT
_ROOT = Path(__file__).resolve().parents[2]
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


def command_of(settings: Mapping[str, Any], folder: Path) -> list[str]:
    """What is called to train."""
    return [sys.executable, "-m", "rockcore", "train", "--out", str(folder), *flags(settings)]


def can_train() -> bool:
    return importlib.util.find_spec("torch") is not None


def refuse_taken(folder: Path) -> None:
    """Raises CannotStart for a folder in which a new run would not be alone."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CannotStart(
            f"{folder} already holds files",
            "A new run would mix with them",
            "Choose another name",
        )


def launch(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start the process that trains into `folder`. Raises CannotStart if that is taken, or cannot
    be written.
    """
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    try:
        refuse_taken(folder)
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
        _children[folder] = child
        _ended.pop(folder, None)
    return child


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


def running() -> list[Path]:
    """The folders of the trainings of this server that run."""
    _sweep()
    with _lock:
        return list(_children)


def terminate(folder: Path) -> None:
    """End a training that has not begun to log, and so cannot see a request to stop."""
    if (child := _children.get(folder)) is not None:
        child.terminate()


def kill(folder: Path) -> None:
    """End a training of this server at once, and wait until it has ended."""
    if (child := _children.get(folder)) is not None:
        child.kill()
        child.wait()


def is_alive(folder: Path) -> bool:
    """Whether a training that this server started is still there."""
    return folder.resolve() in running()


def started() -> list[Path]:
    """The folders of the trainings that this server started: all that run, and the last that
    ended.
    """
    with _lock:
        return [*_ended, *_children]


def output(folder: Path, lines: int = 20) -> str:
    """The last lines that the training printed; a progress bar's overwritten lines are left out."""
    try:
        with os.fdopen(os.open(folder / OUTPUT, os.O_RDONLY | PLAIN), "rb") as f:
            state = os.fstat(f.fileno())
            if not stat.S_ISREG(state.st_mode):  # a pipe has no end, and may have no beginning
                return ""
            f.seek(max(0, state.st_size - 20_000))
            text = f.read(20_000).decode("utf-8", errors="replace")
    except OSError:  # none yet, the folder is gone, or it is a link to another file
        return ""
    kept = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    return printable("\n".join(line for line in kept[-lines:] if line.strip()))
