"""Columns of the many small files of a long run, kept in memory: after another step only its file
is read.

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

from rockcore.log.listing import states_of
from rockcore.schema import LogTable

Read = Callable[[Sequence[Path]], pa.Table]
State = tuple[int, int]  # size and time of a file
_FEW = 64  # files that are not worth keeping
_MOST_BYTES = 2**28  # of all that is kept
_MOST_ON_DISK = 2**30  # of the files of a table, of which some columns are kept
_MOST_PIECES = 64  # of a table, before they are made one


class _Grown(NamedTuple):
    """The rows of some files, in their order."""

    states: Mapping[str, State]  # by name
    last: tuple[int, str]  # the place of the last file
    table: pa.Table | None


def grown(files: Sequence[Path], columns: Collection[str], read: Read) -> pa.Table | None:
    """These columns of all rows of the files of one table and run, in their order, as `read` reads
    them of some files; None where the files are few. Raises what `read` raises.
    """
    if len(files) < _FEW or files[0].parent != files[-1].parent:
        return None
    folder = files[0].parent
    key = (str(folder), tuple(columns))
    states = states_of(folder, LogTable.is_file)
    if len(states) != len(files):
        return None  # not all of a table, or one was just dropped
    if sum(size for size, _ in states.values()) > _MOST_ON_DISK:
        return None
    with _lock:
        before = _kept.get(key)
    found = _extended(before, folder, states, read)
    if found is not before:
        _keep(key, found)
    return found.table


def _extended(
    before: _Grown | None, folder: Path, states: Mapping[str, State], read: Read
) -> _Grown:
    if before is None:
        before = _Grown({}, (0, ""), None)
    new = sorted(map(_place, dict(states.items() - before.states.items())))
    if not new and len(states) == len(before.states):
        return before
    # only more steps behind the last one: after all else, as a resume, it is read anew
    if before.table is not None and (
        len(before.states) + len(new) != len(states) or new[0] < before.last
    ):
        return _extended(None, folder, states, read)
    table = read([folder / name for _, name in new])
    if before.table is not None:
        table = pa.concat_tables([before.table, table])
    if any(column.num_chunks > _MOST_PIECES for column in table.columns):
        table = table.combine_chunks()
    return _Grown(states, new[-1], table)


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
