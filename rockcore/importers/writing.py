"""From an export to a run: read row by row, gathered by step, written beside its place and moved
there when it is whole. Until then nothing there opens as a run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rockcore.importers.format import About, BadExport, Export, Format, Options
from rockcore.importers.report import JUDGED, Report
from rockcore.importers.rows import BadRow, RowError, Text, refuse_impossible, with_sampled_loss
from rockcore.importers.spool import Spool
from rockcore.importers.vocabulary import SeenTokens, Tokenizer, unknown_hash
from rockcore.log.folders import META
from rockcore.log.lock import locked
from rockcore.log.summaries import step_summary
from rockcore.log.writer import RunWriter
from rockcore.schema import LogWriteError, RunMeta

UNKNOWN = "not named in the export"


class Progress(NamedTuple):
    """How far an import is."""

    read: int  # bytes
    total: int  # bytes of all files
    texts: int
    skipped: int


def import_run(
    format: Format,
    files: Sequence[Path],
    out: Path,
    options: Options | None = None,
    listen: Callable[[Progress], None] = lambda progress: None,
) -> Report:
    """Write the texts of an export as a run in `out`, a folder that is missing or empty.

    Rows that cannot be read are left out and counted. Memory holds the largest step, not the
    export. Raises BadExport for an export that is none of the format or of which too little is
    left, RunExists, FolderInUse where another import writes `out`, LogWriteError.
    """
    options = options or Options()
    _refuse_steps(files, options)
    RunWriter.refuse_existing(out)
    tokenizer = None if options.tokenizer is None else Tokenizer(options.tokenizer)
    about, report = About(), Report(format.name, len(files), out)
    with _workplace(out) as place:
        gathered = _Gathered(Spool(place / "spool"), tokenizer, report)
        reading = _Reading(files, report, listen)
        export = Export(
            tuple(files), format.mapping(options.renames), options, about, reading.advance
        )
        gathered.gather(format.read(export))
        report.refuse_mostly_wrong()
        meta = _meta(format, files, out, options, about, gathered)
        _write(place / "run", meta, gathered, about)
        _move(place / "run", out)
    return report


def _refuse_steps(files: Sequence[Path], options: Options) -> None:
    if options.steps and len(options.steps) != len(files):
        raise BadExport(
            f"--steps names {len(options.steps)} steps for {len(files)} files",
            "Each file needs its own, in their order",
            "Give one step a file, with commas between",
        )


class _Reading:
    """Counts the bytes that were read, and tells."""

    def __init__(self, files: Sequence[Path], report: Report, listen: Callable[[Progress], None]):
        self.total, self.read = sum(file.stat().st_size for file in files), 0
        self.report, self.listen = report, listen

    def advance(self, count: int) -> None:
        self.read += count
        done = self.report.rows - self.report.skipped
        self.listen(Progress(min(self.read, self.total), self.total, done, self.report.skipped))


class _Gathered:
    """The texts of an export, checked, with their vocabulary."""

    def __init__(self, spool: Spool, tokenizer: Tokenizer | None, report: Report):
        self.spool, self.tokenizer, self.report = spool, tokenizer, report
        self.seen = SeenTokens()
        self.columns: set[str] = set()  # of OF_TOKENS: some token has a value
        self.with_ids = self.without_ids = self.encoded = self.numbered = 0

    def gather(self, rows: Iterator[Text | RowError]) -> None:
        """Read all rows. Raises BadExport where most cannot be read, LogWriteError."""
        for row in rows:
            self.report.rows += 1
            if isinstance(row, Text):
                try:
                    row = self._checked(row)
                except BadRow as e:
                    row = RowError(row.where, e.field, e.what)
            if isinstance(row, RowError):
                self.report.skip(row)
            else:
                self._keep(row)

    def _checked(self, text: Text) -> Text:
        """The text with its ids, where it can have any."""
        refuse_impossible(text)
        if text.token_ids is None and text.tokens is not None:
            text = replace(text, token_ids=self.seen.number(text.tokens))
            self.numbered += 1
        elif text.token_ids is None and self.tokenizer is not None and text.response:
            text = replace(text, token_ids=self.tokenizer.encode(text.response))
            self.encoded += 1
        if text.token_ids is not None:
            self.seen.add(text.token_ids, text.tokens)
        return with_sampled_loss(text)

    def _keep(self, text: Text) -> None:
        if text.token_ids is None:
            self.without_ids += 1
        else:
            self.with_ids += 1
        new = [c for c in text.values if c not in self.columns]
        self.columns.update(c for c in new if not np.isnan(text.values[c]).all())
        try:
            self.spool.add(text)
        except OSError as e:
            raise LogWriteError(
                f"{self.spool.folder} could not be written ({e.strerror or e})",
                "Steps are gathered there until the export is read",
                "Free space or fix the permissions, then import it again",
            ) from e

    def take(self, step: int) -> list[Text]:
        """The texts of a step by their keys, or as they came where not all have one; of two with
        one key the first.
        """
        texts: list[Text] = []
        keys: set[int | str] = set()
        for text in self.spool.take(step):
            if text.token_ids is None and self.with_ids:
                self._leave_out(text, "token_id", "is missing, other texts have it")
            elif text.key is not None and text.key in keys:
                self._leave_out(text, "key", f"{ascii(text.key)[:80]} is there twice in its step")
            else:
                texts.append(text)
                keys.update([] if text.key is None else [text.key])
        if len(keys) == len(texts):
            texts.sort(key=lambda t: (isinstance(t.key, str), t.key))
        return texts

    def _leave_out(self, text: Text, field: str, what: str) -> None:
        self.report.skip(RowError(text.where, field, what))


def _write(folder: Path, meta: RunMeta, gathered: _Gathered, about: About) -> None:
    """All tables of the run, run.json said to be finished last."""
    report = gathered.report
    vocab = gathered.seen.columns(gathered.tokenizer)
    writer = RunWriter.create(folder, meta, vocab)
    steps = gathered.spool.steps()
    for step in steps:
        texts = gathered.take(step)
        if not texts:
            continue
        report.steps.append(step)
        report.texts += len(texts)
        _write_step(writer, step, texts, gathered)
    report.refuse_mostly_wrong()
    report.missing = [c for c in JUDGED if c not in gathered.columns]
    report.notes = list(meta.notes)
    writer.save_meta(status="finished", steps_planned=max(steps, default=0))


def _write_step(writer: RunWriter, step: int, texts: list[Text], gathered: _Gathered) -> None:
    rollout_ids = _numbers(texts)
    writer.append("rollouts", step, _rollouts(step, texts, rollout_ids, gathered.tokenizer))
    lengths = [0 if t.token_ids is None else len(t.token_ids) for t in texts]
    kl = np.zeros(0)
    if gathered.with_ids:
        tokens = _tokens(step, texts, rollout_ids, sorted(gathered.columns))
        gathered.report.tokens += len(tokens["token_id"])
        kl = tokens.get("kl", np.full(len(tokens["token_id"]), np.nan))
        writer.append("tokens", step, tokens)
    summary = step_summary(step, kl, lengths, [t.correct for t in texts])
    writer.append("metrics", step, {name: [value] for name, value in summary.items()})


def _numbers(texts: list[Text]) -> list[int]:
    """The rollout ids: the export's own where it numbers them, else counted."""
    keys = [t.key for t in texts]
    if all(isinstance(k, int) and 0 <= k < 2**31 for k in keys):
        return [k for k in keys if isinstance(k, int)]
    return list(range(len(texts)))


