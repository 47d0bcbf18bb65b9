"""From an export to a run: read row by row, gathered by step, written beside its place and moved
there when it is whole. Until then nothing there opens as a run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rockcore.importers.format import (
    OF_TOKENS,
    About,
    BadExport,
    Export,
    Format,
    Options,
    unreadable,
)
from rockcore.importers.gathering import Gathered
from rockcore.importers.meta import meta_of
from rockcore.importers.report import JUDGED, Report
from rockcore.importers.rows import Text
from rockcore.importers.spool import Spool
from rockcore.importers.tables import rollout_columns, token_columns
from rockcore.importers.vocabulary import Tokenizer
from rockcore.log.folders import META
from rockcore.log.lock import locked
from rockcore.log.summaries import step_summary
from rockcore.log.writer import RunExists, RunWriter
from rockcore.schema import LogWriteError, RunMeta

PROBES = "first"  # the set of texts that are judged at several steps


class Progress(NamedTuple):
    """How far an import is."""

    read: int  # bytes
    total: int  # bytes of all files
    texts: int
    skipped: int


Listen = Callable[[Progress], None]


def import_run(
    format: Format,
    files: Sequence[Path],
    out: Path,
    options: Options | None = None,
    listen: Listen = lambda progress: None,
) -> Report:
    """Write the texts of an export as a run in `out`, a folder that is missing or empty.

    Rows that cannot be read are left out and counted. Memory holds the largest step, not the
    export. Raises BadExport for an export that is none of the format or of which too little is
    left, RunExists, FolderInUse where another import writes `out`, LogWriteError.
    """
    options, about = options or Options(), About()
    _refuse_steps(files, options)
    _refuse_taken(out)
    tokenizer = None if options.tokenizer is None else Tokenizer(options.tokenizer)
    report = Report(format.name, len(files), out)
    advance = _counter(files, report, listen)
    fields = format.mapping(options.renames)
    with _workplace(out) as place:
        export = Export(tuple(files), fields, options, about, advance, place / "scratch")
        gathered = Gathered(Spool(place / "spool"), tokenizer, report)
        gathered.gather(format.read(export))
        report.refuse_mostly_wrong()
        _refuse_unfound(options, gathered)
        _write(place / "run", meta_of(format, export, out, gathered), gathered, about)
        _move(place / "run", out)
    return report


def _refuse_steps(files: Sequence[Path], options: Options) -> None:
    if options.steps and len(options.steps) != len(files):
        raise BadExport(
            f"--steps names {len(options.steps)} steps for {len(files)} files",
            "Each file needs its own, in their order",
            "Give one step a file, with commas between",
        )


def _refuse_unfound(options: Options, gathered: Gathered) -> None:
    for column, source in options.renames.items():
        if column in OF_TOKENS and column not in gathered.columns:
            raise BadExport(
                f"--map {column}={ascii(source)[1:-1][:80]}, and no text has a number there",
                f"The run would be without {column}, which was asked for",
                "Write the field as it is spelled in the export, or leave the --map out",
            )


def _refuse_taken(out: Path) -> None:
    try:
        RunWriter.refuse_existing(out)
    except RunExists as e:
        raise RunExists(*e.parts[:2], "Choose another folder") from e


def _counter(files: Sequence[Path], report: Report, listen: Listen) -> Callable[[int], None]:
    """Adds up the bytes that were read, and tells."""
    total = read = 0
    for file in files:
        try:
            total += file.stat().st_size
        except OSError as e:
            raise unreadable(file, e) from e

    def advance(count: int) -> None:
        nonlocal read
        read += count
        texts = report.rows - report.skipped
        listen(Progress(min(read, total), total, texts, report.skipped))

    return advance


def _write(folder: Path, meta: RunMeta, gathered: Gathered, about: About) -> None:
    """All tables of the run; run.json says last that it is finished."""
    report, steps = gathered.report, gathered.spool.steps()
    writer = RunWriter.create(folder, meta, gathered.seen.columns(gathered.tokenizer))
    probes = about.probes and len(steps) > 1
    for step in steps:
        texts = gathered.same_at_all_steps(step) if probes else gathered.of_step(step)
        gathered.spool.drop(step)
        if texts:
            (_write_probe if probes else _write_step)(writer, step, texts, gathered)
            report.steps.append(step)
            report.texts += len(texts)
            report.tokens += sum(len(t.token_ids) for t in texts if t.token_ids is not None)
    report.refuse_mostly_wrong()
    report.missing = [c for c in JUDGED if c not in gathered.columns]
    report.notes = list(meta.notes)
    writer.save_meta(status="finished", steps_planned=max(report.steps))


def _write_step(writer: RunWriter, step: int, texts: list[Text], gathered: Gathered) -> None:
    """The fresh rollouts of a step; of words alone there are no metrics."""
    writer.append("rollouts", step, rollout_columns(step, texts, gathered.tokenizer))
    if not gathered.with_ids:
        return
    tokens = token_columns(step, texts, sorted(gathered.columns))
    writer.append("tokens", step, tokens)
    lengths = [len(t.token_ids) for t in texts if t.token_ids is not None]
    kl = tokens.get("kl", np.full(sum(lengths), np.nan))
    summary = step_summary(step, kl, lengths, [t.correct for t in texts])
    writer.append("metrics", step, {name: [value] for name, value in summary.items()})


def _write_probe(writer: RunWriter, step: int, texts: list[Text], gathered: Gathered) -> None:
    """The texts that are judged at every step, under the student of this one."""
    if step == gathered.spool.first:
        writer.write_probe_rollouts(PROBES, rollout_columns(step, texts, gathered.tokenizer))
    columns = sorted(gathered.columns - {"weight"})
    writer.write(f"probe/{PROBES}", token_columns(step, texts, columns), step)


@contextmanager
def _workplace(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, locked and taken away at the end: what lies in it is listed as
    no run. What a killed import left there is swept.
    """
    place = out.resolve().parent / f".{out.resolve().name}.importing"
    with locked(place, "import"):
        _clear(place)
        try:
            yield place
        finally:
            _clear(place)
    with suppress(OSError):  # where a killed import had made it
        place.rmdir()


def _clear(place: Path) -> None:
    for left in ("scratch", "spool", "run"):
        shutil.rmtree(place / left, ignore_errors=True)


def _move(run: Path, out: Path) -> None:
    """Put a run where it belongs: in one step, or where something lies there already, such as the
    output of the page that started it, file by file and run.json last, without which nothing opens.
    """
    _refuse_taken(out)
    moved: list[Path] = []
    try:
        if not out.exists():
            os.replace(run, out)
            return
        for name in sorted(os.listdir(run), key=lambda name: name == META):
            os.replace(run / name, out / name)
            moved.append(out / name)
    except OSError as e:
        for file in moved:
            with suppress(OSError):
                os.replace(file, run / file.name)
        raise LogWriteError(
            f"{out} could not be written ({e.strerror or e})",
            "The run was imported beside it and is moved there at the end",
            "Free space or fix the permissions, then import it again",
        ) from e
