"""The single files of a run: where each lies, written whole or not at all, and checked before
anyone relies on them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
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
    return [file for _, file in steps_and_files(run, table)]


def steps_and_files(run: Path, table: str) -> list[tuple[int, Path]]:
    """The files of a table that are there, each behind its step (0 for a table without steps)."""
    of = _table(table)
    if not of.per_step:
        return [(0, run / of.file())] if (run / of.file()).exists() else []
    folder = run / of.folder
    try:
        return list(names_as(folder, partial(_in_order, of, folder)).files)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as e:
        raise unreadable(f"{folder} cannot be listed", e) from e


class _InOrder(NamedTuple):
    """The names in a table's folder, with what they stand for; None for a stranger."""

    by_name: dict[str, tuple[int, Path] | None]
    files: list[tuple[int, Path]]  # by step


def _in_order(
    of: LogTable, folder: Path, names: Iterable[str], before: _InOrder | None
) -> _InOrder:
    known = before.by_name if before else {}
    by_name = {name: known[name] if name in known else _file(of, folder, name) for name in names}
    return _InOrder(by_name, sorted(file for file in by_name.values() if file is not None))


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


def log_files(run: Path) -> Iterator[tuple[LogTable, Path]]:
    """Every file of the log that is there, with its table."""
    for name, table in schema.TABLES.items():
        for file in table_files(run, name):
            yield table, file


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


def write_table(path: Path, columns: dict[str, Column], values: Columns) -> None:
    """Write a Parquet file with exactly these columns; raises LogWriteError."""
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

    commit(path, write)


def commit(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file, then rename it: a reader meets the whole file or none.
    Raises LogWriteError.
    """
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(tmp)
        os.replace(tmp, path)
    except OSError as e:
        with suppress(OSError):
            tmp.unlink()
        raise LogWriteError(
            f"{path} could not be written ({e.strerror or e})",
            "The log would have a hole from here on, so the run stops; everything logged before "
            "is complete",
            "Free space or fix the permissions, then go on with --resume",
        ) from e


def unreadable(what: str, cause: Exception) -> DamagedRun:
    """The error for a file whose contents are lost; `what` names it."""
    return DamagedRun(
        f"{what} ({str(cause).splitlines()[0]})",
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


def check_schema(path: Path, columns: dict[str, Column]) -> frozenset[str]:
    """The names of the columns of `path`. Raises DamagedRun unless it is a readable Parquet file
    with these columns.

    Optional ones may be missing. A file that a resumed run has just dropped has no columns.
    """
    try:
        name = str(path)
        stat = os.stat(name)
        found = _footer(name, stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        return frozenset()
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as e:
        raise unreadable(f"{path} is no readable Parquet file", e) from e
    if found.fitting.get(id(columns)) is columns:
        return found.names
    wrong = [
        name
        for name, column in columns.items()
        if not (found.types[name] == column.type if name in found.types else column.optional)
    ]
    if wrong:
        wanted = ", ".join(f"{name!r} of type {columns[name].type}" for name in wrong)
        there = ", ".join(f"{name} {type}" for name, type in found.types.items())
        raise DamagedRun(
            f"{path} has no column {wanted} (found: {there})",
            "Pages and detection rely on these columns",
            "If the file comes from another trainer, import that log instead of copying the file "
            "here",
        )
    found.fitting[id(columns)] = columns
    return found.names


class _Footer(NamedTuple):
    """The columns that a file has, one value for all files that have the same."""

    names: frozenset[str]
    types: dict[str, pa.DataType]
    # by identity: the columns of tables that were found to fit, so that none is checked twice
    fitting: dict[int, dict[str, Column]]


@lru_cache(maxsize=1 << 17)  # to open a run again costs a stat a file instead of a footer a file
def _footer(path: str, size: int, mtime_ns: int) -> _Footer:
    """The columns of a file as it is at this moment."""
    return _shared(tuple((f.name, f.type) for f in pq.read_schema(pa.OSFile(path))))


@lru_cache(maxsize=256)
def _shared(fields: tuple[tuple[str, pa.DataType], ...]) -> _Footer:
    return _Footer(frozenset(name for name, _ in fields), dict(fields), {})


def read_columns(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the columns that the file has, whole and in the order of its rows: the way to read
    millions of rows. Raises DamagedRun, or RunNotFound if the file is gone.
    """
    try:
        table = pq.ParquetFile(pa.OSFile(str(path))).read(columns=list(names))
    except FileNotFoundError as e:
        raise gone(path) from e
    except (pa.ArrowInvalid, OSError) as e:
        raise unreadable(f"{path} cannot be read", e) from e
    return {name: table[name].to_numpy() for name in names if name in table.column_names}
