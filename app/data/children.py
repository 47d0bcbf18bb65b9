"""Trainings started from a page: child processes `python -m rockcore train …` that outlive it, some
at once, the rest in a queue. Reached through app.data.

The page never imports torch; the child prints into output.txt of its run's folder, and the log it
writes is the rest. The queue is kept by this server alone: what waits when it ends is not started.
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

from app import access
from rockcore.config import SessionConfig, flag_of, refuse_beyond_form
from rockcore.interventions import load_set
from rockcore.log.folders import STDOUT
from rockcore.schema import RockError
from rockcore.spelling import printable

OUTPUT = STDOUT
_ROOT = Path(__file__).resolve().parents[2]
PAIR = ("student", "teacher", "prompts")
_MOST_ENDED, _MOST_WAITING = 100, 20
# of this server; a training started by an earlier one is in none of these
_children: dict[Path, subprocess.Popen[bytes]] = {}  # that run
_waiting: OrderedDict[Path, list[str]] = OrderedDict()  # the commands of those whose turn will come
_ended: OrderedDict[Path, int] = OrderedDict()  # the exit codes of those that ended last
_never_began: OrderedDict[Path, str] = OrderedDict()  # why, of those whose turn came in vain
_lock = threading.RLock()


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


def start(settings: Mapping[str, Any], folder: Path) -> None:
    """Start the training that writes its run to `folder`, or put it into the queue where as many
    run as may.

    Raises Refused for a visitor who may not act, CannotStart if the folder is taken, a setting is
    missing or the queue is full, BadConfig if a setting cannot work, BadRockSet, BadRule or
    BadIntervention if the set cannot.
    """
    access.require("Starting a training")
    _refuse_wrong(settings)
    folder = folder.resolve()
    command = command_of(settings, folder)
    with _lock:
        _sweep()
        _refuse_taken(folder)
        _never_began.pop(folder, None)
        if not _waiting and len(_children) < access.terms().trainings:
            _launch(command, folder)
        elif len(_waiting) < _MOST_WAITING:
            _waiting[folder] = command
        else:
            raise CannotStart(
                f"{len(_waiting)} trainings are waiting already",
                "A longer queue would be forgotten before its turn",
                "Take some out of it, or wait until one has ended",
            )


def _refuse_wrong(settings: Mapping[str, Any]) -> None:
    """What is wrong is told here, not by a process that has died."""
    if any(name in settings for name in PAIR) and not all(settings.get(name) for name in PAIR):
        raise CannotStart(
            "Student, teacher or prompts are not given",
            "An own pair needs all three",
            "Fill in the three fields",
        )
    given = {name: value for name, value in settings.items() if value not in ("", None)}
    given |= {name: Path(given[name]) for name in ("prompts", "rocks") if name in given}
    config = SessionConfig(**given)
    config.refuse_unused()
    refuse_beyond_form(config)
    config.resolved()
    if config.rocks is not None:
        load_set(config.rocks)


def _refuse_taken(folder: Path) -> None:
    if folder in _waiting:
        raise CannotStart(
            f"A training that will write {folder} is waiting",
            "A second one would mix with it",
            "Choose another name",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CannotStart(
            f"{folder} already holds files",
            "A new run would mix with them",
            "Choose another name",
        )


def _launch(command: list[str], folder: Path) -> None:
    """Start the process. Raises CannotStart if its folder is taken, or cannot be written."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    try:
        _refuse_taken(folder)
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
    _children[folder] = child
    _ended.pop(folder, None)
    name = f"waits for {folder.name}"
    threading.Thread(target=_start_next_after, args=(child,), name=name, daemon=True).start()


def _start_next_after(child: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a training, and start those whose turn it is then."""
    child.wait()
    with _lock:
        _sweep()
        while _waiting and len(_children) < access.terms().trainings:
            folder, command = _waiting.popitem(last=False)
            try:
                _launch(command, folder)
            except CannotStart as e:
                _never_began[folder] = str(e)


def _sweep() -> None:
    """Let go of the processes that have ended; of the last of them the exit codes are kept."""
    with _lock:
        for folder, child in list(_children.items()):
            if (code := child.poll()) is not None:
                del _children[folder]
                _ended[folder] = code
        for remembered in (_ended, _never_began):
            while len(remembered) > _MOST_ENDED:
                remembered.popitem(last=False)


def exit_code(folder: Path) -> int | None:
    """The exit code of a training this server started and that has ended; None otherwise."""
    _sweep()
    return _ended.get(folder.resolve())


def why_it_never_began(folder: Path) -> str | None:
    """What stood in the way when the turn of a waiting training came; None where nothing did."""
    return _never_began.get(folder.resolve())


def waiting() -> list[Path]:
    """The folders of the trainings in the queue, the next one first."""
    with _lock:
        return list(_waiting)


def running() -> list[Path]:
    """The folders of the trainings of this server that run."""
    _sweep()
    with _lock:
        return list(_children)


def cancel(folder: Path) -> None:
    """Take a training out of the queue, or end one that has not begun to log, and so cannot see a
    request to stop. Raises Refused for a visitor who may not act.
    """
    access.require("Cancelling a training")
    folder = folder.resolve()
    with _lock:
        if _waiting.pop(folder, None) is None and (child := _children.get(folder)) is not None:
            child.terminate()


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
        with (folder / OUTPUT).open("rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 20_000))
            text = f.read().decode("utf-8", errors="replace")
    except OSError:  # none yet, or the folder is gone
        return ""
    kept = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    return printable("\n".join(line for line in kept[-lines:] if line.strip()))
