"""What a foreign format is: one declarative mapping from its fields to our columns, and how its
files are read. Documentation, recognition and errors follow from the mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rockcore import schema
from rockcore.schema import RockError

if TYPE_CHECKING:
    from rockcore.importers import Estimator, StudentLogps
    from rockcore.importers.rows import RowError, Text

# what a text can have beside the values of schema.TOKENS
OF_TEXTS = ("step", "prompt", "teacher_prompt", "response", "answer", "correct", "truncated")
OF_TOKENS = tuple(
    name for name, c in schema.TOKENS.items() if str(c.type) in ("float", "halffloat")
)
MOST_ID = 2**24 - 1  # of a token: no vocabulary comes near, and tables are as long as the highest
COLUMNS = (*OF_TEXTS, "rollout_id", "position", "token_id", "token", *OF_TOKENS)


class BadExport(RockError, ValueError):
    """What was to be imported cannot become a run."""


def unreadable(file: Path, cause: Exception) -> BadExport:
    """The error for a file of an export that cannot be read."""
    said = getattr(cause, "strerror", None) or str(cause).partition("\n")[0]
    return BadExport(
        f"{file} cannot be read ({ascii(said)[1:-1][:160]})",
        "Without it the export has a hole",
        "Mend the path or the permissions, or leave the file out",
    )


@dataclass(frozen=True)
class Field:
    """One line of a mapping: a field of the export becomes a column of ours.

    Element i of an array judges token i + `shift`, of the response or, with `whole`, of prompt and
    response together; times `sign` it is in our sense and in nats.
    """

    source: str  # "a.b" is b within a
    column: str  # of COLUMNS
    shift: int = 0
    sign: int = 1
    whole: bool = False  # the array is as long as prompt and response together
    required: bool = False  # a row without it is skipped
    logps: str = ""  # of a student's log probability: the trainer's or the sampler's
    absent: str = ""  # what it means when an export lacks it


@dataclass(frozen=True)
class Options:
    """What a person may say about an export, as `rockcore import` takes it."""

    tokenizer: Path | None = None  # a tokenizer.json, or a folder with one
    renames: Mapping[str, str] = field(default_factory=dict)  # our column -> the export's field
    steps: tuple[int, ...] = ()  # of the files in their order, where the export does not tell
    student_logps: StudentLogps | None = None
    estimator: Estimator | None = None
    student: str | None = None  # names for run.json
    teacher: str | None = None
    config: Path | None = None  # the trainer's own settings, where a format needs them
    opd: bool = False  # advantages of this export are teacher minus student log probabilities
    reference_is_teacher: bool = False  # its reference model was the teacher


@dataclass
class About:
    """What a reader finds out about the whole export; complete once it has been read."""

    student: str = ""
    teacher: str = ""
    estimator: str = ""  # of its kl; empty: the format's
    student_logps: str = ""
    dtype: str = ""  # what the numbers were computed in: it says what of a kl is rounding
    probes: bool = False  # the same texts, told apart by their key, are judged at several steps
    notes: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)

    def note(self, sentence: str) -> None:
        """Add a sentence for the reader of the run, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


@dataclass(frozen=True)
class Export:
    """What is given to a format's reader."""

    files: tuple[Path, ...]  # in the order of their steps
    fields: tuple[Field, ...]  # the format's mapping with the renames of the options
    options: Options
    about: About
    advance: Callable[[int], None] = lambda count: None  # called with the bytes read since
    scratch: Path = Path()  # a folder for what a reader puts aside; taken away at the end

    def step_of(self, file: Path) -> int | None:
        """The step that --steps gives a file; None where it is not said."""
        steps = self.options.steps
        return steps[self.files.index(file)] if steps else None


@dataclass(frozen=True)
class Peek:
    """The beginning of a file, by which a format is recognised."""

    file: Path
    kind: str  # jsonl | json | parquet | csv | pickle
    # the first record; of Parquet and CSV the names of the columns, each with its type or None; of
    # a pickle what its beginning holds
    record: Mapping[str, Any]

    def has(self, *names: str) -> bool:
        """Whether the first record has all of these fields."""
        return all(name in self.record for name in names)


@dataclass(frozen=True)
class Format:
    """A log format of another program."""

    name: str  # what `rockcore import` calls it
    title: str  # for people
    patterns: tuple[str, ...]  # which files of a folder are its own
    fields: tuple[Field, ...]
    recognise: Callable[[Peek], bool]
    # yields texts, or what is wrong with a row; raises BadExport for an export that is none
    read: Callable[[Export], Iterator[Text | RowError]]
    estimator: str = "absent"  # what its kl is, unless the reader finds another one
    student_logps: str = "absent"  # unless the reader finds another one
    notes: tuple[str, ...] = ()  # of every run imported from it

    def mapping(self, renames: Mapping[str, str]) -> tuple[Field, ...]:
        """The fields, with those of a user in place of ours.

        Raises BadExport for a column that the format does not know.
        """
        known = {f.column for f in self.fields}
        for column in renames:
            if column not in known:
                raise BadExport(
                    f"--map {ascii(column)[1:-1][:80]}=…",
                    f"{self.name} fills the columns {', '.join(sorted(known))}",
                    "Name one of them before the = and the field of the export behind it",
                )
        return tuple(
            replace(f, source=renames[f.column]) if f.column in renames else f for f in self.fields
        )
