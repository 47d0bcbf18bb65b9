"""Knockout screens on disk: `Screen` reads one, `ScreenWriter` writes one candidate after another.

A screen lies in RUN/knockout; schema/screen.py says what is there. Files are written whole or not
at all, so one that was killed keeps every finished candidate, and can be read while it is written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rockcore.log.checks import read_table
from rockcore.log.files import Columns, commit, read_whole, unreadable, write_table
from rockcore.log.listing import mark, mark_of
from rockcore.log.lock import Lock
from rockcore.log.run import Run
from rockcore.schema import Column, DamagedRun, RockError
from rockcore.schema.screen import BASELINE, OUTCOMES, PROBLEMS, Candidate, ScreenPlan

FOLDER, PLAN = "knockout", "screen.json"


class NoScreen(RockError, FileNotFoundError):
    """A run has no knockout screen, or none with a finished baseline."""


class Texts(NamedTuple):
    """Token lists of different lengths in one array: text n is ids[ends[n - 1] : ends[n]]."""

    ids: np.ndarray  # (N,) int32
    ends: np.ndarray  # (B,) int64
    known: np.ndarray  # (B,) bool: False where no text is kept

    def __getitem__(self, n: int) -> list[int]:
        return self.ids[self.ends[n - 1] if n else 0 : self.ends[n]].tolist()

    def __len__(self) -> int:
        return len(self.ends)


class Baseline(NamedTuple):
    """Every problem answered by the whole student. Rows: problem by problem, rollout by rollout."""

    correct: np.ndarray  # (I, B) bool, problems × rollouts
    texts: Texts  # I · B texts


class Outcomes(NamedTuple):
    """The C rollouts that a candidate's ban changes, by problem and rollout; arrays are (C,)."""

    problem: np.ndarray
    rollout: np.ndarray
    branch: np.ndarray  # position of the first banned token
    replacement: np.ndarray  # the token id that stands there instead
    length: np.ndarray
    correct: np.ndarray  # bool
    sham_correct: np.ndarray | None  # bool; None for a kind without a sham
    texts: Texts  # from the branch on


class Screen:
    """The screen of a run. Raises NoScreen where there is none, DamagedRun for what cannot be read,
    SchemaMismatch for one of another version.
    """

    def __init__(self, run: Run):
        self.run, self.folder = run, run.path / FOLDER
        self.plan = _read_plan(self.folder / PLAN)

    @classmethod
    def open(cls, run: Run | str | Path) -> Screen:
        return cls(run if isinstance(run, Run) else Run.open(run))

    @staticmethod
    def exists(run: str | Path) -> bool:
        return (Path(run) / FOLDER / PLAN).exists()

    @staticmethod
    def state(run: str | Path) -> str:
        """Changes whenever a file of the run's screen does, which the run's own fingerprint does
        not know; empty where there is no screen.
        """
        folder, total = Path(run) / FOLDER, 0
        for name in (PLAN, "problems.parquet", "baseline.parquet"):
            with suppress(FileNotFoundError, NotADirectoryError):
                stat = os.stat(folder / name)
                total += mark(name, stat.st_size, stat.st_mtime_ns)
        if total:
            total += mark("outcomes", mark_of(folder / "outcomes", _is_table), 0)
        return f"{total % 2**64:016x}" if total else ""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return self.plan.candidates

    @property
    def finished(self) -> tuple[Candidate, ...]:
        """The candidates whose outcomes are written."""
        there = set(os.listdir(path)) if (path := self.folder / "outcomes").is_dir() else set()
        return tuple(c for c in self.candidates if f"{c.same_as or c.key}.parquet" in there)

    @property
    def stale(self) -> bool:
        """Whether the run was trained further since: the screen is of another student."""
        steps = self.run.steps("metrics")
        return bool(steps) and steps[-1] != self.plan.step

    def fingerprint(self) -> str:
        """Changes whenever a file of the screen does; the run's own does not know it."""
        return self.state(self.run.path)

    @cached_property
    def problems(self) -> dict[str, list]:
        """prompt and answer of every problem."""
        file = self.folder / "problems.parquet"
        table = read_table(file, list(PROBLEMS))
        order = np.arange(self.plan.problems)
        if not np.array_equal(_numbers(table, "problem"), order):
            raise DamagedRun(
                f"{file} does not hold {len(order)} problems in their order",
                "The answers are told beside them",
                f"Move {self.folder} away and screen again",
            )
        return {name: table[name].to_pylist() for name in ("prompt", "answer")}

    @cached_property
    def baseline(self) -> Baseline:
        """Raises NoScreen until it is written."""
        file = self.folder / "baseline.parquet"
        if not file.exists():
            raise NoScreen(
                f"{self.folder} has no baseline yet",
                "What a token does is told against the answers that hold it",
                f"Go on with it: rockcore knockout {self.run.path}",
            )
        table, shape = read_table(file, list(BASELINE)), (self.plan.problems, self.plan.rollouts)
        order = np.arange(shape[0] * shape[1])
        whole = len(order) == len(table) and np.array_equal(
            _numbers(table, "problem") * shape[1] + _numbers(table, "rollout"), order
        )
        if not whole:
            raise DamagedRun(
                f"{file} has {len(table)} rows that are not {shape[0]} problems × {shape[1]}",
                "Every candidate is paired with these answers",
                f"Move {self.folder} away and screen again",
            )
        return Baseline(_numbers(table, "correct").reshape(shape), _texts(table["ids"]))

    def outcomes(self, key: str) -> Outcomes:
        """What became of the rollouts that a finished candidate changes. Raises KeyError for a key
        that the plan does not hold.
        """
        candidate = {c.key: c for c in self.candidates}[key]
        table = read_table(self._file(candidate.same_as or key), list(OUTCOMES))
        sham = table["sham_correct"]
        columns = {n: _numbers(table, n) for n in Outcomes._fields[:6]}
        if not self._are_paired(columns, candidate):
            raise DamagedRun(
                f"{self._file(candidate.same_as or key)} speaks of rollouts that the baseline does "
                f"not have, or of places where none of {list(candidate.ids)} stands",
                "They cannot be paired",
                "Delete this file, and the screen writes it again",
            )
        known = len(table) > 0 and sham.null_count == 0
        return Outcomes(
            **columns,
            sham_correct=_numbers(table, "sham_correct") if known else None,
            texts=_texts(table["ids"]),
        )

    def _are_paired(self, columns: dict[str, np.ndarray], candidate: Candidate) -> bool:
        """Whether these are rollouts of the baseline, with a banned id at `branch`."""
        shape, ends = (self.plan.problems, self.plan.rollouts), self.baseline.texts.ends
        for name, most in zip(("problem", "rollout"), shape, strict=True):
            if not (columns[name] < most).all():
                return False
        rows = columns["problem"].astype(np.int64) * shape[1] + columns["rollout"]
        places = np.append(0, ends)[rows] + columns["branch"]
        if (places >= ends[rows]).any():
            return False
        return bool(np.isin(self.baseline.texts.ids[places], candidate.ids).all())

    def _file(self, key: str) -> Path:
        return self.folder / "outcomes" / f"{key}.parquet"


