"""What a run holds: which columns have a value somewhere, over whose texts, and what to say of one
that has none: which it is, why it is not there, and what would give it.

A log of this program has nearly all of them; one that was imported has what its trainer wrote.
Asked by pages, commands and detection alike, so that all of them say the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from rockcore import schema
from rockcore.log import contents, parts
from rockcore.log.checks import checked, kinds
from rockcore.log.duck import ask_all
from rockcore.log.files import steps_and_files, table_files
from rockcore.schema import Column, DamagedRun, RockError, RunMeta, Texts

if TYPE_CHECKING:
    from rockcore.log.run import Run

LOSSES = ("kl", "sampled_loss")  # what a type can be ranked by, the better first
SCORE = "Rescore it, where its prompts are logged: rockcore score RUN --student DIR --teacher DIR"
_OF_ALL = "the predictions of both models over the whole vocabulary"
_OF_ONE = {
    "sampled_loss": "both models’",
    "student_logp": "the student’s",
    "teacher_logp": "the teacher’s",
}
_PLACES = {"step", "rollout_id", "position", "token_id"}  # they say which token, and nothing of it
_FIRST = 2_048  # rows, no longer to read than one


class NotLogged(RockError, LookupError):
    """A column that the log of this run does not have, or not over these texts."""


@dataclass(frozen=True)
class Holdings:
    """What a run holds.

    `columns`: whose texts are logged token by token -> the columns of which at least one token has
    a value. `words`: the steps of fresh rollouts of which there are only words, as text dumps hold
    them; empty where any tokens are logged.
    """

    name: str
    meta: RunMeta
    columns: Mapping[Texts, frozenset[str]]
    words: tuple[int, ...] = ()

    @property
    def elsewhere(self) -> str:
        """The log that holds the texts, where only what a scan of it found is here; else empty."""
        log = self.meta.config.get("scanned")
        return log if isinstance(log, str) and not self.columns else ""

    def has(self, column: str, texts: Texts | None = None) -> bool:
        """Whether some token has a value there; `texts`: of these alone."""
        return any(
            column in self.columns.get(t, ()) for t in (Texts if texts is None else (texts,))
        )

    @property
    def loss(self) -> str | None:
        """What the run's types can be ranked by: kl, or sampled_loss without it, or nothing."""
        return self.loss_of()

    def loss_of(self, texts: Texts | None = None) -> str | None:
        """The same for some texts alone."""
        return next((name for name in LOSSES if self.has(name, texts)), None)

    @property
    def alternatives(self) -> bool:
        """Whether some text has both models' likeliest tokens."""
        return any(
            {"student_top_ids", "teacher_top_ids"} <= found for found in self.columns.values()
        )

    def lack(self, column: str, texts: Texts | None = None) -> NotLogged | None:
        """Which column is missing, why, and what would give it; None where it is there."""
        if self.has(column, texts):
            return None
        if not self.columns:
            return self._no_tokens(column)
        where = f" of the {texts.phrase}" if texts is not None and self.has(column) else ""
        return NotLogged(f"{self.name} has no {column}{where}", *self._why(column, texts))

    def require(self, column: str, texts: Texts | None = None) -> None:
        """Raises NotLogged unless some token has a value there."""
        if (gone := self.lack(column, texts)) is not None:
            raise gone

    def _no_tokens(self, column: str) -> NotLogged:
        if log := self.elsewhere:
            return NotLogged(
                f"{self.name} has no {column}, and no tokens: it is what a scan of {log} found",
                "What a model says, it says of tokens, and these stayed in that log",
                "Copy it to this machine, and open the copy with rockcore app"
                if "://" in log
                else f"Open it: {opening(log)}",
            )
        if not self.words:
            return NotLogged(
                f"{self.name} has no {column}: no token of any text is logged",
                "What a model says, it says of tokens",
                "Wait for the first step if the run is training, or import or train it again",
            )
        return NotLogged(
            f"{self.name} has no {column}, and no tokens: it holds the words of its texts alone",
            "What a model says, it says of tokens, and which these were is not in its export",
            f"{SCORE}, which splits the texts by the student's tokenizer",
        )

    def _why(self, column: str, texts: Texts | None) -> tuple[str, str]:
        """Why a column has no values though there are tokens, and what would give them."""
        if column == "weight":
            return (
                "Only the training itself knows what a position weighed",
                "Nothing gives it afterwards; a recorder beside the training writes it",
            )
        if column == "kl":
            return f"It takes {_OF_ALL}, and {self._rest(texts)}", SCORE
        if column in _OF_ONE:
            needs = f"{_OF_ONE[column]} log probability of each token that was written"
            return f"It takes {needs}, and {self._rest(texts)}", SCORE
        return f"It takes more than single probabilities, and {self._rest(texts)}", SCORE

    def _rest(self, texts: Texts | None) -> str:
        """What the log holds of these texts instead."""
        found = frozenset().union(
            *(c for t, c in self.columns.items() if texts is None or t is texts)
        )
        if not (known := [name for name in schema.TOKENS if name in found - _PLACES]):
            return "the log holds the tokens alone, and nothing that a model said of them"
        if set(known) <= {"student_logp", "weight"}:
            return "the log holds nothing of a teacher"
        if set(known) <= {"student_logp", "teacher_logp", "sampled_loss", "weight"}:
            return "the log holds log probabilities of the sampled tokens alone"
        return f"the log holds only {', '.join(known)}"


