"""What lies in a run's folders, looked at again only where something has changed.

A log of ten thousand steps has tens of thousands of files, and someone who follows it looks every
few seconds. The files of a log are written under another name, renamed and never touched again: a
folder tells by its own time that nothing came or went. So a folder is listed again when its time
has changed, or is too young to be sure of (`_SURE_NS`: two changes may bear one time). Someone may
still edit a file in place, so files are looked at each time too: of a large folder the new ones and
some of the others, so that each has its turn.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_SURE_NS = 100_000_000  # ten times the tick by which Linux stamps folders
_SURE_OF_SECONDS_NS = 2_000_000_000  # where stamps are whole seconds, or two as with FAT
_AT_ONCE = 500  # files of a folder that are looked at each time: a millisecond
_AGAIN_S = 0.2  # how soon it is the turn of the next ones
_MOST_FOLDERS = 1_024
_MASK = 2**64 - 1


@dataclass
class Folder:
    """One folder as it was when it was last looked at."""

    path: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    inodes: dict[str, int] = field(default_factory=dict)  # by name
    changes: int = 0  # how often names came or went
    listed: object = None  # what was made of the names
    listed_at: int = -1  # `changes` when that was
    of: tuple[int, ...] = ()  # which folder it was, and its time when it was listed
    sure: bool = False  # whether that time tells of every change since
    looked: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> size, time
    suspects: set[str] = field(default_factory=set)  # to be looked at: new, or another file
    marks: dict[str, int] = field(default_factory=dict)
    mark: int = 0  # the sum of `marks`
    turn: int = 0  # of a large folder, up to where its files have been looked at again
    turned: float = 0.0  # when that was, on the monotonic clock

    def refresh(self) -> None:
        """See whether names came or went, or stand for other files now. Raises OSError."""
        stat = os.stat(self.path)
        of = (stat.st_dev, stat.st_ino, stat.st_mtime_ns)
        if of == self.of and self.sure:
            return
        now = time.time_ns()  # before it is listed
        with os.scandir(self.path) as entries:
            inodes = {entry.name: entry.inode() for entry in entries}
        sure = _SURE_NS if stat.st_mtime_ns % 10**9 else _SURE_OF_SECONDS_NS
        self.of, self.sure = of, abs(now - stat.st_mtime_ns) > sure
        if inodes != self.inodes:
            self.suspects |= dict(inodes.items() - self.inodes.items()).keys()
            self.inodes = inodes
            self.changes += 1

    def refresh_mark(self, is_meant: Callable[[str], bool]) -> int:
        """The sum of what tells each of the meant files in its present state from all others."""
        self.refresh()
        for name in self.looked.keys() - self.inodes.keys():
            self._forget(name)
        for name in (self.suspects & self.inodes.keys()).union(self._whose_turn()):
            if name in self.looked or is_meant(name):
                self._look(name)
        self.suspects.clear()
        return self.mark

    def _whose_turn(self) -> list[str]:
        """The names to be looked at again: of a small folder all."""
        names = list(self.inodes)
        if len(names) <= _AT_ONCE:
            return names
        if (now := time.monotonic()) - self.turned < _AGAIN_S:
            return []
        names, self.turned = names[self.turn : self.turn + _AT_ONCE], now
        self.turn = self.turn + _AT_ONCE if self.turn + _AT_ONCE < len(self.inodes) else 0
        return names

    def _look(self, name: str) -> None:
        try:
            stat = os.stat(f"{self.path}{os.sep}{name}")
        except FileNotFoundError:  # dropped by a run that goes on
            self._forget(name)
            return
        found = (stat.st_size, stat.st_mtime_ns)
        if self.looked.get(name) != found:
            self._forget(name)
            self.looked[name] = found
            self.marks[name] = mark(name, *found)
            self.mark = (self.mark + self.marks[name]) & _MASK

    def _forget(self, name: str) -> None:
        self.looked.pop(name, None)
        self.mark = (self.mark - self.marks.pop(name, 0)) & _MASK


def names_as(path: Path, make: Callable[[Iterable[str], T | None], T]) -> T:
    """What `make` makes of the names in a folder and of what it made before, anew only when the
    names have changed. `make` is always the same for one folder. Raises OSError.
    """
    folder = _folder(path)
    with folder.lock:
        folder.refresh()
        if folder.listed_at != folder.changes:
            folder.listed = make(folder.inodes, folder.listed)  # type: ignore[arg-type]
            folder.listed_at = folder.changes
        return folder.listed  # type: ignore[return-value]


def mark_of(path: Path, is_meant: Callable[[str], bool]) -> int:
    """Changes whenever one of the meant files in a folder does, comes or goes; 0 where there is
    none. `is_meant` is always the same for one folder.
    """
    folder = _folder(path)
    with folder.lock, suppress(OSError):
        return folder.refresh_mark(is_meant)
    return 0


def states_of(path: Path, is_meant: Callable[[str], bool]) -> dict[str, tuple[int, int]]:
    """Name -> size and time of the meant files in a folder, as `mark_of` looks at them."""
    folder = _folder(path)
    with folder.lock, suppress(OSError):
        folder.refresh_mark(is_meant)
        return dict(folder.looked)
    return {}


def mark(name: str, size: int, mtime_ns: int) -> int:
    """64 bits that tell a file in one state from all others; marks of many files are added up."""
    text = f"{name} {size} {mtime_ns}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def _folder(path: Path) -> Folder:
    name = str(path)
    with _lock:
        folder = _folders.get(name)
        if folder is None:
            folder = _folders[name] = Folder(name)
            if len(_folders) > _MOST_FOLDERS:
                _folders.popitem(last=False)
        else:
            _folders.move_to_end(name)
        return folder


_lock = threading.Lock()
_folders: OrderedDict[str, Folder] = OrderedDict()
