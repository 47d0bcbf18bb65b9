"""`RunWriter` appends to the log of a run.

Every file is written under a temporary name and renamed, so a reader, in this process or another,
never meets half a file, and a killed run keeps every step it finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rockcore import schema
from rockcore.log.files import (
    STDOUT,
    STOP,
    Columns,
    commit,
    step_files,
    step_name,
    step_of,
    write_table,
)
from rockcore.log.folder import RunFolder
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
        write_table(path / "vocab.parquet", schema.VOCAB, vocab)
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
        """Go on with a run; raises as RunFolder.open does."""
        return cls(Path(path), RunFolder.open(path).meta)

    def append(self, table: str, step: int, values: Columns) -> None:
        """Write one step of `metrics`, `rollouts`, `tokens`, `evals` or `optimizer`; with tokens go
        their sums per type.

        Rollouts are to be written before their tokens: a reader who finds a step's tokens finds all
        that belongs to them. Raises LogWriteError if the file cannot be written; files written
        before are not touched.
        """
        if table == "tokens":
            write_table(
                self.path / "types" / f"{step_name(step)}.parquet",
                schema.TYPES,
                type_sums(step, values),
            )
        write_table(self.path / table / f"{step_name(step)}.parquet", schema.TABLES[table], values)

    def append_probe(self, probe_set: str, step: int, values: Columns) -> None:
        """Write the values of a probe set under the student of this step: schema.PROBE and
        PROBE_TEACHER, the latter once.

        Raises LogWriteError.
        """
        teacher = self.path / "probe" / probe_set / "teacher.parquet"
        if not teacher.exists():
            write_table(teacher, schema.PROBE_TEACHER, values)
        write_table(
            self.path / "probe" / probe_set / f"{step_name(step)}.parquet", schema.PROBE, values
        )

    def write_probe_rollouts(self, probe_set: str, values: Columns) -> None:
        """Write the texts (schema.ROLLOUTS) of a probe set; raises LogWriteError."""
        write_table(self.path / "probe" / probe_set / "rollouts.parquet", schema.ROLLOUTS, values)

    def append_gradients(self, probe_set: str, step: int, values: Columns) -> None:
        """Write the summed gradients over a probe set under the student of this step:
        schema.GRADIENTS. Raises LogWriteError.
        """
        write_table(
            self.path / "gradients" / probe_set / f"{step_name(step)}.parquet",
            schema.GRADIENTS,
            values,
        )

    def write_exact(self, probe_set: str, values: Columns) -> None:
        """Write the exact gradients of some positions of a probe set: schema.EXACT. Raises
        LogWriteError.
        """
        write_table(self.path / "gradients" / probe_set / "exact.parquet", schema.EXACT, values)

    def save_meta(self, **changes: Any) -> None:
        """Write run.json, with some of its fields changed."""
        self.meta = replace(self.meta, **changes)
        commit(
            self.path / "run.json",
            lambda tmp: tmp.write_text(self.meta.to_json(), encoding="utf-8"),
        )

    def drop_from(self, step: int) -> None:
        """Forget every logged step from `step` on, and the closing probes: a resumed run writes
        them again.
        """
        for table in (*schema.TABLES, "probe/first", "gradients/first"):
            for file in step_files(self.path / table):
                if step_of(file) >= step:
                    file.unlink()
        for pattern in (
            "probe/final/*.parquet",
            "gradients/final/*.parquet",
            "gradients/*/exact.parquet",
        ):
            for file in self.path.glob(pattern):
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
