"""The one table of the log's tables: where the files of each lie, and when they are written.

Opening, checking, writing, dropping steps and fingerprints follow from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from rockcore.schema import columns as c


class Texts(str, Enum):
    """Whose texts a question is about. Its value is what links and the command line say."""

    FRESH = "fresh"  # new rollouts at every step
    FIRST = "first"  # written once, by the starting student
    FINAL = "final"  # written once, by the trained student

    __str__ = str.__str__

    @property
    def probe_set(self) -> str | None:
        """The probe set; None for fresh rollouts, which are other texts at every step."""
        return None if self is Texts.FRESH else self.value

    @property
    def table(self) -> str:
        """The table of the log that holds their tokens."""
        return "tokens" if self.probe_set is None else f"probe/{self.value}"

    @property
    def label(self) -> str:
        """As a control names them."""
        return _LABELS[self.value]

    @property
    def phrase(self) -> str:
        """As a sentence names them."""
        return _PHRASES[self.value]


_LABELS = {
    "fresh": "Fresh rollouts",
    "first": "Probe: first student",
    "final": "Probe: final student",
}
_PHRASES = {
    "fresh": "fresh rollouts of each step",
    "first": "texts of the first student",
    "final": "texts of the final student",
}

PROBE_SETS = tuple(texts.value for texts in Texts if texts.probe_set)


@dataclass(frozen=True, eq=False)
class LogTable:
    """One table: its files below the run's folder, and their columns."""

    pattern: str  # one file a step where it holds {step}, else one file a run
    columns: dict[str, c.Column]
    required: bool = False  # a run without it cannot be opened
    closing: bool = False  # written at the close of a run only: one that goes on drops it whole

    @property
    def name(self) -> str:
        """What questions call it: the pattern without the name of a step, "probe/first"."""
        return self.pattern.removesuffix(".parquet").removesuffix("/{step}")

    @property
    def per_step(self) -> bool:
        return "{step}" in self.pattern

    @property
    def folder(self) -> str:
        """Where its files lie, relative to the run's folder."""
        return str(PurePosixPath(self.pattern).parent)

    def file(self, step: int | None = None) -> str:
        """The path of one file, relative to the run's folder.

        Raises ValueError for a step of a table without steps, or none of one with steps.
        """
        if (step is not None) != self.per_step:
            raise ValueError(f"{self.name} has one file a {'step' if self.per_step else 'run'}")
        return self.pattern if step is None else self.pattern.format(step=f"step={step:06d}")

    @staticmethod
    def step_of(name: str) -> int | None:
        """The step of the file called so in the table's folder; None for a name that `file` does
        not give, a copy or another stranger.
        """
        step = _STEP_FILE.fullmatch(name)
        return int(step[1]) if step else None

    @staticmethod
    def is_file(name: str) -> bool:
        """Whether a file called so in the table's folder is that of a step."""
        return _STEP_FILE.fullmatch(name) is not None


_STEP_FILE = re.compile(r"step=([0-9]{6}|[1-9][0-9]{6,17})\.parquet")

TABLES: dict[str, LogTable] = {
    table.name: table
    for table in (
        LogTable("vocab.parquet", c.VOCAB, required=True),
        LogTable("metrics/{step}.parquet", c.METRICS),
        LogTable("rollouts/{step}.parquet", c.ROLLOUTS),
        LogTable("tokens/{step}.parquet", c.TOKENS),
        LogTable("types/{step}.parquet", c.TYPES),
        LogTable("evals/{step}.parquet", c.EVALS),
        LogTable("optimizer/{step}.parquet", c.OPTIMIZER),
        LogTable("weights/{step}.parquet", c.WEIGHTS),
        LogTable("probe/first/rollouts.parquet", c.ROLLOUTS),
        LogTable("probe/first/teacher.parquet", c.PROBE_TEACHER),
        LogTable("probe/first/{step}.parquet", c.PROBE),
        LogTable("probe/final/rollouts.parquet", c.ROLLOUTS, closing=True),
        LogTable("probe/final/teacher.parquet", c.PROBE_TEACHER, closing=True),
        LogTable("probe/final/{step}.parquet", c.PROBE, closing=True),
        LogTable("gradients/first/{step}.parquet", c.GRADIENTS),
        LogTable("gradients/first/texts.parquet", c.SUMMED_TEXTS),
        LogTable("gradients/first/exact.parquet", c.EXACT, closing=True),
        LogTable("gradients/final/{step}.parquet", c.GRADIENTS, closing=True),
        LogTable("gradients/final/exact.parquet", c.EXACT, closing=True),
    )
}
