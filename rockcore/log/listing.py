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
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")
_SURE_NS = 30_000_000  # three times the slowest tick by which Linux stamps folders
_SURE_OF_SECONDS_NS = 2_000_000_000  # where stamps are whole seconds, or two as with FAT
_AT_ONCE = 500  # files of a folder that are looked at each time: a millisecond
_AGAIN_S = 0.2  # how soon it is the turn of the next ones
_MOST_FOLDERS = 1_024
_MOST_NEWS = 1 << 14  # names of files that came, went or changed, before the older ones are dropped
_MASK = 2**64 - 1
_serial = count()


class State(NamedTuple):
    """A file in a folder as it is at one moment; (-1, 0, 0) where a link leads nowhere."""

    size: int
    mtime_ns: int
    inode: int  # a file that is renamed into place has a new one


class Version(NamedTuple):
    """A moment in the life of a folder; of no meaning in another process."""

    folder: int
    news: int


class News(NamedTuple):
    """What became of the meant files of a folder since a moment."""

    now: Version
    files: dict[str, State | None] | None  # by name, None: gone; None: all may have changed
    count: int  # of the meant files that are there now
    size: int  # of all of them


@dataclass
class Folder:
    """One folder as it was when it was last looked at."""

    path: str
    serial: int = field(default_factory=lambda: next(_serial))
    lock: threading.RLock = field(default_factory=threading.RLock)
    inodes: dict[str, int] = field(default_factory=dict)  # by name
    listed: object = None  # what was made of the names
    is_listed: bool = False
    came: set[str] = field(default_factory=set)  # names since then
    gone: set[str] = field(default_factory=set)
    of: tuple[int, ...] = ()  # which folder it was, and its time when it was listed
    sure: bool = False  # whether that time tells of every change since
    looked: dict[str, State] = field(default_factory=dict)
    size: int = 0  # of all of `looked`
    news: list[str] = field(default_factory=list)  # names of which `looked` has changed, in order
    old_news: int = 0  # how many were dropped from their beginning
    suspects: set[str] = field(default_factory=set)  # to be looked at: new, gone or another file
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
        before, self.inodes = self.inodes, inodes
        if inodes == before:
            return
        came, gone = inodes.keys() - before.keys(), before.keys() - inodes.keys()
        self.suspects |= came | gone
        if [*map(inodes.get, before)] != [*before.values()]:  # a step written again, or gone
            self.suspects |= {name for name, inode in before.items() if inodes.get(name) != inode}
        # both since the names were listed: who went and came again is no news
        self.came, self.gone = (
            (self.came - gone) | (came - self.gone),
            (self.gone - came) | (gone - self.came),
        )

    def refresh_mark(self, is_meant: Callable[[str], bool]) -> int:
        """The sum of what tells each of the meant files in its present state from all others."""
        self.refresh()
        for name in self.suspects.union(self._whose_turn()):
            if name not in self.inodes:
                self._forget(name)
            elif name in self.looked or is_meant(name):
                self._look(name)
        self.suspects.clear()
        return self.mark

    def _whose_turn(self) -> list[str]:
        """The names to be looked at again: of a small folder all."""
        if len(self.inodes) <= _AT_ONCE:
            return list(self.inodes)
        if (now := time.monotonic()) - self.turned < _AGAIN_S:
            return []
        names, self.turned = list(islice(self.inodes, self.turn, self.turn + _AT_ONCE)), now
        self.turn = self.turn + _AT_ONCE if self.turn + _AT_ONCE < len(self.inodes) else 0
        return names

    def _look(self, name: str) -> None:
        try:
            stat = os.stat(f"{self.path}{os.sep}{name}")
        except FileNotFoundError:  # dropped by a run that goes on
            self._forget(name)
            return
        except OSError:  # a link that leads to itself: to read it says what is wrong
            found = State(-1, 0, 0)
        else:
            found = State(stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if (before := self.looked.get(name)) != found:
            self._take_off(name, before)
            self.looked[name] = found
            self.marks[name] = mark(name, found.size, found.mtime_ns)
            self.mark = (self.mark + self.marks[name]) & _MASK
            self.size += found.size
            self._tell(name)

    def _forget(self, name: str) -> None:
        if (before := self.looked.pop(name, None)) is not None:
            self._take_off(name, before)
            self._tell(name)

    def _take_off(self, name: str, before: State | None) -> None:
        self.mark = (self.mark - self.marks.pop(name, 0)) & _MASK
        self.size -= before.size if before else 0

    def _tell(self, name: str) -> None:
        self.news.append(name)
        if len(self.news) > _MOST_NEWS:
            self.old_news += _MOST_NEWS // 2
            del self.news[: _MOST_NEWS // 2]

    def news_since(self, version: Version | None) -> News:
        """As far as the folder was looked at."""
        now = Version(self.serial, self.old_news + len(self.news))
        files = None
        if version and version.folder == self.serial and version.news >= self.old_news:
            names = self.news[version.news - self.old_news :]
            files = {name: self.looked.get(name) for name in dict.fromkeys(names)}
        return News(now, files, len(self.looked), self.size)


def names_as(path: Path, make: Callable[[Collection[str], Collection[str], T | None], T]) -> T:
    """What `make` makes of the names that came to a folder and of those that went, since it made
    what it is given back; at first all have come. `make` is always the same for one folder. Raises
    OSError.
    """
    folder = _folder(path)
    with folder.lock:
        folder.refresh()
        if folder.came or folder.gone or not folder.is_listed:
            folder.listed = make(folder.came, folder.gone, folder.listed)  # type: ignore[arg-type]
            folder.is_listed, folder.came, folder.gone = True, set(), set()
        return folder.listed  # type: ignore[return-value]


def mark_of(path: Path, is_meant: Callable[[str], bool]) -> int:
    """Changes whenever one of the meant files in a folder does, comes or goes; 0 where there is
    none. `is_meant` is always the same for one folder.
    """
    folder = _folder(path)
    with folder.lock, suppress(OSError):
        return folder.refresh_mark(is_meant)
    return 0


def news_of(path: Path, is_meant: Callable[[str], bool], version: Version | None) -> News:
    """What became of the meant files of a folder since a version of it, as `mark_of` looks at them;
    nothing as long as it cannot be listed.
    """
    folder = _folder(path)
    with folder.lock:
        try:
            folder.refresh_mark(is_meant)
        except OSError:
            return News(version or Version(folder.serial, -1), {}, 0, 0)
        return folder.news_since(version)


def states_of(path: Path, is_meant: Callable[[str], bool]) -> tuple[Version, dict[str, State]]:
    """The meant files in a folder, as `mark_of` looks at them, and which version of it this is."""
    folder = _folder(path)
    with folder.lock:
        try:
            folder.refresh_mark(is_meant)
        except OSError:
            return Version(folder.serial, -1), {}
        return folder.news_since(None).now, dict(folder.looked)


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