def _rollouts(
    step: int, texts: list[Text], rollout_ids: list[int], tokenizer: Tokenizer | None
) -> dict[str, Any]:
    """The columns of schema.ROLLOUTS."""
    columns: dict[str, Any] = {
        name: [_clean(getattr(t, name)) for t in texts]
        for name in ("prompt", "teacher_prompt", "response", "answer")
    }
    columns["prompt"] = [prompt or "" for prompt in columns["prompt"]]
    for i, text in enumerate(texts):
        if text.response is None and text.token_ids is not None:
            if text.tokens is not None:
                columns["response"][i] = _clean("".join(text.tokens))
            elif tokenizer is not None:
                columns["response"][i] = _clean(tokenizer.decode(text.token_ids))
    return {
        "step": [step] * len(texts),
        "rollout_id": rollout_ids,
        **columns,
        "correct": [t.correct for t in texts],
        "truncated": [t.truncated for t in texts],
    }


def _clean(text: str | None) -> str | None:
    """Halves of surrogate pairs are no text: they are spelled out."""
    return None if text is None else text.encode(errors="backslashreplace").decode()


def _tokens(
    step: int, texts: list[Text], rollout_ids: list[int], columns: list[str]
) -> dict[str, np.ndarray]:
    """The columns of schema.TOKENS, rollouts one after another."""
    ids = [np.zeros(0, np.int32) if t.token_ids is None else t.token_ids for t in texts]
    lengths = [len(i) for i in ids]
    nothing = {length: np.full(length, np.nan, np.float32) for length in set(lengths)}
    return {
        "step": np.full(sum(lengths), step, np.int32),
        "rollout_id": np.repeat(np.array(rollout_ids, np.int32), lengths),
        "position": np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        "token_id": np.concatenate(ids),
        **{
            c: np.concatenate(
                [t.values.get(c, nothing[len(i)]) for t, i in zip(texts, ids, strict=True)]
            )
            for c in columns
        },
    }


