"""DuckDB, which answers the questions of `Run`; nothing else in the project knows it.

A path goes to DuckDB through `exact` alone: it takes what it is given for a pattern, and would read
the neighbours of a run that is called run[1].
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from rockcore import memory, schema
from rockcore.log import parts
from rockcore.log.checks import kinds, vocabulary_of
from rockcore.log.contents import ascends
from rockcore.log.files import gone, unreadable
from rockcore.log.grown import grown
from rockcore.schema import Column, DamagedRun, RockError

_SQL_TYPES = {
    pa.float16(): "FLOAT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.int32(): "INTEGER",
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
}
_MISTAKES = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)
_TRIES = 3
T = TypeVar("T")


class OutOfMemory(RockError, MemoryError):
    """A question needs more memory than DuckDB may take."""


def ask(sql: str, files: Sequence[Path], **parameters: Any) -> pd.DataFrame:
    """The answer to `sql`, where $files stands for these files, and parameters for themselves.

    Files that are deleted meanwhile, as a run that goes on does, are left out of the answer. Raises
    RunNotFound if all of them are, DamagedRun if one cannot be read, OutOfMemory.
    """
    return _asked(sql, files, _frame, **parameters)


def _asked(
    sql: str,
    files: Sequence[Path],
    take: Callable[[duckdb.DuckDBPyConnection, str, dict[str, Any]], T],
    kept: Mapping[str, pa.Table] | None = None,
    **parameters: Any,
) -> T:
    """See `ask`. `take` puts the question; `kept`: the rows of the files in memory, by what `sql`
    calls them.
    """
    paths = [value for value in parameters.values() if isinstance(value, Path)]
    values = {n: exact(v) if isinstance(v, Path) else v for n, v in parameters.items()}
    for last in [False] * (_TRIES - 1) + [True]:
        # one cursor a call: a connection shared by threads mixes up results
        cursor = _connection().cursor()
        try:
            if kept is not None:
                for name, table in kept.items():
                    cursor.register(name, table)
                return take(cursor, sql, values)
            return take(cursor, sql, {"files": [exact(f) for f in files], **values})
        except duckdb.OutOfMemoryException as e:
            raise OutOfMemory(
                f"A question to {files[0].parent} needs more memory than DuckDB may take "
                f"({str(e).splitlines()[0]})",
                f"It may take {memory.limit() / 1e9:.1f} GB, half of the machine's where nothing "
                "else is set, so that the rest stays usable",
                f"Ask about fewer steps, or give it more ({memory.SETTING}=8GB)",
            ) from e
        except duckdb.Error as e:
            missing = [file for file in (*files, *paths) if not file.exists()]
            files = [file for file in files if file not in missing]
            if missing and (last or not files or isinstance(e, _MISTAKES) or {*paths} & {*missing}):
                raise gone(missing[0]) from e
            if isinstance(e, _MISTAKES):
                raise  # a mistake in a question, not in a file
            if last:
                # the footers were checked: what fails is a page of a file
                raise unreadable(f"A file of {files[0].parent} cannot be read", e) from e
    raise AssertionError("the last try answers or raises")


def _frame(cursor: duckdb.DuckDBPyConnection, sql: str, values: dict[str, Any]) -> pd.DataFrame:
    return cursor.execute(sql, values).df()


def _table(cursor: duckdb.DuckDBPyConnection, sql: str, values: dict[str, Any]) -> pa.Table:
    return cursor.sql(sql, params=values).to_arrow_table()


def rows(columns: dict[str, Column], files: Sequence[Path]) -> pd.DataFrame:
    """All rows of the files, with these columns."""
    if not files:
        return schema.arrow_schema(columns).empty_table().to_pandas()
    return ask_all(f"SELECT {', '.join(columns)} FROM {{}}", columns, files)


def rows_by(
    order: Sequence[str], columns: dict[str, Column], files: Sequence[Path]
) -> pd.DataFrame:
    """All rows of the files, with these columns, in the order of some of them, which are numbers.
    The rows of a long run, which its writer has put in this order, are not sorted again.
    """
    kept = _kept(columns, files)
    if kept is not None and ascends([kept[name].to_numpy() for name in order]):
        return kept.to_pandas()
    by = f"SELECT {', '.join(columns)} FROM {{}} ORDER BY {', '.join(order)}"
    return ask_all(by, columns, files)


def ask_all(sql: str, columns: dict[str, Column], files: Sequence[Path]) -> pd.DataFrame:
    """The answer to `sql`, in which {} stands for all rows of these files, with these columns: see
    `source`. The columns of a long run are kept in memory.
    """
    kept = _kept(columns, files)
    if kept is None:
        return ask(sql.format(source(columns, files)), files)
    return _asked(sql.format("kept"), files, _frame, {"kept": kept})


def _kept(columns: dict[str, Column], files: Sequence[Path]) -> pa.Table | None:
    def read(new: Sequence[Path]) -> pa.Table:
        every = f"SELECT {', '.join(columns)} FROM {source(columns, new)}"
        return _asked(every, new, _table)

    return grown(files, columns, read, against=vocabulary_of) if files else None


class Table(NamedTuple):
    """One table that a question on one rollout is put to."""

    columns: dict[str, Column]
    files: Sequence[Path]


def ask_rollout(
    sql: str, tables: Mapping[str, Table], rollout: int, vocab: Path | None = None
) -> pd.DataFrame:
    """The answer to `sql` on the rows of one rollout, in which {name} stands for a table; `files`
    among them is the one that is asked. Of large files no other rows are read or looked through.

    $vocab is the vocabulary. Raises as `ask` does.
    """
    files, beside = tables["files"].files, {n: t for n, t in tables.items() if n != "files"}
    beside_files = {name: t.files[0] for name, t in beside.items() if t.files}
    paths = ({} if vocab is None else {"vocab": vocab}) | beside_files
    if not any(parts.is_large(file) for file in files):
        where = " WHERE rollout_id = $rollout"
        sources = {n: f"(FROM {source(*t, n)}{where})" for n, t in tables.items()}
        return ask(sql.format(**sources), files, rollout=rollout, **paths)
    kept = {name: _rollout_of(table, rollout) for name, table in tables.items()}
    paths = {name: path for name, path in paths.items() if name not in kept}
    return _asked(sql.format(**{n: n for n in kept}), files, _frame, kept, **paths)


def _rollout_of(of: Table, rollout: int) -> pa.Table:
    """All columns, those that a file lacks as nulls."""
    types = {name: _widened(column.type) for name, column in of.columns.items()}
    found = pa.schema(list(types.items())).empty_table()
    for file in of.files:
        rows = parts.read_rollout(file, rollout)
        for name in types.keys() - set(rows.column_names):
            rows = rows.append_column(name, pa.nulls(len(rows), types[name]))
        found = pa.concat_tables([found, rows.select(found.column_names).cast(found.schema)])
    return found


def _widened(type: pa.DataType) -> pa.DataType:
    """The type that DuckDB, which knows no halves, gives a column."""
    if pa.types.is_list(type):
        return pa.list_(_widened(type.value_type))
    return pa.float32() if type == pa.float16() else type


def source(columns: dict[str, Column], files: Sequence[Path], name: str = "files") -> str:
    """What to write after FROM for the files of one parameter, whose contents are checked here: no
    question can read others. Optional columns which all or some of them lack are null; of no files
    there are no rows.

    Raises DamagedRun for contents that cannot be right.
    """
    if not files:
        typed = (f"CAST(NULL AS {_sql_type(c.type)}) AS {n}" for n, c in columns.items())
        return f"(SELECT {', '.join(typed)} WHERE false)"
    found = kinds(files)
    missing = [n for n, c in columns.items() if c.optional and not any(n in f for f in found)]
    nulls = [f", CAST(NULL AS {_sql_type(columns[n].type)}) AS {n}" for n in missing]
    mixed = str(len(found) > 1).lower()
    # without the first option, DuckDB would read columns out of folder names such as runs/seed=1
    read = f"read_parquet(${name}, hive_partitioning = false, union_by_name = {mixed})"
    return f"(SELECT *{''.join(nulls)} FROM {read})"


def _sql_type(type: pa.DataType) -> str:
    return f"{_sql_type(type.value_type)}[]" if pa.types.is_list(type) else _SQL_TYPES[type]


def exact(path: Path) -> str:
    """The path as DuckDB reads it for this one file: no pattern, and no ~ or file: of its own.

    Raises DamagedRun where DuckDB has no way to say it.
    """
    name = os.path.abspath(path)
    if os.sep == "/" and "\\" in name and _PATTERN.search(name):
        raise DamagedRun(
            f"{name} has a backslash in its path and one of [ * ? too",
            "DuckDB takes such a path for a pattern, and would read other files",
            "Rename the folder",
        )
    return _PATTERN.sub(r"[\g<0>]", name)


_PATTERN = re.compile(r"[\[*?]")


def _connection() -> duckdb.DuckDBPyConnection:
    global _shared
    with _lock:
        if _shared is None:
            _shared = _connect()
    return _shared


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            # what does not fit spills there, not into the folder where the program was started
            "temp_directory": str(Path(tempfile.gettempdir()) / f"rockcore-{os.getpid()}"),
        },
    )
    connection.execute(f"SET memory_limit = '{memory.limit() / 1e6:.2f}MB'")
    return connection


_lock = Lock()
_shared: duckdb.DuckDBPyConnection | None = None
