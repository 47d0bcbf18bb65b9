"""`rockcore import`: the log of another trainer becomes a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.progress import BarColumn, DownloadColumn, TextColumn

from rockcore.commands.console import Bar, err, out
from rockcore.commands.options import BadOptions
from rockcore.importers import AUTO, IMPORTERS, Estimator, StudentLogps

if TYPE_CHECKING:
    from rockcore.importers import Options, Progress

MapOption = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]],
    tyro.conf.arg(
        name="map",
        metavar="COLUMN=FIELD",
        help="Which field of the export fills a column of ours, where it is called otherwise, such "
        "as sampled_loss=reverse_kl. May be repeated.",
    ),
]
FormatOption = Annotated[
    str,
    tyro.conf.arg(
        metavar="FORMAT", help=f"{', '.join(IMPORTERS)}; or {AUTO}: recognised by its fields."
    ),
]


@dataclass(frozen=True)
class Import:
    """Import the log of another trainer as a run."""

    format: tyro.conf.Positional[FormatOption]
    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Files or folders of the export."""
    out: Path
    """Folder of the run, missing or empty."""
    tokenizer: Path | None = None
    """A tokenizer.json, or the folder of a model with one: tokens are shown by their text."""
    map: MapOption = ()
    steps: str = ""
    """The step of each file in its order, with commas, where the export does not tell: 0,500."""
    student_logps: StudentLogps | None = None
    """Whose log probabilities of the student to take, where the export has both."""
    estimator: Estimator | None = None
    """What a column kl is: over the whole vocabulary, or the likeliest tokens with or without the
    rest.
    """
    student: str | None = None
    """What the student is called, where the export does not tell."""
    teacher: str | None = None
    """What the teacher is called, where the export does not tell."""
    config: Path | None = None
    """The trainer's own settings, for a format that needs them."""
    opd: bool = False
    """The advantages of this export are log p_teacher − log p_student."""
    reference_is_teacher: bool = False
    """The reference model of this export was the teacher."""


def run(command: Import) -> None:
    from rockcore.importers import format_named, import_run
    from rockcore.importers.recognise import files_of, recognise

    options = _options(command)
    if not command.paths:
        raise BadOptions(
            f"rockcore import {command.format} without a path",
            "There is nothing to import",
            "Give the files or folders of the export behind the format",
        )
    if command.format == AUTO:
        format, files = recognise(command.paths)
        err.print(f"recognised as {format.name}: {format.title}", markup=False, highlight=False)
    else:
        format = format_named(command.format)
        files = files_of(format, command.paths)
    with ImportBar() as bar:
        report = import_run(format, files, command.out, options, bar.listen)
    for sentence in report.sentences():
        out.print(sentence, markup=False, highlight=False, soft_wrap=True)
    out.print(f"rockcore app {command.out}", markup=False, highlight=False, soft_wrap=True)


class ImportBar(Bar):
    """Shows how much of the files is read; where there is no terminal, a line at each tenth."""

    def __init__(self) -> None:
        done = TextColumn("{task.description}")
        super().__init__(err, TextColumn("importing"), BarColumn(), DownloadColumn(), done)
        self.task = self.bar.add_task("", total=None)
        self.tenths = 0

    def listen(self, at: Progress) -> None:
        said = f"{at.texts:,} texts" + (f", {at.skipped:,} skipped" if at.skipped else "")
        self.bar.update(self.task, total=at.total, completed=at.read, description=said)
        tenths = 10 * at.read // max(at.total, 1)
        if tenths > self.tenths and not err.is_terminal:
            err.print(f"{tenths * 10} % read", highlight=False)
        self.tenths = max(tenths, self.tenths)


def _options(command: Import) -> Options:
    from rockcore.importers import Options

    return Options(
        tokenizer=command.tokenizer,
        renames=dict(map(_rename, command.map)),
        steps=_steps(command.steps),
        student_logps=command.student_logps,
        estimator=command.estimator,
        student=command.student,
        teacher=command.teacher,
        config=command.config,
        opd=command.opd,
        reference_is_teacher=command.reference_is_teacher,
    )


def _rename(text: str) -> tuple[str, str]:
    column, equals, source = text.partition("=")
    if not (column and equals and source):
        raise BadOptions(
            f"--map {ascii(text)[:80]}",
            "It names a column of ours, =, and a field of the export",
            "Such as --map sampled_loss=reverse_kl",
        )
    return column, source


def _steps(text: str) -> tuple[int, ...]:
    steps = text.split(",") if text else []
    if not all(s.strip().isdecimal() and len(s) < 10 for s in steps):
        raise BadOptions(
            f"--steps {ascii(text)[:80]}",
            "Steps are whole numbers from 0 on, one a file",
            "Such as --steps 0,500",
        )
    return tuple(int(s) for s in steps)
