"""Tables as CSV, read in bounded lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from rockcore.importers.batches import Batch, refuse_doubled
from rockcore.importers.format import Export, unreadable
from rockcore.importers.rows import BadRow

_ROWS = 2**14  # of a batch; each cell is text
_LONGEST_CELL = 2**24  # characters


def csv_batches(export: Export, file: Path) -> Iterator[Batch | tuple[str, BadRow]]:
    """The rows of a file; one with other cells than the header comes behind its place. Raises
    BadExport for a file that cannot be read.
    """
    first, behind = 2, 0
    csv.field_size_limit(_LONGEST_CELL)
    try:
        with (
            file.open("rb") as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as opened,
        ):
            reader = csv.reader(
                _lines(opened), delimiter="\t" if file.suffix.lower() == ".tsv" else ","
            )
            header = next(reader, [])
            refuse_doubled(file, header)
            while rows := list(islice(reader, _ROWS)):
                yield from _wrong_rows(file, first, rows, header)
                right = [i for i, row in enumerate(rows) if len(row) == len(header)]
                columns = {
                    name: np.array([rows[i][c] for i in right], object)
                    for c, name in enumerate(header)
                }
                numbers = np.array(right, np.int64) + first
                yield Batch(file, first, columns, len(right), "row", numbers, text=True)
                first += len(rows)
                export.advance(raw.tell() - behind)
                behind = raw.tell()
    except (csv.Error, UnicodeDecodeError, OSError) as e:
        raise unreadable(file, e) from e


def _lines(opened: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a file, none of them without end."""
    while line := opened.readline(_LONGEST_CELL):
        if len(line) == _LONGEST_CELL:
            raise csv.Error(f"a line is longer than {_LONGEST_CELL:,} characters")
        yield line


def _wrong_rows(
    file: Path, first: int, rows: list[list[str]], header: list[str]
) -> Iterator[tuple[str, BadRow]]:
    for number, row in enumerate(rows, first):
        if row and len(row) != len(header):  # an empty line is none
            yield (
                f"{file}, row {number}",
                BadRow("row", f"has {len(row)} cells for {len(header)} columns"),
            )