def opening(log: str) -> str:
    """The command that opens a log which lies on this machine."""
    return shlex.join(["rockcore", "app", log])


def holdings(run: Run) -> Holdings:
    """What a run holds, as far as its files can be read. Raises DamagedRun for a folder that cannot
    be listed.
    """
    columns = {}
    for texts in Texts:
        if files := table_files(run.path, texts.table):
            columns[texts] = known(files, schema.PROBE if texts.probe_set else schema.TOKENS)
        if files and texts.probe_set:
            beside = table_files(run.path, f"{texts.table}/teacher")
            columns[texts] |= known(beside, schema.PROBE_TEACHER)
    words = () if columns else tuple(s for s, _ in steps_and_files(run.path, "rollouts"))
    return Holdings(run.path.name, run.meta, columns, words)


def known(files: Sequence[Path], columns: Mapping[str, Column]) -> frozenset[str]:
    """The columns with a finite value, or a list, in any of the files of a table, as far as these
    can be read. Of files none of which can be, all: the questions that need them name the file.
    """
    left, found = {n: c for n, c in columns.items() if n not in _PLACES}, set[str]()
    found |= _known_at_once(files, left)
    left = {name: column for name, column in left.items() if name not in found}
    # the first rows have most of them, or there are none
    for some, rows in ((files[:1], _FIRST), (files[:1], None), (files, None)):
        if not left or all(_tells_null(file, left) for file in files):
            break
        if whole := _whole(some):
            found |= _known_in(whole, left, rows)
            left = {name: column for name, column in left.items() if name not in found}
        elif len(some) == len(files):
            return frozenset(found | set(left))
    return frozenset(found)


def _whole(files: Sequence[Path]) -> Sequence[Path]:
    """Those that can be read: all, or else each is tried."""
    try:
        kinds(files)
    except DamagedRun:
        return [file for file in files if _is_whole(file)]
    return files


def _known_at_once(files: Sequence[Path], columns: dict[str, Column]) -> set[str]:
    """Those with a value among the first rows of a large file, which tell of nearly all."""
    try:
        first = next((file for file in files[:1] if parts.is_large(file)), None)
        table = None if first is None else parts.read_first(first)
    except RockError:
        return set()
    if table is None:
        return set()
    names = [name for name in columns if name in table.column_names]
    return {name for name in names if _has_value(table[name])}


def _has_value(values: pa.ChunkedArray) -> bool:
    if pa.types.is_list(values.type):
        return values.null_count < len(values)
    return bool(np.isfinite(values.to_numpy()).any())


def _tells_null(file: Path, columns: Iterable[str]) -> bool:
    """Whether the footer of a file that takes long to read says that these columns are empty."""
    try:
        return parts.rows_in(file) >= contents.FEW and parts.are_null(file, columns)
    except (RockError, FileNotFoundError):
        return False


def _is_whole(file: Path) -> bool:
    try:
        checked(file)
    except DamagedRun:
        return False
    return True


def _known_in(files: Sequence[Path], columns: dict[str, Column], rows: int | None) -> set[str]:
    """Those with a value in so many rows of the files, or in all."""
    tests = ", ".join(
        f"coalesce(bool_or({name} IS NOT NULL), false) AS {name}"
        if str(column.type).startswith("list")
        else f"coalesce(bool_or(isfinite({name})), false) AS {name}"
        for name, column in columns.items()
    )
    some = "{}" if rows is None else f"(SELECT * FROM {{}} LIMIT {rows})"
    row = ask_all(f"SELECT {tests} FROM {some}", columns, files).iloc[0]
    return {name for name in columns if row[name]}
