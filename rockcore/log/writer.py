"""`RunWriter` appends to the log of a run.

Every file is written under a temporary name and renamed, so a reader, in this process or another,
never meets half a file, and a killed run keeps every step it finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from rockcore import schema
from rockcore.log.files import Columns, commit, steps_and_files, table_file, write_table
from rockcore.log.folders import META, STDOUT, STOP, read_run
from rockcore.schema import RockError, RunMeta


class RunExists(RockError, FileExistsError):
    """A new run was asked for where one already is."""


class RunWriter:
    """Appends to the folder of one run. Several processes may do so; a step written twice is the
    later one's.
    """

    def __init__(self, path: Path, meta: RunMeta):
        self.path, self.meta = path, meta

    @classmethod
    def create(cls, path: str | Path, meta: RunMeta, vocab: Columns) -> RunWriter:
        """Start a run in a folder that is missing or empty; raises RunExists otherwise."""
        path = Path(path)
        cls.refuse_existing(path)
        writer = cls(path, meta)
        writer.write("vocab", vocab)
        writer.save_meta()
        return writer

    @staticmethod
    def refuse_existing(path: Path) -> None:
        """Raises RunExists if a new run in `path` would mix with files that are there."""
        if path.exists() and (not path.is_dir() or any(p.name != STDOUT for p in path.iterdir())):
            raise RunExists(
                f"{path} already holds files",
                "A new run would mix with them",
                "Choose another folder, or go on with that run: --resume",
            )

    @classmethod
    def reopen(cls, path: str | Path) -> RunWriter:
        """Go on with a run; raises as Run.open does."""
        return cls(Path(path), read_run(Path(path)))

    def write(self, table: str, values: Columns, step: int | None = None) -> None:
        """Write one file of a table of schema.TABLES, of one step where it has a file a step.

        Raises LogWriteError if the file cannot be written; files written before are not touched.
        """
        write_table(table_file(self.path, table, step), schema.TABLES[table].columns, values)

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
        self.meta = replace(self.meta, **changes)
        commit(
            self.path / META,
            lambda tmp: tmp.write_text(self.meta.to_json(), encoding="utf-8"),
        )

    def drop_from(self, step: int) -> None:
        """Forget every logged step from `step` on, and the tables of the close of a run: a resumed
        run writes them again.
        """
        for name, table in schema.TABLES.items():
            for at, file in steps_and_files(self.path, name):
                if table.closing or (table.per_step and at >= step):
                    file.unlink(missing_ok=True)

    def stop_requested(self) -> bool:
        return (self.path / STOP).exists()

    def clear_stop(self) -> None:
        (self.path / STOP).unlink(missing_ok=True)


def type_sums(step: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
    """Sums per token type over the occurrences of one step: the columns of schema.TYPES, sorted by
    token id.

    The sums are additive: over steps, rollouts and runs they may simply be added up. Of gradients
    that are not known they are NaN, which is null in the log.
    """
    ids, first = np.unique(np.asarray(tokens["token_id"]), return_inverse=True)
    unknown = np.full(len(first), np.nan)
    kl, g, w = (
        np.asarray(tokens.get(c, unknown), dtype=np.float64)
        for c in ("kl", "grad_norm", "proj_grad_norm")
    )
    bins = len(schema.KL_EDGES) + 1
    cell = first * bins + np.searchsorted(schema.KL_EDGES, kl, side="right")
    histogram = np.bincount(cell, minlength=len(ids) * bins).reshape(len(ids), bins)

    def total(x: np.ndarray) -> np.ndarray:
        return np.bincount(first, weights=x, minlength=len(ids))

    return {
        "step": np.full(len(ids), step),
        "token_id": ids,
        "n": np.bincount(first, minlength=len(ids)),
        "kl_sum": total(kl),
        "kl_sq_sum": total(kl**2),
        "sampled_loss_sum": total(np.asarray(tokens["sampled_loss"], dtype=np.float64)),
        "grad_norm_sum": total(g),
        "grad_norm_sq_sum": total(g**2),
        "proj_grad_norm_sum": total(w),
        "kl_histogram": histogram,  # as lists, a log with many types took 2 ms more a step
    }
