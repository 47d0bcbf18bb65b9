"""What an import came to: rows read, rows left out and why, what the run lacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rockcore.importers.format import BadExport
from rockcore.importers.rows import RowError

SHOWN = 5  # errors that are named; all are counted
_EARLY = 1000  # rows after which an export that is mostly wrong is given up
MOST_WRONG = 0.5
JUDGED = (
    "kl",
    "sampled_loss",
    "student_logp",
    "teacher_logp",
    "student_entropy",
    "teacher_entropy",
)


@dataclass
class Report:
    """Filled in while an export is imported."""

    format: str
    files: int
    out: Path
    rows: int = 0  # read, right or wrong
    skipped: int = 0
    errors: list[RowError] = field(default_factory=list)  # the first ones
    steps: list[int] = field(default_factory=list)
    texts: int = 0
    tokens: int = 0
    missing: list[str] = field(default_factory=list)  # of JUDGED: no token has a value
    notes: list[str] = field(default_factory=list)

    def skip(self, error: RowError) -> None:
        """Count a row that is left out. Raises BadExport where most rows are."""
        self.skipped += 1
        if len(self.errors) < SHOWN:
            self.errors.append(error)
        if self.rows >= _EARLY:
            self.refuse_mostly_wrong()

    def refuse_mostly_wrong(self) -> None:
        """Raises BadExport where nothing is left, or more rows are wrong than right."""
        if self.rows and self.skipped <= MOST_WRONG * self.rows:
            return
        if not self.rows:
            raise BadExport(
                f"{_files(self.files)} of {self.format} with no row that is one",
                "There is nothing to import",
                "Check the path and the format; `rockcore import auto` says what it recognises",
            )
        first = "; ".join(map(str, self.errors))
        raise BadExport(
            f"{self.skipped:,} of {self.rows:,} rows cannot be read as {self.format} ({first})",
            "What is left would not stand for the export",
            "Check the format, or name its fields with --map column=field",
        )

    def sentences(self) -> list[str]:
        """What a person is told at the end."""
        steps = f"steps {self.steps[0]} to {self.steps[-1]}" if self.steps else "no step"
        said = [
            f"{self.out}: {self.texts:,} texts and {self.tokens:,} tokens of {len(self.steps)} "
            f"logged steps ({steps}), imported from {_files(self.files)} of {self.format}"
        ]
        if self.skipped:
            first = "; ".join(map(str, self.errors))
            said.append(f"{self.skipped:,} of {self.rows:,} rows were skipped: {first}")
        if self.missing:
            said.append(f"not in this export: {', '.join(self.missing)}")
        return said + self.notes


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
