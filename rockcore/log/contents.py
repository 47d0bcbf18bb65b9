"""What the rows of one file may not be, whatever table it is of: each refusal names the file and
what was found.

The arrays that ids are held against are those of a run's vocabulary, ascending; None where there is
none beside the file.
"""

from __future__ import annotations

import math
from pathlib import PurePath

import numpy as np
import pyarrow as pa

from rockcore.schema import Column, DamagedRun, LogTable
from rockcore.schema.holds import Holds
from rockcore.schema.places import Place

FEW = 2**16  # rows


def binds(column: Column) -> bool:
    """Whether anything is promised that a look at the values can find broken."""
    if column.holds != Holds():
        return column.holds != Holds(finite=False)
    return pa.types.is_floating(column.type)


def refuse_count(file: PurePath, place: Place, rows: int, vocabulary: np.ndarray | None) -> None:
    """As the footer has it, before a row is read."""
    of = place.table
    if not of.key and rows != 1:
        raise _damaged(file, of, f"has {rows} rows instead of one", "It sums up one step")
    if of.filled and not rows:
        raise _damaged(file, of, "has no rows", "It is written where there is something to write")
    # of fewer rows it is worth finding out which of them are wrong
    if of.key and rows >= FEW and rows > (most := _most_rows(of, vocabulary)):
        keys = " and ".join(of.key)
        raise _damaged(
            file,
            of,
            f"has {rows} rows, and there are only {most:.0f} different ones by {keys}",
            "Sums over them would count some twice",
        )


def _most_rows(of: LogTable, vocabulary: np.ndarray | None) -> float:
    """How many different keys there can be."""
    most = 1.0
    for name in of.key:
        holds = of.columns[name].holds
        if holds.in_vocab and vocabulary is not None:
            most *= len(vocabulary)
        elif holds.least is not None and holds.most is not None:
            most *= holds.most - holds.least + 1
        else:
            return math.inf
    return most


def refuse_columns(
    file: PurePath, of: LogTable, table: pa.Table, vocabulary: np.ndarray | None
) -> None:
    """Each column by itself."""
    for name in table.column_names:
        column = of.columns[name]
        if fault := _fault(table, name, column.holds, vocabulary):
            raise _damaged(file, of, f"{fault} in {name!r}", f"{name}: {column.meaning}")


def refuse_keys(file: PurePath, place: Place, table: pa.Table) -> None:
    """`table`: the step and what tells the rows apart, each column checked."""
    of = place.table
    if place.step is not None:
        steps = table["step"].to_numpy()
        if len(other := np.flatnonzero(steps != place.step)):
            raise _damaged(
                file,
                of,
                f"has {len(other)} of {len(table)} rows of another step, e.g. {steps[other[0]]}",
                f"The file is called after step {place.step}, and its values would land at "
                "another one",
            )
    if of.key and len(table):
        _check_key(file, of, table)


def refuse_relations(file: PurePath, of: LogTable, table: pa.Table) -> None:
    """What holds between the columns of a row."""
    for relation in of.relations:
        if fault := relation(table):
            raise _damaged(file, of, fault, "What is computed from these rows would be wrong")


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
        others = sorted({*column.unique().to_pylist()} - {*holds.among})
        known = ", ".join(holds.among)
        return f"has {ascii(others[0])[:80]}, which is none of {known}," if others else ""
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
        others = table[holds.as_long_as].combine_chunks().value_lengths()
        if not others.fill_null(-1).equals(lengths.fill_null(-1)):
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
    return np.setdiff1d(pa.array(ids).unique().to_numpy(), vocabulary)


def _check_key(file: PurePath, of: LogTable, table: pa.Table) -> None:
    """No row twice, and no gap where the last of the key counts."""
    key, order = [_numbers(table[name]) for name in of.key], None
    if of.gapless and len(key) == 2 and _counts_on(*key):
        return  # as our writer has it: one pass settles all
    if not ascends(key):
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


def _check_gapless(file: PurePath, of: LogTable, key: list[np.ndarray]) -> None:
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


def _counts_on(outer: np.ndarray, counted: np.ndarray) -> bool:
    """Whether `counted` counts from 0 within each value of `outer`, which ascends."""
    if counted[0] != 0:
        return False
    same, next_one = outer[1:] == outer[:-1], counted[1:] - counted[:-1] == 1
    begins = (counted[1:] == 0) & (outer[1:] > outer[:-1])
    return bool(np.where(same, next_one, begins).all())


def ascends(key: list[np.ndarray]) -> bool:
    """Whether the rows lie in strictly ascending order of these columns, the first one leading."""
    ahead, same = key[0][1:] > key[0][:-1], key[0][1:] == key[0][:-1]
    for column in key[1:]:
        ahead |= same & (column[1:] > column[:-1])
        same &= column[1:] == column[:-1]
    return bool(ahead.all())


def _damaged(file: PurePath, of: LogTable, what: str, why: str) -> DamagedRun:
    return DamagedRun(f"{file} {what}", why, of.mend)
