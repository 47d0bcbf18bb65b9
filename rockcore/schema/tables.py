"""The one table of the log's tables: where the files of each lie, and when they are written.

Opening, checking, writing, dropping steps and fingerprints follow from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

import pyarrow as pa

from rockcore.schema import columns as c
from rockcore.schema.relations import of_one_length, sums_of_bins


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
    """One table: its files below the run's folder, their columns, and what holds between these."""

    pattern: str  # one file a step where it holds {step}, else one file a run
    columns: dict[str, c.Column]
    key: tuple[str, ...] = ()  # no two rows of a file agree in these; without any, there is one row
    gapless: bool = False  # the last of the key counts from 0, within the others
    filled: bool = False  # a file has rows
    relations: tuple[Callable[[pa.Table], str], ...] = ()  # each says what is wrong, or nothing
    mend: str = "Copy the file from a backup, or train or import the run again"
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

_BY_TOKEN, _BY_ROLLOUT, _BY_POSITION = ("token_id",), ("rollout_id",), ("rollout_id", "position")


def _texts(pattern: str, columns: dict[str, c.Column], closing: bool = False) -> LogTable:
    """A table of occurrences, every position of every text."""
    return LogTable(pattern, columns, _BY_POSITION, gapless=True, closing=closing)


def _of_probes(probe_set: str, closing: bool) -> tuple[LogTable, ...]:
    """The tables of a probe set."""
    probe, gradients = f"probe/{probe_set}", f"gradients/{probe_set}"
    return (
        LogTable(f"{probe}/rollouts.parquet", c.ROLLOUTS, _BY_ROLLOUT, closing=closing),
        LogTable(f"{probe}/teacher.parquet", c.PROBE_TEACHER, _BY_POSITION, closing=closing),
        _texts(f"{probe}/{{step}}.parquet", c.PROBE, closing),
        LogTable(
            f"{gradients}/{{step}}.parquet",
            c.GRADIENTS,
            ("token_id", "fold"),
            filled=True,
            relations=(of_one_length,),
            closing=closing,
        ),
        # of the sets' texts, when all of them are written
        LogTable(f"{gradients}/exact.parquet", c.EXACT, ("step", *_BY_POSITION), closing=True),
    )


TABLES: dict[str, LogTable] = {
    table.name: table
    for table in (
        LogTable("vocab.parquet", c.VOCAB, _BY_TOKEN, required=True),
        LogTable("metrics/{step}.parquet", c.METRICS),
        LogTable("rollouts/{step}.parquet", c.ROLLOUTS, _BY_ROLLOUT),
        _texts("tokens/{step}.parquet", c.TOKENS),
        LogTable("types/{step}.parquet", c.TYPES, _BY_TOKEN, relations=(sums_of_bins,)),
        LogTable("evals/{step}.parquet", c.EVALS, ("problem_id", "decoding")),
        LogTable("optimizer/{step}.parquet", c.OPTIMIZER, _BY_TOKEN),
        LogTable("weights/{step}.parquet", c.WEIGHTS, _BY_TOKEN),
        *_of_probes("first", closing=False),
        _texts("gradients/first/texts.parquet", c.SUMMED_TEXTS),
        *_of_probes("final", closing=True),
    )
}
