"""Large files a part at a time: one text of a hundred million tokens is read from the row group
that holds it, and what a column holds is told by the first one.

A file that is looked through whole before anyone sees a word of it takes seconds a ten million
rows. So of a large file only the rows that are shown are held against what the schema promises;
the first question over all of its rows looks through it as ever (`checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore.log import contents
from rockcore.log.checks import checked, opened, read_values, vocabulary
from rockcore.log.files import check_schema, gone, state_of, unreadable
from rockcore.schema.places import place_of

LARGE = 2_000_000  # rows: to look through fewer takes half a second


class Groups(NamedTuple):
    """The row groups of a file: how many rows each has, and between which rollouts it lies."""

    rows: np.ndarray  # (G,)
    low: np.ndarray  # (G,) -inf where the footer does not say
    high: np.ndarray  # (G,)


def rows_in(path: Path) -> int:
    """The rows of a file, by its footer; 0 of one that is gone. Raises DamagedRun."""
    return 0 if (found := _groups_of(path)) is None else int(found.rows.sum())


def is_large(path: Path) -> bool:
    """Whether to look through a file takes long. Raises DamagedRun."""
    return rows_in(path) >= LARGE


def read_rollout(path: Path, rollout: int) -> pa.Table:
    """The rows of one rollout of a file that has rollouts, with all columns that it has. Raises
    DamagedRun where one of these rows cannot be, or RunNotFound if the file is gone.
    """
    found = _groups_of(path)
    if found is None:
        raise gone(path)
    at = np.flatnonzero((found.low <= rollout) & (rollout <= found.high)).tolist()
    table = _read(path, at, lambda part: _of_rollout(part, rollout))
    if not len(table):
        checked(path)  # it has no token, or a wrong number stands at its tokens
    place = place_of(path)
    keys = [name for name in place.table.key if name in table.column_names]
    named = [*keys, *(["step"] if "step" in table.column_names else [])]
    contents.refuse_keys(path, place, table.select(dict.fromkeys(named)))
    return table


def _of_rollout(part: pa.Table, rollout: int) -> pa.Table:
    return part.filter(pa.array(part["rollout_id"].to_numpy() == rollout))


def read_first(path: Path) -> pa.Table:
    """The rows of the first row group. Raises as `read_rollout` does."""
    return _read(path, [0], lambda part: part)


def are_null(path: Path, names: Iterable[str]) -> bool:
    """Whether the file lacks these columns, or its footer says that they hold nothing but nulls.
    Raises FileNotFoundError, or DamagedRun.
    """
    with opened(path) as parquet:
        about = parquet.metadata
        leaves = {about.schema.column(i).path.split(".")[0]: i for i in range(about.num_columns)}
        return all(_is_null(about, leaves[name]) for name in names if name in leaves)


def _is_null(about: pq.FileMetaData, leaf: int) -> bool:
    for group in range(about.num_row_groups):
        column = about.row_group(group).column(leaf)
        told = column.statistics
        if told is None or not told.has_null_count or told.null_count < column.num_values:
            return False
    return True


def _read(path: Path, groups: list[int], narrow: Callable[[pa.Table], pa.Table]) -> pa.Table:
    """Some row groups, narrowed and checked, one column as good as the schema says."""
    place = place_of(path)
    names = check_schema(path, place.table.columns)
    wanted = [name for name in place.table.columns if name in names]
    try:
        with opened(path) as parquet:
            parts = [narrow(read_values(path, parquet, wanted, [at])) for at in groups]
            empty = parquet.schema_arrow.empty_table().select(wanted)
    except FileNotFoundError as e:
        raise gone(path) from e
    table = pa.concat_tables(parts or [empty]).combine_chunks()
    ids = any(column.holds.in_vocab for column in place.table.columns.values())
    known = vocabulary(place.root) if ids else None
    bound = [name for name in wanted if contents.binds(place.table.columns[name])]
    contents.refuse_columns(path, place.table, table.select(bound), known)
    return table


def _groups_of(path: Path) -> Groups | None:
    try:
        return _groups(*state_of(path))
    except FileNotFoundError:
        return None
    except OSError as e:
        raise unreadable(f"{path} cannot be read", e) from e


@lru_cache(maxsize=1 << 12)
def _groups(path: str, size: int, mtime_ns: int, inode: int) -> Groups:
    """Raises FileNotFoundError, or DamagedRun."""
    with opened(Path(path)) as parquet:
        about = parquet.metadata
        names = [about.schema.column(i).path for i in range(about.num_columns)]
        leaf = names.index("rollout_id") if "rollout_id" in names else None
        spans = [_span(about.row_group(i), leaf) for i in range(about.num_row_groups)]
        rows = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
    low, high = np.array(spans, float).reshape(-1, 2).T
    return Groups(np.array(rows, np.int64), low, high)


def _span(group: pq.RowGroupMetaData, leaf: int | None) -> tuple[float, float]:
    told = None if leaf is None else group.column(leaf).statistics
    if told is None or not told.has_min_max:
        return -np.inf, np.inf
    return told.min, told.max
