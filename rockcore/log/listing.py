"""What lies in a run's folders, looked at again only where something has changed.

A log of ten thousand steps has tens of thousands of files, and someone who follows it looks every
few seconds. The files of a log are written under another name, renamed and never touched again: a
folder tells by its own time that nothing came or went. So a folder is listed again when its time
has changed, or is too young to be sure of (`_SURE_NS`: two changes may bear one time), and of a
large folder only new files are looked at each time; all of them, as someone may edit one in place,
as often as it costs little.
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
_SURE_NS = 2_000_000_000  # the coarsest time of a file system in use, FAT's
_SMALL = 1_000  # so many files are looked at each time: less than two milliseconds
_SHARE = 0.02  # of the time, at most, goes into looking at all files of a large folder
_MOST_FOLDERS = 1_024
_MASK = 2**64 - 1


@dataclass
class Folder:
    """One folder as it was when it was last looked at."""

    path: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    inodes: dict[str, int] = field(default_factory=dict)  # by name
    listed: object = None  # what was made of the names, for the one who asked
    of: tuple[int, ...] = ()  # which folder it was, and its time when it was listed
    sure: bool = False  # whether that time tells of every change since
    looked: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> size, time
    suspects: set[str] = field(default_factory=set)  # to be looked at: new, or another file
    marks: dict[str, int] = field(default_factory=dict)
    mark: int = 0  # the sum of `marks`
    again: float = 0.0  # when all are to be looked at, on the monotonic clock

    def refresh(self) -> bool:
        """Whether names came or went, or stand for other files now. Raises OSError."""
        stat = os.stat(self.path)
        of = (stat.st_dev, stat.st_ino, stat.st_mtime_ns)
        if of == self.of and self.sure:
            return False
        now = time.time_ns()  # before it is listed
        with os.scandir(self.path) as entries:
            inodes = {entry.name: entry.inode() for entry in entries}
        self.of, self.sure = of, abs(now - stat.st_mtime_ns) > _SURE_NS
        if inodes == self.inodes:
            return False
        self.suspects |= {n for n, inode in inodes.items() if self.inodes.get(n) != inode}
        self.inodes = inodes
        return True

    def refresh_mark(self, is_meant: Callable[[str], bool]) -> int:
        """The sum of what tells each of the meant files in its present state from all others."""
        self.refresh()
        began = time.monotonic()
        every = len(self.inodes) <= _SMALL or began >= self.again
        for name in self.looked.keys() - self.inodes.keys():
            self._forget(name)
        for name in self.inodes if every else self.suspects & self.inodes.keys():
            if name in self.looked or is_meant(name):
                self._look(name)
        self.suspects.clear()
        if every:
            now = time.monotonic()
            self.again = now + (now - began) / _SHARE
        return self.mark

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
        if folder.refresh() or folder.listed is None:
            folder.listed = make(folder.inodes, folder.listed)  # type: ignore[arg-type]
        return folder.listed  # type: ignore[return-value]


def mark_of(path: Path, is_meant: Callable[[str], bool]) -> int:
    """Changes whenever one of the meant files in a folder does, comes or goes; 0 where there is
    none. `is_meant` is always the same for one folder.
    """
    folder = _folder(path)
    with folder.lock, suppress(OSError):
        return folder.refresh_mark(is_meant)
    return 0


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