def _meta(
    format: Format,
    files: Sequence[Path],
    out: Path,
    options: Options,
    about: About,
    gathered: _Gathered,
) -> RunMeta:
    """What run.json says of the export."""
    tokenizer, columns = gathered.tokenizer, gathered.columns
    kl = options.estimator or about.estimator or format.estimator if "kl" in columns else "absent"
    of = about.student_logps or format.student_logps
    if not columns & {"student_logp", "sampled_loss"}:
        of = "absent"
    most = max(gathered.seen.ids, default=0) + 1
    return RunMeta(
        name=out.resolve().name,
        student=options.student or about.student or UNKNOWN,
        teacher=options.teacher or about.teacher or UNKNOWN,
        tokenizer_hash=tokenizer.hash if tokenizer else unknown_hash(files),
        vocab_size=max(most, max(tokenizer.ids.values(), default=-1) + 1 if tokenizer else 0),
        estimator=kl,
        student_logps=of,
        source=format.name,
        notes=_notes(format, about, gathered),
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        config=about.config,
    )


def _notes(format: Format, about: About, gathered: _Gathered) -> list[str]:
    notes = [*format.notes, *about.notes]
    if gathered.numbered:
        notes.append("The export names tokens by their text alone: ids count the different texts.")
    if gathered.encoded:
        notes.append(
            "The export has text without token ids: the ids are of the tokenizer that was given, "
            "and may differ from what was sampled."
        )
    if gathered.with_ids and not gathered.tokenizer and not gathered.seen.texts:
        notes.append("No tokenizer was given: tokens are shown by their ids.")
    if gathered.tokenizer and (n := gathered.seen.beyond(gathered.tokenizer)):
        notes.append(f"The tokenizer lacks {n} ids of the export: they are shown by their ids.")
    if not gathered.columns & {"kl", "sampled_loss", "teacher_logp"}:
        notes.append("No teacher values in this export.")
    return notes


@contextmanager
def _workplace(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, locked and taken away at the end: what lies in it is listed as
    no run. What a killed import left there is swept.
    """
    place = out.resolve().parent / f".{out.resolve().name}.importing"
    with locked(place, "import"):
        try:
            for left in ("spool", "run"):
                shutil.rmtree(place / left, ignore_errors=True)
            yield place
        finally:
            for left in ("spool", "run"):
                shutil.rmtree(place / left, ignore_errors=True)


def _move(run: Path, out: Path) -> None:
    """Put the files of a run where it belongs, run.json last: without it nothing opens."""
    RunWriter.refuse_existing(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in sorted(os.listdir(run), key=lambda name: name == META):
            os.replace(run / name, out / name)
    except OSError as e:
        raise LogWriteError(
            f"{out} could not be written ({e.strerror or e})",
            "The run was imported beside it and is moved there at the end",
            "Free space or fix the permissions, then import it again",
        ) from e
