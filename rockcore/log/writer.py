"""`RunWriter` appends to the log of a run.

Every file is written under a temporary name and renamed, so a reader, in this process or another,
never meets half a file, and a killed run keeps every step it finished. Nothing is written where the
run was deleted, renamed or replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from os import stat
from pathlib import Path
from typing import Any

import numpy as np

from rockcore import schema
from rockcore.log.files import Columns, commit, steps_and_files, sweep, table_file, write_table
from rockcore.log.folders import META, STDOUT, STOP, is_stop_requested, read_run
from rockcore.log.holders import LOCK, holder_of
from rockcore.log.lock import Lock, vanished
from rockcore.schema import RockError, RunMeta


class RunExists(RockError, FileExistsError):
    """A new run was asked for where one already is."""


class RunWriter:
    """Appends to the folder of one run; a step written twice is the later one's. With its `lock`,
    nobody else does so, and each file is written only where the run still is; RunGone otherwise.
    """

    def __init__(self, path: Path, meta: RunMeta, lock: Lock | None = None):
        self.path, self.meta, self.lock = path, meta, lock
        self._within = None if lock is None else path
        self._stamp: tuple[int, int, int] | None = None  # of run.json as it was seen last

    @classmethod
    def create(
        cls, path: str | Path, meta: RunMeta, vocab: Columns, lock: Lock | None = None
    ) -> RunWriter:
        """Start a run in a folder that is missing or empty; raises RunExists otherwise."""
        path = Path(path)
        cls.refuse_existing(path)
        writer = cls(path, meta, lock)
        if path.exists():
            sweep(path)
        write_table(table_file(path, "vocab"), schema.VOCAB, vocab, writer._within)
        writer._write_meta()
        return writer

    @staticmethod
    def refuse_existing(path: Path) -> None:
        """Raises RunExists if a new run in `path` would mix with files that are there; what a start
        that was killed left behind does not count.
        """
        files = path.iterdir() if path.is_dir() else [path] * path.exists()
        if not any(map(_is_in_the_way, files)):
            return
        holder = holder_of(path)
        used = holder is not None and holder.alive
        raise RunExists(
            f"{path} already holds files" + (f", and {holder} is at work on them" if used else ""),
            "A new run would mix with them",
            "Choose another folder" + ("" if used else ", or go on with that run: --resume"),
        )

    @classmethod
    def reopen(cls, path: str | Path, lock: Lock | None = None) -> RunWriter:
        """Go on with a run; raises as Run.open does."""
        writer = cls(Path(path), read_run(Path(path)), lock)
        if lock is not None:
            writer._stamp = _stamp(writer.path / META)
        return writer

    def still_there(self) -> None:
        """Raises RunGone unless the folder is the one that was locked, with the run.json of this
        run in it.
        """
        if self.lock is None:
            return
        self.lock.check()
        file = self.path / META
        try:
            stamp = _stamp(file)
            started = self.meta.started
            if stamp != self._stamp:  # someone may also have corrected a word in it
                started = RunMeta.from_json(file.read_bytes(), file).started
        except (OSError, ValueError) as e:
            raise vanished(self.path, f"its {META} cannot be read") from e
        if started != self.meta.started:
            raise vanished(self.path, f"its {META} is another run's")
        self._stamp = stamp

    def write(self, table: str, values: Columns, step: int | None = None) -> None:
        """Write one file of a table of schema.TABLES, of one step where it has a file a step.

        Raises LogWriteError if the file cannot be written; files written before are not touched.
        """
        self.still_there()
        file = table_file(self.path, table, step)
        write_table(file, schema.TABLES[table].columns, values, self._within)

    def append(self, table: str, step: int, values: Columns) -> None:
        """Write one step of `metrics`, `rollouts`, `tokens`, `evals`, `optimizer` or `weights`;
        with tokens go their sums per type.

        Rollouts are to be written before their tokens: a reader who finds a step's tokens finds all
        that belongs to them. Raises LogWriteError if the file cannot be written; files written
        before are not touched.
        """
        if table == "tokens":
            self.write("types", type_sums(step, values), step)
        self.write(table, values, step)

    def append_probe(self, probe_set: str, step: int, values: Columns) -> None:
        """Write the values of a probe set under the student of this step: schema.PROBE and
        PROBE_TEACHER, the latter once.

        Raises LogWriteError.
        """
        if not table_file(self.path, f"probe/{probe_set}/teacher").exists():
            self.write(f"probe/{probe_set}/teacher", values)
        self.write(f"probe/{probe_set}", values, step)

    def write_probe_rollouts(self, probe_set: str, values: Columns) -> None:
        """Write the texts (schema.ROLLOUTS) of a probe set; raises LogWriteError."""
        self.write(f"probe/{probe_set}/rollouts", values)

    def write_summed_texts(self, values: Columns) -> None:
        """Write the first student's further texts, whose gradients are summed. Raises
        LogWriteError.
        """
        self.write("gradients/first/texts", values)

    def append_gradients(self, probe_set: str, step: int, values: Columns) -> None:
        """Write the summed gradients over a probe set under the student of this step:
        schema.GRADIENTS. Raises LogWriteError.
        """
        self.write(f"gradients/{probe_set}", values, step)

    def write_exact(self, probe_set: str, values: Columns) -> None:
        """Write the exact gradients of some positions of a probe set: schema.EXACT. Raises
        LogWriteError.
        """
        self.write(f"gradients/{probe_set}/exact", values)

    def save_meta(self, **changes: Any) -> None:
        """Write run.json, with some of its fields changed.

        A status that ends the run is dated: `ended` is set with it, and emptied when it runs again.
        """
        status = changes.get("status", self.meta.status)
        if "ended" not in changes and status != self.meta.status:
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            changes["ended"] = "" if status == "running" else now
        self.still_there()
        self.meta = replace(self.meta, **changes)
        self._write_meta()

    def write_text(self, name: str, text: str) -> None:
        """Write a file of text beside the tables; raises LogWriteError."""
        self.still_there()
        self._commit(name, text)

    def _write_meta(self) -> None:
        self._commit(META, self.meta.to_json())
        if self.lock is not None:
            self._stamp = _stamp(self.path / META)

    def _commit(self, name: str, text: str) -> None:
        commit(self.path / name, lambda tmp: tmp.write_text(text, encoding="utf-8"), self._within)

    def drop_from(self, step: int) -> None:
        """Forget every logged step from `step` on, and the tables of the close of a run: a resumed
        run writes them again. Raises RunGone.
        """
        self.still_there()
        for name, table in schema.TABLES.items():
            for at, file in steps_and_files(self.path, name):
                if table.closing or (table.per_step and at >= step):
                    file.unlink(missing_ok=True)

    def stop_requested(self) -> bool:
        return is_stop_requested(self.path)

    def clear_stop(self) -> None:
        (self.path / STOP).unlink(missing_ok=True)


def _stamp(file: Path) -> tuple[int, int, int]:
    about = stat(file)
    return about.st_ino, about.st_size, about.st_mtime_ns


def _is_in_the_way(file: Path) -> bool:
    """Whether a new run cannot begin beside a file: it can beside what a start that was killed left
    behind.
    """
    if file.name == "vocab.parquet":  # written before run.json; of another make without a lock
        return not file.with_name(LOCK).exists()
    temporary = file.name.startswith(".") and file.name.endswith(".tmp")
    return not temporary and file.name not in (STDOUT, LOCK)


def type_sums(step: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
    """Sums per token type over the occurrences of one step: the columns of schema.TYPES, sorted by
    token id.

    The sums are additive: over steps, rollouts and runs they may simply be added up. Of what is not
    known at every occurrence they are NaN, which is null in the log; the histogram counts those
    occurrences whose kl is known.
    """
    ids, first = np.unique(np.asarray(tokens["token_id"]), return_inverse=True)
    unknown = np.full(len(first), np.nan)
    kl, sampled, g, w = (
        np.asarray(tokens.get(c, unknown), dtype=np.float64)
        for c in ("kl", "sampled_loss", "grad_norm", "proj_grad_norm")
    )
    bins = len(schema.KL_EDGES) + 1
    cell = (first * bins + np.searchsorted(schema.KL_EDGES, kl, side="right"))[~np.isnan(kl)]
    histogram = np.bincount(cell, minlength=len(ids) * bins).reshape(len(ids), bins)

    def total(x: np.ndarray) -> np.ndarray:
        return np.bincount(first, weights=x, minlength=len(ids))

    return {
        "step": np.full(len(ids), step),
        "token_id": ids,
        "n": np.bincount(first, minlength=len(ids)),
        "kl_sum": total(kl),
        "kl_sq_sum": total(kl**2),
        "sampled_loss_sum": total(sampled),
        "grad_norm_sum": total(g),
        "grad_norm_sq_sum": total(g**2),
        "proj_grad_norm_sum": total(w),
        "kl_histogram": histogram,  # as lists, a log with many types took 2 ms more a step
    }
