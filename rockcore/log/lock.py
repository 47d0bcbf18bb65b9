"""The lock of a folder that one process at a time may write: a run, or a comparison of arms.

It ends with its process, and is taken away when the work is done; one that is left behind is taken
over. Whoever writes under it asks before each file whether the folder is still the one that was
locked, so nothing is put where a deleted or renamed folder was. Where machines share a folder but
no locks, two that begin at the same instant are not told apart.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from rockcore.log.folders import META, STOP
from rockcore.log.holders import (
    LOCK,
    PLAIN,
    SILENT_S,
    Holder,
    lock_now,
    named_in,
    this_host,
    write_words,
)
from rockcore.schema import LogWriteError, RockError, RunMeta

BEAT_S = 15.0
PATIENCE_S = 3.0  # a process that was just killed takes a moment to go, one that asks a shorter one
_LOOK_EVERY_S = 0.05
_DOING = {
    "training": ("trains it", "Two of them would write one log"),
    "scoring": ("scores its texts", "Two of them would write one log"),
    "screen": ("screens its student", "Student and answers have to stay as they are until then"),
    "import": ("imports into it", "Two of them would write one run"),
    "arms": ("trains its runs, or what it started does,", "Two of them would write the same runs"),
}


class FolderInUse(RockError, RuntimeError):
    """Another process writes this folder."""


class RunGone(LogWriteError):
    """The folder that was being written was deleted, renamed, or is another's now."""


class Lock:
    """A lock that this process holds, until `release`; children that inherit `fd` hold it too."""

    def __init__(self, folder: Path, fd: int, former: Holder | None):
        self.folder, self.fd, self.former = folder, fd, former
        self._mine = _identity(os.fstat(fd))
        self._released = threading.Event()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def check(self) -> None:
        """Raises RunGone unless the folder is there and still the one that was locked."""
        try:
            there = _identity(os.stat(self.folder / LOCK, follow_symlinks=False))
        except OSError as e:
            raise vanished(self.folder, f"its {LOCK} is missing: {e.strerror}") from e
        if there != self._mine:
            raise vanished(self.folder, f"its {LOCK} is another's")

    def release(self) -> None:
        """Give the folder free. The file goes with the lock, unless run.json still says that the
        run is in training: then nothing else tells that it is not.
        """
        self._released.set()
        if os.name == "nt":  # there no file is deleted that is open
            os.close(self.fd)
        with suppress(OSError):
            self.check()
            if not _says_running(self.folder / META):
                os.unlink(self.folder / LOCK)
        if os.name != "nt":
            os.close(self.fd)

    def taken_over(self) -> str:
        """A sentence on the lock that was found here; empty where there was none."""
        if self.former is None:
            return ""
        return (
            f"{self.folder}: the lock of {self.former} is taken over (held since "
            f"{self.former.since or 'some time'}). It has ended without a word, or this is a copy."
        )

    def _beat(self) -> None:
        where: Any = self.fd if os.utime in os.supports_fd else self.folder / LOCK
        while not self._released.wait(BEAT_S):
            with suppress(OSError):  # a folder that is gone is told when it is written
                os.utime(where)


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[Lock]:
    """Hold the lock of a folder, which is made where it is missing, and taken away again if it then
    stays empty.

    `doing` is training, scoring, screen, import or arms. Raises FolderInUse, which says who holds
    it;
    LogWriteError where nothing can be written there.
    """
    made = not folder.exists()
    try:
        lock = _take(folder, doing, make=made)
    except OSError as e:
        if isinstance(e, RockError):
            raise
        raise LogWriteError(
            f"{folder} could not be locked ({e.strerror or e})",
            "Only one process at a time may write it",
            "Free space, mend the permissions or choose another folder",
        ) from e
    try:
        yield lock
    finally:
        lock.release()
        if made:
            with suppress(OSError):
                folder.rmdir()


def vanished(folder: Path, found: str) -> RunGone:
    """The error for a folder that is no longer what was being written."""
    return RunGone(
        f"{folder} was deleted, renamed or replaced ({found})",
        "What belongs to the run that was here would be put beside something else, so it stops; "
        "nothing more is written",
        "If it was renamed, go on there with --resume: everything logged before is complete",
    )


def _take(folder: Path, doing: str, make: bool) -> Lock:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if make:  # again, as whoever held it before may have taken the empty folder away
            folder.mkdir(parents=True, exist_ok=True)
        lock = _try(folder, doing, last=time.monotonic() > deadline)
        if lock is not None:
            return lock
        time.sleep(_LOOK_EVERY_S)


def _try(folder: Path, doing: str, last: bool) -> Lock | None:
    """The lock, or None where another look may find it free; raises FolderInUse otherwise."""
    with suppress(FileNotFoundError):
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | PLAIN, 0o644)
        lock = None
        try:
            free = lock_now(fd)
            if _identity(os.fstat(fd)) == _identity(os.stat(folder / LOCK, follow_symlinks=False)):
                former = named_in(fd, free, time.time() if free is False else _clock_of(folder))
                if former is None or not former.alive:
                    try:
                        write_words(fd, doing)
                    except OSError:  # a full disk: leave no lock that says nothing
                        os.unlink(folder / LOCK)
                        raise
                    lock = Lock(folder, fd, former)
                elif last or free is not False:
                    raise _in_use(folder, former)
        finally:
            if lock is None:
                os.close(fd)
        return lock
    if last and not folder.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    return None  # deleted by who held it, between two looks


def _in_use(folder: Path, holder: Holder) -> FolderInUse:
    does, why = _DOING.get(holder.doing, _DOING["training"])
    silent = max(time.time() - holder.beat, 0)
    todo = "Wait for it, or let it end: Ctrl-C where it runs"
    if holder.doing == "training":
        todo += f", or make the file {folder / STOP}"
    if holder.host != this_host():
        todo += f". If it is gone, go on {SILENT_S:.0f} s after its last sign of life"
    return FolderInUse(
        f"{folder} is in use: {holder} {does} since {holder.since or 'a moment'}, last sign of "
        f"life {silent:.0f} s ago",
        why,
        todo,
    )


def _says_running(file: Path) -> bool:
    """Whether a run.json says so: of a run whose process was killed, or could not write its end."""
    with suppress(OSError, ValueError):
        return RunMeta.from_json(file.read_bytes(), file).status == "running"
    return False


def _clock_of(folder: Path) -> float:
    """Now, by the clock of the machine that keeps the files."""
    with TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _identity(of: os.stat_result) -> tuple[int, int]:
    return of.st_dev, of.st_ino
