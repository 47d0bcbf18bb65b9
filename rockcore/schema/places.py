"""Where a file stands in what we write: its table, and the folder that the table belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rockcore.schema.comparison import COMPARISON_TABLES
from rockcore.schema.screen import SCREEN_TABLES
from rockcore.schema.tables import TABLES, LogTable

_BY_PATTERN = {
    table.pattern: table
    for tables in (TABLES, SCREEN_TABLES, COMPARISON_TABLES)
    for table in tables.values()
}
_DEEPEST = max(pattern.count("/") for pattern in _BY_PATTERN)


class Place(NamedTuple):
    """One file of a table."""

    root: Path  # the folder of the run, or of the comparison
    table: LogTable
    step: int | None  # None for a table without steps


def place_of(file: Path) -> Place:
    """Raises ValueError for a file of no table."""
    step = LogTable.step_of(file.name)
    names = [file.name, "{key}.parquet"] if step is None else ["{step}.parquet"]
    for above in range(min(_DEEPEST, len(file.parts) - 1), -1, -1):
        folder = "".join(f"{part}/" for part in file.parts[-1 - above : -1])
        for name in names:
            if table := _BY_PATTERN.get(folder + name):
                return Place(file.parents[above], table, step)
    raise ValueError(f"{file} is of no table")
