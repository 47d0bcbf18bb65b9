"""The contents of the files of a log, held against what the schema promises before anyone relies on
them.

A file is looked through when a question first needs it, so what it costs does not depend on what
nobody looks at. What was found to hold is remembered for as long as the file stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rockcore.log.files import NOT_PARQUET, State, check_schema, gone, state_of, unreadable
from rockcore.schema import TABLES, Column, DamagedRun, LogTable
from rockcore.schema.holds import Holds
from rockcore.schema.places import Place, place_of


def checked(path: Path) -> frozenset[str]:
    """The names of the columns of a file, whose contents hold what its table promises; none where a
    resumed run has just dropped it. Raises DamagedRun, which names the file and what is wrong.
    """
    try:
        return _checked(*state_of(path))
    except FileNotFoundError:
        return frozenset()
    except OSError as e:
        raise unreadable(f"{path} cannot be read", e) from e


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


def read_columns(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the columns that a file has, whole and in the order of its rows: the way to read
    millions of rows. Raises DamagedRun, or RunNotFound if the file is gone.
    """
    table = read_table(path, names)
    return {name: table[name].to_numpy() for name in table.column_names}


def read_table(path: Path, names: Sequence[str]) -> pa.Table:
    """The same as a table; raises likewise."""
    there = checked(path)
    try:
        return _read(path, [name for name in names if name in there])
    except FileNotFoundError as e:
        raise gone(path) from e


@lru_cache(maxsize=1 << 17)  # what raises is not remembered
def _checked(path: str, size: int, mtime_ns: int, inode: int) -> frozenset[str]:
    """Look a file through as it is at this moment."""
    file = Path(path)
    place = place_of(file)
    of = place.table
    names = check_schema(file, of.columns)
    columns = {n: c for n, c in of.columns.items() if n in names and (n in of.key or _binds(c))}
    table = _read(file, list(columns))
    _check_rows(file, place, table)
    ids = any(column.holds.in_vocab for column in columns.values())
    known = vocabulary(place.root) if ids else None
    for name, column in columns.items():
        if fault := _fault(table, name, column.holds, known):
            raise _damaged(file, of, f"{fault} in {name!r}", f"{name}: {column.meaning}")
    for relation in of.relations:
        if fault := relation(table):
            raise _damaged(file, of, fault, "What is computed from these rows would be wrong")
    _check_key(file, of, table)
    return names


def _read(path: Path, names: Sequence[str]) -> pa.Table:
    """Raises FileNotFoundError, or DamagedRun for pages that cannot be read."""
    try:
        table = pq.ParquetFile(pa.OSFile(str(path))).read(columns=list(names)).combine_chunks()
        table.validate(full=True)  # else a text that is none is met when it is shown
        return table
    except FileNotFoundError:
        raise
    except NOT_PARQUET as e:
        raise unreadable(f"{path} cannot be read", e) from e


def _binds(column: Column) -> bool:
    """Whether anything is promised that a look at the values can find broken."""
    if column.holds != Holds():
        return column.holds != Holds(finite=False)
    return pa.types.is_floating(column.type)


def _check_rows(file: Path, place: Place, table: pa.Table) -> None:
    """How many rows there are, and that they are of the step that the file is called after."""
    of = place.table
    if not of.key and len(table) != 1:
        raise _damaged(file, of, f"has {len(table)} rows instead of one", "It sums up one step")
    if of.filled and not len(table):
        raise _damaged(file, of, "has no rows", "It is written where there is something to write")
    if place.step is not None and len(table):
        steps = table["step"].drop_null().to_numpy()
        if len(other := np.flatnonzero(steps != place.step)):
            raise _damaged(
                file,
                of,
                f"has {len(other)} of {len(table)} rows of another step, e.g. {steps[other[0]]}",
                f"The file is called after step {place.step}, and its values would land at "
                "another one",
            )


def _fault(table: pa.Table, name: str, holds: Holds, vocabulary: np.ndarray | None) -> str:
    """What is wrong with the values of one column, as a sentence goes on behind the file's name;
    nothing where all holds.
    """
    column, rows = table[name].combine_chunks(), len(table)
    if holds.known and column.null_count:
        return f"has {column.null_count} of {rows} values that are missing"
    if pa.types.is_list(column.type):
        if fault := _fault_of_lengths(table, column, holds):
            return fault
        column = column.flatten()
        rows = len(column)
        if column.null_count:
            return f"has {column.null_count} of {rows} entries that are missing"
    if holds.among:
        others = pc.unique(column.filter(pc.invert(pc.is_in(column, pa.array(holds.among)))))
        said = ascii(others[0].as_py())[:80] if len(others) else ""
        return f"has {said}, which is none of {', '.join(holds.among)}," if said else ""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return ""
    values = (column.drop_null() if column.null_count else column).to_numpy(zero_copy_only=False)
    return _fault_of_numbers(values, rows, holds, vocabulary)


