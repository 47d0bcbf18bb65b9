"""Some rows of a table, whatever file they are from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rockcore.importers.format import BadExport


class Batch(NamedTuple):
    """Some rows of a file: by column, each an object array, an array of numbers, or a list of
    arrays; and the number of the first.
    """

    file: Path
    first: int
    columns: dict[str, Any]
    rows: int
    numbered: str = "row"
    numbers: np.ndarray | None = None  # of the rows, where they do not count on from the first
    text: bool = False  # all cells are text, as in CSV

    def place(self, row: int) -> str:
        number = self.first + row if self.numbers is None else self.numbers[row]
        return f"{self.file}, {self.numbered} {number}"


def refuse_doubled(file: Path, names: list[str]) -> None:
    """Raises BadExport for two columns of one name."""
    doubled = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if doubled:
        raise BadExport(
            f"{file} has more than one column {ascii(doubled[0])[:80]}",
            "Which of them is meant cannot be told",
            "Rename one of them",
        )
