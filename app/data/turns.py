"""Whose turn it is: some trainings run at once, the rest wait in a queue. Reached through
app.data.trainings.

The queue is kept by this server alone: what waits when it ends is not started.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app import access
from app.data import children
from app.data.children import OUTPUT, CannotStart
from rockcore.config import SessionConfig, refuse_beyond_form
from rockcore.interventions import load_set
from rockcore.log.holders import holder_of

PAIR = ("student", "teacher", "prompts")
MOST_WAITING, _MOST_IN_VAIN = 20, 100
_waiting: OrderedDict[Path, list[str]] = OrderedDict()  # the commands of those whose turn will come
_in_vain: OrderedDict[Path, str] = OrderedDict()  # why, of those whose turn came for nothing
_lock = threading.Lock()
_LOOK_S = 2.0  # between two looks at a training that is no child of this server
_pause = threading.Event()  # never set


def start(settings: Mapping[str, Any], folder: Path) -> None:
    """Start the training that writes its run to `folder`, or put it into the queue where as many
    run as may.

    Raises Refused for a visitor who may not act, CannotStart if the folder is taken, a setting is
    missing or the queue is full, BadConfig if a setting cannot work, BadRockSet, BadRule or
    BadIntervention if the set cannot.
    """
    access.require("Starting a training")
    _refuse_wrong(settings)
    enqueue(children.command_of(settings, folder.resolve()), folder, "Starting a training")


def enqueue(command: list[str], folder: Path, what: str) -> None:
    """Start a process that writes its run to `folder`, or put it into the queue where as many run
    as may. `what`: is done, in words.

    Raises Refused for a visitor who may not act, CannotStart if the folder is taken or the queue is
    full.
    """
    access.require(what)
    folder = folder.resolve()
    with _lock:
        _refuse_taken(folder)
        _in_vain.pop(folder, None)
        if not _waiting and _has_room(_strangers(folder.parent)):
            _launch(command, folder)
        elif len(_waiting) < MOST_WAITING:
            _waiting[folder] = command
            _let_in(folder.parent)
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
    children.refuse_taken(folder)


def _launch(command: list[str], folder: Path) -> None:
    _call_after(folder, children.launch(command, folder).wait)


def _has_room(strangers: list[Path]) -> bool:
    return len(children.running()) + len(strangers) < access.terms().trainings


def _strangers(runs: Path) -> list[Path]:
    """Where in a folder of runs a training goes on that another dashboard had started."""
    own = children.running()
    folders = (file.parent.resolve() for file in runs.glob(f"*/{OUTPUT}"))
    holders = {folder: holder_of(folder) for folder in folders if folder not in own}
    return [folder for folder, holder in holders.items() if holder is not None and holder.alive]


def _wait_for_lock(folder: Path) -> None:
    while (holder := holder_of(folder)) is not None and holder.alive:
        _pause.wait(_LOOK_S)


def _call_after(folder: Path, ends: Callable[[], object]) -> None:
    """Once the training in `folder` has ended, start those whose turn it is then."""

    def wait() -> None:
        ends()
        _start_next(folder.parent)

    name, own = f"waits for {folder}", threading.current_thread()
    if all(thread.name != name or thread is own for thread in threading.enumerate()):
        threading.Thread(target=wait, name=name, daemon=True).start()


def _start_next(runs: Path) -> None:
    with _lock:
        _let_in(runs)


def _let_in(runs: Path) -> None:
    """Start those whose turn it is. Where some still wait, the end of every training is waited for:
    another dashboard may have begun one meanwhile, which would never tell this one.
    """
    while _waiting:
        strangers = _strangers(runs)
        if not _has_room(strangers):
            for stranger in strangers:
                _call_after(stranger, lambda stranger=stranger: _wait_for_lock(stranger))
            return
        folder, command = _waiting.popitem(last=False)
        try:
            _launch(command, folder)
        except CannotStart as e:
            _in_vain[folder] = str(e)
            if len(_in_vain) > _MOST_IN_VAIN:
                _in_vain.popitem(last=False)


def why_it_never_began(folder: Path) -> str | None:
    """What stood in the way when the turn of a waiting training came; None where nothing did."""
    return _in_vain.get(folder.resolve())


def waiting() -> list[Path]:
    """The folders of the trainings in the queue, the next one first."""
    with _lock:
        return list(_waiting)


def cancel(folder: Path) -> None:
    """Take a training out of the queue, or end one that has not begun to log, and so cannot see a
    request to stop. Raises Refused for a visitor who may not act.
    """
    access.require("Cancelling a training")
    folder = folder.resolve()
    with _lock:
        if _waiting.pop(folder, None) is None:
            children.terminate(folder)