def _fault_of_lengths(table: pa.Table, lists: pa.ListArray, holds: Holds) -> str:
    lengths, (fewest, most) = lists.value_lengths(), holds.entries
    known = lengths.drop_null().to_numpy(zero_copy_only=False)
    wrong = int(((known < fewest) | (known > most)).sum())
    if wrong:
        return f"has {wrong} of {len(lists)} lists that are too short or too long"
    if holds.as_long_as:
        other = pc.list_value_length(table[holds.as_long_as]).combine_chunks()
        if not pc.fill_null(other, -1).equals(pc.fill_null(lengths, -1)):
            return f"has lists that are not as long as those in {holds.as_long_as!r}"
    return ""


def _fault_of_numbers(
    values: np.ndarray, rows: int, holds: Holds, vocabulary: np.ndarray | None
) -> str:
    if not len(values):
        return ""
    floating = values.dtype.kind == "f"
    if floating and holds.known and (n := int(np.isnan(values).sum())):
        return f"has {n} of {rows} values that are no numbers"
    if floating and holds.finite and (n := int(np.isinf(values).sum())):
        return f"has {n} of {rows} values that are infinite"
    for bound, wrong in ((holds.least, np.less), (holds.most, np.greater)):
        if bound is not None and (at := wrong(values, bound)).any():
            which = "below" if wrong is np.less else "above"
            return f"has {at.sum()} of {rows} values {which} {bound:g}, e.g. {values[at][0]}"
    if holds.in_vocab and vocabulary is not None:
        unknown = _beyond(values, vocabulary)
        if len(unknown):
            return (
                f"has ids that vocab.parquet lacks, {len(unknown)} of them, e.g. "
                f"{unknown[:5].tolist()},"
            )
    return ""


def _beyond(ids: np.ndarray, vocabulary: np.ndarray) -> np.ndarray:
    """Those of some ids, none of them negative, that a vocabulary lacks."""
    whole = len(vocabulary) and vocabulary[-1] == len(vocabulary) - 1
    if whole and ids.max() < len(vocabulary):  # the rule, and a tenth of the time
        return ids[:0]
    return np.setdiff1d(pd.unique(ids), vocabulary)


@lru_cache(maxsize=16)
def _vocabulary_ids(vocab: State) -> np.ndarray:
    """Raises FileNotFoundError, or DamagedRun."""
    _checked(*vocab)
    return np.sort(_read(Path(vocab.path), ["token_id"])["token_id"].to_numpy())


def _check_key(file: Path, of: LogTable, table: pa.Table) -> None:
    """No row twice, and no gap where the last of the key counts."""
    if not of.key or not len(table):
        return
    key, order = [_numbers(table[name]) for name in of.key], None
    if not _ascends(key):
        order = np.lexsort(key[::-1])
        key = [column[order] for column in key]
    if of.gapless:
        _check_gapless(file, of, key)
    elif order is not None:
        same = np.logical_and.reduce([column[1:] == column[:-1] for column in key])
        if same.any():
            row = int(order[np.flatnonzero(same)[0]])
            said = ", ".join(f"{name} {ascii(table[name][row].as_py())[:80]}" for name in of.key)
            what = f"has {same.sum()} of {len(table)} rows twice, e.g. {said}"
            raise _damaged(file, of, what, "Sums over them would count them twice")


def _check_gapless(file: Path, of: LogTable, key: list[np.ndarray]) -> None:
    """`key`: the columns of the key, ascending. A row that is there twice is no next one."""
    *outer, counted = key
    begins = np.zeros(len(counted), bool)
    begins[0] = True
    for column in outer:
        begins[1:] |= column[1:] != column[:-1]
    expected = np.where(begins, 0, np.append(0, counted[:-1] + 1))
    if len(wrong := np.flatnonzero(counted != expected)):
        at = wrong[0]
        names = [name.removesuffix("_id") for name in of.key]
        where = "".join(f"{n} {c[at]} has " for n, c in zip(names[:-1], outer, strict=True))
        raise _damaged(
            file,
            of,
            f"has rows twice or not at all: {where}{names[-1]} {counted[at]} where {expected[at]} "
            "should stand",
            "Contexts and pairs are read off neighbouring rows",
        )


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column of a key as numbers that are equal where its values are."""
    if pa.types.is_integer(column.type):
        return column.to_numpy()
    return column.combine_chunks().dictionary_encode().indices.to_numpy()


def _ascends(key: list[np.ndarray]) -> bool:
    """Whether the rows lie in strictly ascending order of these columns, the first one leading."""
    ahead, same = key[0][1:] > key[0][:-1], key[0][1:] == key[0][:-1]
    for column in key[1:]:
        ahead |= same & (column[1:] > column[:-1])
        same &= column[1:] == column[:-1]
    return bool(ahead.all())


def _damaged(file: Path, of: LogTable, what: str, why: str) -> DamagedRun:
    return DamagedRun(f"{file} {what}", why, of.mend)
