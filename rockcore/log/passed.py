"""Which files of a folder a check has let pass, so that after another step only its file is
checked, and of a long run none again by the next process.

What was let pass is told by name, size, time and inode: a file that was written anew is checked
anew.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rockcore.log import cache
from rockcore.log.listing import State, Version, news_of, states_of
from rockcore.schema import LogTable

FEW = 64  # files of a folder that are soon checked again, and not kept on disk
_MOST_FOLDERS = 1_024
Names = frozenset[str]  # of columns


class _Found(NamedTuple):
    state: State
    columns: Names


@dataclass
class _Folder:
    lock: threading.RLock = field(default_factory=threading.RLock)
    version: Version | None = None
    files: dict[str, _Found] = field(default_factory=dict)  # by name
    kinds: list[Names] = field(default_factory=list)  # the different columns among them
    on_disk: int = 0  # how many of them the next process is told of


def passed(folder: Path, of: str, check: Callable[[Path], Names], against: str = "") -> list[Names]:
    """The different sets of columns that the files of steps in a folder have, each file checked.

    `check`, called `of`: the columns of a file that it lets pass, none of one that is gone;
    `against`: what else its answer depends on. Raises what it raises.
    """
    known = _known(str(folder), of)
    with known.lock:
        news = news_of(folder, LogTable.is_file, known.version)
        if news.files is not None and not news.files:
            return known.kinds
        if known.version is None and news.count >= FEW:
            _recall(known, folder, of, against)
        version, files = news.now, news.files
        if files is None:
            version, now = states_of(folder, LogTable.is_file)
            files = {**dict.fromkeys(known.files.keys() - now.keys()), **now}
        for name, state in files.items():
            _pass(known, folder / name, state, check)
        known.version, known.kinds = version, [*{found.columns for found in known.files.values()}]
        if len(known.files) - known.on_disk >= max(FEW, len(known.files) // 32):
            _remember(known, folder, of, against)
        return known.kinds


def _pass(known: _Folder, file: Path, state: State | None, check: Callable[[Path], Names]) -> None:
    before = known.files.get(file.name)
    if before and before.state == state:
        return
    known.files.pop(file.name, None)
    if state is not None and (columns := check(file)):
        known.files[file.name] = _Found(state, columns)


def _recall(known: _Folder, folder: Path, of: str, against: str) -> None:
    kept = cache.load(str(folder.absolute()), of)
    if kept is None or kept.about.get("against") != against:
        return
    kinds = [frozenset(kind) for kind in kept.about["kinds"]]
    states = cache.states_in(kept.table)
    for (name, state), kind in zip(states.items(), kept.table["kind"].to_pylist(), strict=True):
        known.files[name] = _Found(state, kinds[kind])
    known.on_disk = len(known.files)


def _remember(known: _Folder, folder: Path, of: str, against: str) -> None:
    at = {kind: i for i, kind in enumerate(known.kinds)}
    states = [found.state for found in known.files.values()]
    table = cache.of_states(dict(zip(known.files, states, strict=True)))
    table = table.append_column("kind", [[at[found.columns] for found in known.files.values()]])
    about = {"against": against, "kinds": [sorted(kind) for kind in known.kinds]}
    cache.keep(cache.Kept(table, about), str(folder.absolute()), of)
    known.on_disk = len(known.files)


def _known(folder: str, of: str) -> _Folder:
    with _lock:
        found = _folders.setdefault((folder, of), _Folder())
        _folders.move_to_end((folder, of))
        if len(_folders) > _MOST_FOLDERS:
            _folders.popitem(last=False)
        return found


_lock = threading.Lock()
_folders: OrderedDict[tuple[str, str], _Folder] = OrderedDict()