class ScreenWriter:
    """Writes the screen of a run, one file a finished part; with its `lock`, RunGone is raised
    where the run was deleted, renamed or replaced, and nothing is written there.
    """

    def __init__(self, run: Path, plan: ScreenPlan, lock: Lock | None = None):
        self.folder, self.plan, self.lock = run / FOLDER, plan, lock
        self._within = None if lock is None else run

    def save_plan(self, candidates: Sequence[Candidate]) -> None:
        """Write screen.json with these candidates; raises LogWriteError."""
        self.plan = replace(self.plan, candidates=tuple(candidates))
        text, file = self.plan.to_json(), self.folder / PLAN
        self._check()
        commit(file, lambda tmp: tmp.write_text(text, encoding="utf-8"), self._within)

    def write_problems(self, prompts: Sequence[str], answers: Sequence[str]) -> None:
        rows = {"problem": np.arange(len(prompts)), "prompt": prompts, "answer": answers}
        self._write("problems.parquet", PROBLEMS, rows)

    def write_baseline(self, correct_IB: np.ndarray, texts: Sequence[Sequence[int]]) -> None:
        """`texts` by problem, then rollout; raises LogWriteError."""
        n, b = correct_IB.shape
        rows = {
            "problem": np.repeat(np.arange(n), b),
            "rollout": np.tile(np.arange(b), n),
            "correct": correct_IB.ravel(),
            "ids": list(texts),
        }
        self._write("baseline.parquet", BASELINE, rows)

    def write_outcomes(self, key: str, rows: Columns) -> None:
        """The columns of OUTCOMES for one candidate; a text that is not kept is None. Raises
        LogWriteError.
        """
        self._write(f"outcomes/{key}.parquet", OUTCOMES, rows)

    def _write(self, name: str, columns: dict[str, Column], rows: Columns) -> None:
        self._check()
        write_table(self.folder / name, columns, rows, self._within)

    def _check(self) -> None:
        if self.lock is not None:
            self.lock.check()

    def drop(self, keys: Sequence[str]) -> None:
        for key in keys:
            (self.folder / "outcomes" / f"{key}.parquet").unlink(missing_ok=True)


def why_not(run: Run) -> str:
    """Why a run cannot be screened, as far as its folder tells; empty where it can be."""
    if not any((run.path / "checkpoints").glob("step=*/config.json")):
        return (
            f"{run.path.name} has no checkpoints: a screen lets its last student answer again. "
            "Train a run, which keeps them: rockcore train"
        )
    if not run.meta.config:
        return f"{run.path.name} does not hold the settings that it was trained with"
    return ""


def _is_table(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith(".")


def _read_plan(file: Path) -> ScreenPlan:
    try:
        text = read_whole(file)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise NoScreen(
            f"{file.parent.parent} has no knockout screen",
            "What a token does to the answers is known once it was knocked out",
            f"Run rockcore knockout {file.parent.parent}",
        ) from e
    return ScreenPlan.from_json(text, file)


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    column = table[name].combine_chunks()
    if column.null_count:
        raise unreadable(f"a table of a screen has nulls in {name!r}", ValueError("null"))
    return column.to_numpy(zero_copy_only=False)


def _texts(column: Any) -> Texts:
    lists = column.combine_chunks()
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    ids = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int32)
    return Texts(ids, np.cumsum(lengths, dtype=np.int64), ~np.asarray(lists.is_null()))
