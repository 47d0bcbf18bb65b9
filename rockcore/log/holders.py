"""Who holds the lock of a folder: asked without taking it, and without the right to write.

FOLDER/.lock is locked by the operating system, which lifts the lock when its process ends, however
that comes about; no number of a process is trusted, which another may bear by then. The file itself
says who locked it, and is touched every few seconds: that is for the reader, and for machines that
share a folder but no locks. A file that does not name its own inode came by copying: nobody holds
it.

Of the usual libraries of locks none says who holds one without taking it, or passes one on to child
processes; the two calls to the system are all there would be to take from them.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    import msvcrt

    fcntl = None

LOCK = ".lock"
SILENT_S = 150.0  # without a sign of life for so long, a process of another machine has ended
_MOST = 4096  # bytes of words
_FAR = 1 << 30  # Windows keeps others from reading what is locked: a byte behind the words is
PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Holder(NamedTuple):
    """Who a lock names."""

    alive: bool  # whether it still holds it; else it has ended, or the folder is a copy
    pid: int | None  # None where the file does not say
    host: str
    since: str  # ISO 8601, UTC
    doing: str  # training | scoring | screen | arms
    beat: float  # its last sign of life, in seconds since 1970

    def __str__(self) -> str:
        known = self.pid is not None and self.host
        return f"process {self.pid} on {self.host}" if known else "a process that gave no name"


def holder_of(folder: Path) -> Holder | None:
    """Who the lock of a folder names, and whether it is still at work; None where there is no lock.

    For this the lock is shared for an instant, which whoever takes it waits for.
    """
    try:
        fd = os.open(folder / LOCK, os.O_RDONLY | PLAIN)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return named_in(fd, lock_now(fd, shared=True), time.time())
    finally:
        os.close(fd)


def lock_now(fd: int, shared: bool = False) -> bool | None:
    """Lock an open file if nobody has it: True; False where somebody has, None where the file
    system knows no locks.
    """
    try:
        if fcntl is None:
            os.lseek(fd, _FAR, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # pyright: ignore
        else:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as e:
        return False if e.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK) else None
    return True


def named_in(fd: int, free: bool | None, now: float) -> Holder | None:
    """Who is named in an open lock, of which the system has said whether it is free."""
    about = os.fstat(fd)
    words = _words(fd)
    if not words and free:
        return None  # just made
    pid, host = words.get("pid"), words.get("host")
    fresh = words.get("inode") == about.st_ino and now - about.st_mtime < SILENT_S
    # where the system knows no locks, or only those of this machine, the signs of life tell
    alive = free is False or (fresh and (free is None or host != this_host()))
    return Holder(
        alive,
        pid if type(pid) is int else None,
        _quoted(host),
        _quoted(words.get("since")),
        _quoted(words.get("doing")),
        about.st_mtime,
    )


def _words(fd: int) -> dict[str, Any]:
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        found = json.loads(os.read(fd, _MOST))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_words(fd: int, doing: str) -> None:
    """Say in an open lock that this process holds it; raises OSError."""
    words = {
        "pid": os.getpid(),
        "host": this_host(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "doing": doing,
        "inode": os.fstat(fd).st_ino,
    }
    os.lseek(fd, 0, os.SEEK_SET)
    os.ftruncate(fd, 0)
    os.write(fd, json.dumps(words).encode())


def _quoted(text: Any) -> str:
    """Text of a file that anyone may have written, fit for a message."""
    plain = ascii(text)[1:-1] if isinstance(text, str) else ""
    return plain if len(plain) <= 80 else plain[:79] + "…"


def this_host() -> str:
    """The name of this machine, as locks say it."""
    return socket.gethostname()
