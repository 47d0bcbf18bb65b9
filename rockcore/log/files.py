"""The single files of a run: where each lies, written whole or not at all, and checked before
anyone relies on them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore import schema
from rockcore.log.listing import names_as
from rockcore.schema import Column, DamagedRun, LogTable, LogWriteError, RunNotFound

# column name -> array of equal length; lists as (N, k), where a masked row is null
Columns = Mapping[str, Any]


def table_file(run: Path, table: str, step: int | None = None) -> Path:
    """Where the file of a table lies, of one step for tables with a file a step."""
    return run / _table(table).file(step)


def table_files(run: Path, table: str) -> list[Path]:
    """The files of a table that are there, by step; strangers beside them are not looked at."""
    return [*_files(run, table).paths]


def steps_and_files(run: Path, table: str) -> list[tuple[int, Path]]:
    """The files of a table that are there, each behind its step (0 for a table without steps)."""
    return [*_files(run, table).by_step]


class _Files(NamedTuple):
    """The files of a table."""

    by_step: list[tuple[int, Path]]
    paths: list[Path]  # the same


def _files(run: Path, table: str) -> _Files:
    of = _table(table)
    if not of.per_step:
        # a link that leads nowhere is there: to read it says what is wrong
        found = [(0, run / of.file())] if os.path.lexists(run / of.file()) else []
        return _Files(found, [file for _, file in found])
    folder = run / of.folder
    try:
        return names_as(folder, partial(_in_order, of, folder))
    except FileNotFoundError:
        return _Files([], [])
    except OSError as e:  # also of a file in its place
        raise unreadable(f"{folder} cannot be listed", e) from e


def _in_order(
    of: LogTable, folder: Path, came: Collection[str], gone: Collection[str], before: _Files | None
) -> _Files:
    """Of a run in training, what is new stands behind the rest."""
    new = sorted(file for name in came if (file := _file(of, folder, name)) is not None)
    old = before or _Files([], [])
    if gone or (old.by_step and new and new[0] < old.by_step[-1]):
        stays = [(step, file) for step, file in old.by_step if file.name not in gone]
        new, old = sorted(stays + new), _Files([], [])
    return _Files(old.by_step + new, old.paths + [file for _, file in new])


def _file(of: LogTable, folder: Path, name: str) -> tuple[int, Path] | None:
    step = of.step_of(name)
    return None if step is None else (step, folder / name)


def logged_file(run: Path, table: str, step: int) -> Path:
    """The file of a table at one step. Raises RunNotFound, which names the steps there are."""
    file = table_file(run, table, step)
    if not file.exists():
        steps = [step for step, _ in steps_and_files(run, table)]
        have = (
            f"logged steps: {steps[0]} to {steps[-1]}, {len(steps)} in all"
            if steps
            else "none is logged"
        )
        raise RunNotFound(
            f"{run.name} has no {table} of step {step} ({have})",
            "Only logged steps can be read",
            "Choose one of them",
        )
    return file


def _table(name: str) -> LogTable:
    if name not in schema.TABLES:
        raise ValueError(f"{name!r} is no table of the log; there are {', '.join(schema.TABLES)}")
    return schema.TABLES[name]


def to_arrow(columns: dict[str, Column], values: Columns) -> pa.Table:
    """The values as a table with exactly these columns; an optional one that is not among the
    values is null.
    """
    rows = len(next(iter(values.values())))
    arrays = [
        pa.nulls(rows, column.type)
        if column.optional and name not in values
        else _array(values[name], column.type)
        for name, column in columns.items()
    ]
    return pa.Table.from_arrays(arrays, schema=schema.arrow_schema(columns))


def _array(values: Any, type: pa.DataType) -> pa.Array:
    if pa.types.is_list(type) and isinstance(values, np.ndarray):
        null = np.ma.getmaskarray(values).all(1)
        flat = pa.array(
            np.ma.getdata(values)[~null].astype(type.value_type.to_pandas_dtype()).ravel()
        )
        ends = np.append(0, np.cumsum(~null)) * values.shape[1]
        return pa.ListArray.from_arrays(
            pa.array(ends, pa.int32()), flat, type=type, mask=pa.array(null)
        )
    if type == pa.binary():
        return pa.array([row.tobytes() for row in values], type)
    if type == pa.float16():
        values = np.asarray(values, np.float16)  # Arrow does not narrow by itself
    return pa.array(values, type=type, from_pandas=True)


def write_table(
    path: Path, columns: dict[str, Column], values: Columns, within: Path | None = None
) -> None:
    """Write a Parquet file with exactly these columns, as `commit` does; raises LogWriteError."""
    table = to_arrow(columns, values)
    leaves = {
        f"{n}.list.element" if pa.types.is_list(c.type) else n: c.type for n, c in columns.items()
    }
    floats = [n for n, type in leaves.items() if type in (pa.float32(), pa.float64())]
    whole = [
        n
        for n, type in leaves.items()
        if type not in (pa.float64(), pa.float32(), pa.float16(), pa.binary())
    ]
    how: dict[str, Any] = {
        "compression": "zstd",
        # rows of bytes are as small at level 1, in a quarter of the time
        "compression_level": {n: 1 if type == pa.binary() else 6 for n, type in leaves.items()},
        "use_dictionary": whole,  # a third smaller without it where values hardly repeat
        "use_byte_stream_split": floats,
        "write_statistics": [
            n for n in leaves if n == "rollout_id"
        ],  # the one column that is ever searched
        # nothing in the contract needs more than Parquet's own types, and most files are small
        "store_schema": False,
    }

    def write(tmp: Path) -> None:
        with tmp.open("wb") as file:  # of the path itself, Arrow would take s3:/r for an address
            pq.write_table(table, file, **how)

    commit(path, write, within)


def commit(path: Path, write: Callable[[Path], Any], within: Path | None = None) -> None:
    """Let `write` fill a temporary file, then rename it: a reader meets the whole file or none.

    Folders are made, but `within` and those above it, which has to be there. Raises LogWriteError.
    """
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        make_folders(path.parent, within)
        write(tmp)
        os.replace(tmp, path)
    except OSError as e:
        raise LogWriteError(
            f"{path} could not be written ({e.strerror or e})",
            "The log would have a hole from here on, so the run stops; everything logged before "
            "is complete",
            "Free space or fix the permissions, then go on with --resume",
        ) from e
    finally:
        with suppress(OSError):  # there where it was not renamed, also for an interrupt
            tmp.unlink()


def make_folders(folder: Path, within: Path | None = None) -> None:
    """Make a folder and those above it, as far as they lie within another one, which has to be
    there: what somebody has deleted is not begun anew. Raises OSError.
    """
    if within is None:
        folder.mkdir(parents=True, exist_ok=True)
    elif folder != within:
        make_folders(folder.parent, within)
        folder.mkdir(exist_ok=True)


def sweep(folder: Path, deep: bool = True) -> None:
    """Delete the half-written files that killed processes left in a folder, `deep` in those within
    it too; nobody may be writing there now.
    """
    for file in folder.glob("**/.*.tmp" if deep else ".*.tmp"):
        with suppress(OSError):  # it takes room, but nothing reads it
            if file.is_file() and not file.is_symlink():
                file.unlink()


def unreadable(what: str, cause: Exception) -> DamagedRun:
    """The error for a file whose contents are lost; `what` names it."""
    said = getattr(cause, "strerror", None) or str(cause).partition("\n")[0]
    said = ascii(said)[1:-1]  # it may quote the file's own bytes
    return DamagedRun(
        f"{what} ({said if len(said) <= 160 else said[:159] + '…'})",
        "Its rows cannot be recovered from what is there",
        "Copy it from a backup, or delete it: the rest of the run opens without it",
    )


def gone(path: Path) -> RunNotFound:
    """The error for a file that was there when the question began."""
    return RunNotFound(
        f"{path} was just deleted",
        "A run that goes on drops the steps it trains again, or someone removed the run",
        "Ask again; if the file stays away, ask for another step",
    )


# what Arrow raises for a file whose bytes are none of Parquet's
NOT_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)


class State(NamedTuple):
    """A file as it is at one moment: when it is written anew, this is another."""

    path: str
    size: int
    mtime_ns: int
    inode: int  # a file that is renamed into place has a new one, however quickly it is done


def state_of(path: Path) -> State:
    """Raises DamagedRun for what is no regular file: to read from a pipe is to wait for ever.
    Raises OSError, of a file that is not there FileNotFoundError.
    """
    name = str(path)
    found = os.stat(name)
    if not stat.S_ISREG(found.st_mode):
        raise DamagedRun(
            f"{path} is no regular file",
            "Only those are read: a pipe or a device has no end",
            "Put the file there, or take away what stands in its place",
        )
    return State(name, found.st_size, found.st_mtime_ns, found.st_ino)


_MOST = 2**24  # bytes of a JSON file: a hundred times the largest that we write


def read_whole(path: Path) -> bytes:
    """All bytes of a small file. Raises DamagedRun for one that cannot be read, holds more than
    any of its kind or is no regular file; FileNotFoundError or NotADirectoryError where there is
    none.
    """
    try:
        state_of(path)
        with path.open("rb") as file:
            text = file.read(_MOST + 1)
    except (FileNotFoundError, NotADirectoryError, DamagedRun):
        raise
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else e
        raise DamagedRun(
            f"{path} cannot be read ({reason})",
            "It says what the numbers beside it mean",
            "Mend the path or the permissions",
        ) from e
    if len(text) > _MOST:
        raise DamagedRun(
            f"{path} is larger than {_MOST:,} bytes",
            "No file of its kind is, so it holds something else",
            "Copy it from a backup, or train or import the run again",
        )
    return text


def check_schema(path: Path, columns: dict[str, Column]) -> frozenset[str]:
    """The names of the columns of `path`. Raises DamagedRun unless it is a readable Parquet file
    with these columns.

    Optional ones may be missing. A file that a resumed run has just dropped has no columns.
    """
    try:
        found = _footer(*state_of(path))
    except FileNotFoundError:
        return frozenset()
    except NOT_PARQUET as e:
        raise unreadable(f"{path} is no readable Parquet file", e) from e
    if found.fitting.get(id(columns)) is not columns:
        refuse_misfit(path, found.types, found.doubled, columns)
        found.fitting[id(columns)] = columns
    return found.names


def refuse_misfit(
    path: PurePath,
    types: Mapping[str, pa.DataType],
    doubled: Sequence[str],
    columns: Mapping[str, Column],
) -> None:
    """Raises DamagedRun unless a file that says it has columns of these types, and some of these
    names twice, has those of its table.
    """
    if doubled:
        raise DamagedRun(
            f"{path} has more than one column {ascii(doubled[0])[:80]}",
            "Which of them is meant cannot be told",
            "Copy the file from a backup, or delete it: the rest of the run opens without it",
        )
    wrong = [
        name
        for name, column in columns.items()
        if not (types[name] == column.type if name in types else column.optional)
    ]
    if wrong:
        wanted = ", ".join(f"{name!r} of type {columns[name].type}" for name in wrong)
        there = ", ".join(f"{name} {type}" for name, type in types.items())
        raise DamagedRun(
            f"{path} has no column {wanted} (found: {there})",
            "Pages and detection rely on these columns",
            "If the file comes from another trainer, import that log instead of copying the file "
            "here",
        )


class _Footer(NamedTuple):
    """The columns that a file has, one value for all files that have the same."""

    names: frozenset[str]
    types: dict[str, pa.DataType]
    doubled: tuple[str, ...]
    # by identity: the columns of tables that were found to fit, so that none is checked twice
    fitting: dict[int, dict[str, Column]]


@lru_cache(maxsize=1 << 17)  # to open a run again costs a stat a file instead of a footer a file
def _footer(path: str, size: int, mtime_ns: int, inode: int) -> _Footer:
    """The columns of a file as it is at this moment."""
    return _shared(tuple((f.name, f.type) for f in pq.read_schema(pa.OSFile(path))))


@lru_cache(maxsize=256)
def _shared(fields: tuple[tuple[str, pa.DataType], ...]) -> _Footer:
    names = [name for name, _ in fields]
    doubled = tuple(name for name in dict.fromkeys(names) if names.count(name) > 1)
    return _Footer(frozenset(names), dict(fields), doubled, {})
