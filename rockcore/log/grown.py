"""Columns of the many small files of a long run, kept in memory and on disk: after another step
only its file is read, and the next process reads one.

A run of ten thousand steps has as many files of metrics, and to open each of them takes seconds.
Nothing else is kept: few files are quickly read, and what is beyond the bound is left to DuckDB,
which reads it where it lies.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from rockcore.log import cache
from rockcore.log.listing import State, Version, news_of, states_of
from rockcore.schema import LogTable

Read = Callable[[Sequence[Path]], pa.Table]
_FEW = 64  # files that are not worth keeping
_MOST_BYTES = 2**28  # of all that is kept
_MOST_ON_DISK = 2**30  # of the files of a table, of which some columns are kept
_MOST_PIECES = 64  # of a table, before they are made one


class _Grown(NamedTuple):
    """The rows of some files, in their order."""

    version: Version  # of their folder
    states: Mapping[str, State]  # by name
    last: tuple[int, str]  # the place of the last file
    table: pa.Table
    on_disk: int  # files of which the next process finds the rows in one


def grown(
    files: Sequence[Path],
    columns: Collection[str],
    read: Read,
    against: Callable[[Path], str] = lambda file: "",
) -> pa.Table | None:
    """These columns of all rows of the files of one table and run, in their order, as `read` reads
    them of some files; None where the files are few. `against`: what else the check of a file
    depends on. Raises what `read` raises.
    """
    if len(files) < _FEW or files[0].parent != files[-1].parent:
        return None
    folder = files[0].parent
    key = (str(folder), tuple(columns))
    with _lock:
        before = _kept.get(key)
    news = news_of(folder, LogTable.is_file, before and before.version)
    if news.count != len(files) or news.size > _MOST_ON_DISK:
        return None  # not all of a table, one was just dropped, or too large
    if before and news.files is not None and not news.files:
        return before.table
    found = None
    if before and news.files:
        found = _extended(before, folder, news.files, news.now, read)
    if found is None:
        found = _begun(folder, columns, read, against(files[0]))
    if len(found.states) - found.on_disk >= max(_FEW, len(found.states) // 32):
        found = _saved(found, folder, columns, against(files[0]))
    _keep(key, found)
    return found.table


def _extended(
    before: _Grown, folder: Path, files: Mapping[str, State | None], now: Version, read: Read
) -> _Grown | None:
    """With the rows of files behind the last one; None where others have changed, as by a resume:
    then all is read anew.
    """
    new = {name: state for name, state in files.items() if before.states.get(name) != state}
    if any(state is None or _place(name) <= before.last for name, state in new.items()):
        return None
    names = sorted(new, key=_place)
    table = before.table
    if names:
        table = _joined(table, read([folder / name for name in names]))
    states = {**before.states, **{name: state for name, state in new.items() if state}}
    return _Grown(now, states, _place(names[-1]) if names else before.last, table, before.on_disk)


def _begun(folder: Path, columns: Collection[str], read: Read, against: str) -> _Grown:
    """From the rows on disk, where these are of files that are still as they were, or from
    nothing.
    """
    now, states = states_of(folder, LogTable.is_file)
    kept = cache.load(*_key(folder, columns))
    if kept is not None and kept.about["against"] == against:
        of = {name: State(*state) for name, state in kept.about["files"].items()}
        if of.items() <= states.items():
            last = max(map(_place, of))
            before = _Grown(now, of, last, kept.table, len(of))
            if found := _extended(before, folder, states, now, read):
                return found
    names = sorted(states, key=_place)
    table = _joined(read([folder / name for name in names]))
    return _Grown(now, states, _place(names[-1]), table, 0)


def _joined(*tables: pa.Table) -> pa.Table:
    """One behind the other; DuckDB gives a piece a file, and every question pays for each."""
    table = pa.concat_tables(tables)
    few = all(column.num_chunks <= _MOST_PIECES for column in table.columns)
    return table if few else table.combine_chunks()


def _saved(found: _Grown, folder: Path, columns: Collection[str], against: str) -> _Grown:
    about = {"files": found.states, "against": against}
    cache.keep(cache.Kept(found.table, about), *_key(folder, columns))
    return found._replace(on_disk=len(found.states))


def _key(folder: Path, columns: Collection[str]) -> tuple[str, ...]:
    return (str(folder.absolute()), "rows", *columns)


def _place(name: str) -> tuple[int, str]:
    """Where the file of a step stands among others: step=000010 before step=1000000."""
    return len(name), name


def _keep(key: tuple[str, tuple[str, ...]], found: _Grown) -> None:
    with _lock:
        _kept.pop(key, None)
        if found.table.nbytes <= _MOST_BYTES // 2:
            _kept[key] = found
        while sum(each.table.nbytes for each in _kept.values()) > _MOST_BYTES:
            _kept.popitem(last=False)


_lock = threading.Lock()
_kept: OrderedDict[tuple[str, tuple[str, ...]], _Grown] = OrderedDict()
