"""Files of plain tables, read in batches: Parquet, CSV and JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore.importers.batches import Batch, refuse_doubled
from rockcore.importers.csv_files import csv_batches
from rockcore.importers.format import Export, unreadable
from rockcore.importers.lines import read_lines, record_of
from rockcore.importers.rows import BadRow
from rockcore.log.files import NOT_PARQUET

ROWS = 2**16  # of a batch
_LOOKED_AT = 16  # rows by which the size of others is guessed
_MOST_BATCH = 2**24  # bytes of a batch
_MOST_HELD = 2**22  # bytes of lines


def batches(export: Export, file: Path) -> Iterator[Batch | tuple[str, BadRow]]:
    """The rows of a file; a row that cannot be read comes behind its place.

    Raises BadExport for a file that cannot be read at all.
    """
    with file.open("rb") as opened:
        head = opened.read(4)
    if head == b"PAR1":
        yield from _of_parquet(export, file)
    elif is_csv(file):
        yield from csv_batches(export, file)
    else:
        yield from _of_lines(export, file)


def is_csv(file: Path) -> bool:
    """Whether a file that is no Parquet is read as CSV, which its name tells."""
    return file.suffix.lower() in (".csv", ".tsv")


def parquet_batches(export: Export, file: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, as many at once as memory easily holds. Raises BadExport for what
    is none, or has two columns of one name.
    """
    size = file.stat().st_size
    try:
        with pa.OSFile(str(file)) as opened:
            parquet = pq.ParquetFile(opened)
            refuse_doubled(file, parquet.schema_arrow.names)
            rows = max(parquet.metadata.num_rows, 1)
            for batch in parquet.iter_batches(_at_once(parquet)):
                yield batch
                export.advance(size * batch.num_rows // rows)
    except NOT_PARQUET as e:
        raise unreadable(file, e) from e


def _at_once(parquet: pq.ParquetFile) -> int:
    """How many rows to read at once: a repeated value is short in the file and long in memory."""
    first = next(parquet.iter_batches(_LOOKED_AT), None)
    if first is None or not first.num_rows:
        return ROWS
    groups = [parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)]
    in_file = sum(group.total_byte_size for group in groups) / max(parquet.metadata.num_rows, 1)
    return int(max(1, min(ROWS, _MOST_BATCH / max(in_file, first.nbytes / first.num_rows, 1))))


def _of_parquet(export: Export, file: Path) -> Iterator[Batch]:
    first = 1
    for batch in parquet_batches(export, file):
        names = batch.schema.names
        columns = {name: _cells(batch.column(i)) for i, name in enumerate(names)}
        yield Batch(file, first, columns, batch.num_rows)
        first += batch.num_rows


def _cells(column: pa.Array) -> Any:
    """Numbers as they are, with NaN for null where they are floats; else Python's objects; lists
    each an array.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        if not len(column):
            return []
        flat, ends = column.flatten(), column.value_lengths().fill_null(0).to_numpy()
        values = flat.to_numpy(zero_copy_only=False)
        cells = np.split(values, np.cumsum(ends)[:-1])
        known = column.is_valid().to_numpy(zero_copy_only=False)
        return [cell if k else None for cell, k in zip(cells, known, strict=True)]
    if pa.types.is_floating(column.type) or (
        pa.types.is_integer(column.type) and not column.null_count
    ):
        return column.to_numpy(zero_copy_only=False)
    cells = np.empty(len(column), object)
    cells[:] = column.to_pylist()
    return cells


def _of_lines(export: Export, file: Path) -> Iterator[Batch | tuple[str, BadRow]]:
    read = 0

    def advance(count: int) -> None:
        nonlocal read
        read += count
        export.advance(count)

    held: list[tuple[int, dict[str, Any]]] = []
    for line in read_lines(file, advance=advance):
        record = record_of(line)
        if isinstance(record, BadRow):
            yield f"{file}, line {line.number}", record
            continue
        held.append((line.number, record))
        if len(held) >= ROWS or read > _MOST_HELD:
            yield _of_records(file, held)
            held, read = [], 0
    if held:
        yield _of_records(file, held)


def _of_records(file: Path, records: list[tuple[int, dict[str, Any]]]) -> Batch:
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for _, record in records for name in record):
        columns[name] = np.empty(len(records), object)
        columns[name][:] = [record.get(name) for _, record in records]
    numbers = np.array([number for number, _ in records], np.int64)
    return Batch(file, 0, columns, len(records), "line", numbers)


def numbers_in(cells: Any, text: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cells as (N,) float64, NaN where they are empty, and which of them are no numbers."""
    cells = np.asarray(cells)
    if cells.dtype.kind in "iuf":
        return cells.astype(np.float64), np.zeros(len(cells), bool)
    if cells.dtype.kind == "b":
        return np.full(len(cells), np.nan), np.ones(len(cells), bool)
    if text:
        empty = np.array([c.strip().lower() in ("", "null", "none", "na", "nan") for c in cells])
        numbers: Any = pd.to_numeric(pd.Series(cells).mask(empty, None), errors="coerce")
        found = np.asarray(numbers, np.float64)
        return found, np.isnan(found) & ~empty
    wrong = np.array([not (c is None or type(c) in (int, float)) for c in cells], bool)
    wrong |= np.array([type(c) is int and abs(c) > 2**63 for c in cells], bool)
    right = [None if w else c for c, w in zip(cells, wrong, strict=True)]
    return np.array([np.nan if c is None else float(c) for c in right]), wrong
