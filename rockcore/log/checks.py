"""The contents of the files of a log, held against what the schema promises before anyone relies on
them.

A file is looked through when a question first needs it, so what it costs does not depend on what
nobody looks at. What was found to hold is remembered for as long as the file stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore import memory
from rockcore.log import contents
from rockcore.log.beside import beside
from rockcore.log.files import NOT_PARQUET, State, check_schema, gone, state_of, unreadable
from rockcore.log.listing import news_of
from rockcore.log.passed import FEW, passed
from rockcore.schema import TABLES, DamagedRun, LogTable
from rockcore.schema.places import Place, place_of


def checked(path: Path) -> frozenset[str]:
    """The names of the columns of a file, whose contents hold what its table promises; none where a
    resumed run has just dropped it. Raises DamagedRun, which names the file and what is wrong.
    """
    try:
        state = state_of(path)
        if before := _refused.get(state):
            _refuse_again(path, state, before)
        return _checked(*state)
    except FileNotFoundError:
        return frozenset()
    except OSError as e:
        raise unreadable(f"{path} cannot be read", e) from e


def kinds(files: Sequence[Path]) -> list[frozenset[str]]:
    """The different sets of columns that some files of one table and run have, each file `checked`;
    of ten thousand of them only those that were not before. Raises DamagedRun.
    """
    folder = files[0].parent
    many = len(files) >= FEW and folder == files[-1].parent
    if not many or news_of(folder, LogTable.is_file, None).count != len(files):  # not all there are
        return [*{names for file in files if (names := checked(file))}]
    return passed(folder, "contents", checked, against=vocabulary_of(files[0]))


def vocabulary_of(file: Path) -> str:
    """In which state the vocabulary is that a file is held against."""
    return str(_state_of_vocabulary(place_of(file).root))


def _refuse_again(path: Path, state: State, before: _Refusal) -> None:
    """Raise what was found wrong with a file before, unless its vocabulary was mended since."""
    if before.vocabulary == _state_of_vocabulary(place_of(path).root):
        raise DamagedRun(*before.parts)
    _refused.pop(state, None)


class _Refusal(NamedTuple):
    parts: tuple[str, str, str]
    vocabulary: State | None  # what its ids were held against


_refused: dict[State, _Refusal] = {}
_MOST_REFUSED = 1 << 12


def _state_of_vocabulary(run: Path) -> State | None:
    try:
        return state_of(run / TABLES["vocab"].file())
    except (OSError, DamagedRun):
        return None


def vocabulary(run: Path) -> np.ndarray | None:
    """The token ids of a run, ascending; None where there is no vocabulary, as beside the tables of
    a comparison. Raises DamagedRun for one that cannot be.
    """
    file = run / TABLES["vocab"].file()
    try:
        return _vocabulary_ids(state_of(file))
    except FileNotFoundError:
        return None
    except OSError as e:
        raise unreadable(f"{file} cannot be read", e) from e


def read_columns(
    path: Path, names: Sequence[str], pulse: Callable[[], None] | None = None
) -> dict[str, np.ndarray]:
    """Those of the columns that a file has, whole and in the order of its rows: the way to read
    millions of rows. `pulse` is called all along, and stops it by raising. Raises DamagedRun, or
    RunNotFound if the file is gone.
    """
    there = checked(path) if pulse is None else beside(lambda: checked(path), pulse)
    wanted = [name for name in names if name in there]
    try:
        with opened(path) as parquet:
            if parquet.metadata.num_rows >= contents.FEW:
                return _filled(path, parquet, wanted, pulse or (lambda: None))
            table = read_values(path, parquet, wanted)
            return {name: table[name].to_numpy() for name in wanted}
    except FileNotFoundError as e:
        raise gone(path) from e


def _filled(
    path: Path, parquet: pq.ParquetFile, names: Sequence[str], pulse: Callable[[], None]
) -> dict[str, np.ndarray]:
    """Columns of many rows, piece by piece into arrays of their own: nothing is held twice."""
    found: dict[str, np.ndarray] = {}
    at, rows = 0, parquet.metadata.num_rows
    try:
        for batch in parquet.iter_batches(_PIECE, columns=list(names)):
            pulse()
            batch.validate(full=True)
            for name in names:
                values = batch.column(name).to_numpy(zero_copy_only=False)
                whole = found[name] if name in found else memory.array(rows, values.dtype)
                found[name] = whole
                if (dtype := np.result_type(whole, values)) != whole.dtype:  # some are missing
                    whole = found[name] = whole.astype(dtype)
                whole[at : at + len(batch)] = values
            at += len(batch)
    except NOT_PARQUET as e:
        raise unreadable(f"{path} cannot be read", e) from e
    return found


_PIECE = 2**18  # rows


def release() -> None:
    """Give back what Arrow keeps of the memory that it has read in."""
    pa.default_memory_pool().release_unused()


def read_table(path: Path, names: Sequence[str]) -> pa.Table:
    """The same as a table; raises likewise."""
    there = checked(path)
    try:
        with opened(path) as parquet:
            return read_values(path, parquet, [name for name in names if name in there])
    except FileNotFoundError as e:
        raise gone(path) from e


@lru_cache(maxsize=1 << 17)  # what raises is remembered in _refused
def _checked(path: str, size: int, mtime_ns: int, inode: int) -> frozenset[str]:
    file = Path(path)
    place = place_of(file)
    names = check_schema(file, place.table.columns)
    against = _state_of_vocabulary(place.root)
    try:
        with opened(file) as parquet:
            _look_through(file, place, names, parquet)
    except DamagedRun as e:
        if not isinstance(e.__cause__, OSError):  # that may be of the disk
            if len(_refused) >= _MOST_REFUSED:
                _refused.clear()
            _refused[State(path, size, mtime_ns, inode)] = _Refusal(e.parts, against)
        raise
    return names


def _look_through(file: Path, place: Place, names: frozenset[str], parquet: pq.ParquetFile) -> None:
    """Its key first: of rows that may be there, there are not more than a machine can hold, but a
    file of few bytes can have any number of equal ones. Raises DamagedRun.
    """
    of, rows = place.table, parquet.metadata.num_rows
    ids = any(column.holds.in_vocab for column in of.columns.values())
    known = vocabulary(place.root) if ids else None
    contents.refuse_count(file, place, rows, known)
    wanted = [n for n, c in of.columns.items() if n in names and (n in of.key or contents.binds(c))]
    first = [n for n in wanted if n in of.key or n == "step"]
    # few rows are read in one go, which is twice as fast
    table = read_values(file, parquet, wanted if rows < contents.FEW else first)
    contents.refuse_columns(file, of, table.select(first), known)
    contents.refuse_keys(file, place, table.select(first))
    others = [name for name in wanted if name not in first]
    if rows < contents.FEW or of.relations:
        rest = table if rows < contents.FEW else read_values(file, parquet, others)
        contents.refuse_columns(file, of, rest.select(others), known)
        contents.refuse_relations(
            file, of, pa.table({n: (table if n in first else rest)[n] for n in wanted})
        )
        return
    del table
    for name in others:  # one at a time they take the same memory, whose first touch costs most
        beside = of.columns[name].holds.as_long_as
        some = read_values(file, parquet, [name, beside] if beside else [name])
        contents.refuse_columns(file, of, some, known)


def opened(path: Path) -> pq.ParquetFile:
    """Raises FileNotFoundError, or DamagedRun for what is no such file."""
    try:
        return pq.ParquetFile(pa.OSFile(str(path)))
    except FileNotFoundError:
        raise
    except NOT_PARQUET as e:
        raise unreadable(f"{path} is no readable Parquet file", e) from e


def read_values(
    path: Path, parquet: pq.ParquetFile, names: Sequence[str], groups: list[int] | None = None
) -> pa.Table:
    """Some columns, of some row groups or all. Raises DamagedRun for pages that cannot be read."""
    try:
        threads = parquet.metadata.num_rows >= contents.FEW
        if groups is None:
            table = parquet.read(columns=list(names), use_threads=threads)
        else:
            table = parquet.read_row_groups(groups, columns=list(names), use_threads=threads)
        table = table.combine_chunks()
        table.validate(full=True)  # else a text that is none is met when it is shown
        return table
    except NOT_PARQUET as e:
        raise unreadable(f"{path} cannot be read", e) from e


@lru_cache(maxsize=16)
def _vocabulary_ids(vocab: State) -> np.ndarray:
    """Raises FileNotFoundError, or DamagedRun."""
    _checked(*vocab)
    file = Path(vocab.path)
    with opened(file) as parquet:
        return np.sort(read_values(file, parquet, ["token_id"])["token_id"].to_numpy())
