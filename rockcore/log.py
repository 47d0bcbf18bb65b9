"""The log of a run: `RunWriter` appends to it, `Run` answers questions about it. The only file with SQL.

Every file is written under a temporary name and renamed, so a reader, in this process or another, never meets half
a file, and a killed run keeps every step it finished. Reading needs no torch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from rockcore import schema, stats
from rockcore.categories import RULES, Rule, load_rules
from rockcore.files import Columns, check_schema, commit, step_files, step_name, step_of, unreadable, write_table
from rockcore.schema import Column, DamagedRun, RockError, RunMeta, RunNotFound
from rockcore.scores import type_sums

_STOP, _CATEGORIES = "stop", "categories.toml"
# without the option, DuckDB would read columns out of folder names such as runs/seed=1
_FILES, _VOCAB, _TEACHER = (f"read_parquet(${name}, hive_partitioning = false)" for name in ("files", "vocab", "teacher"))
_STDOUT = "output.txt"  # where a page that starts a run lets it print


class RunExists(RockError, FileExistsError):
    """A new run was asked for where one already is."""


class RunWriter:
    """Appends to the folder of one run. Several processes may do so; a step written twice is the later one's."""

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
        if path.exists() and (not path.is_dir() or any(p.name != _STDOUT for p in path.iterdir())):
            raise RunExists(
                f"{path} already holds files", "A new run would mix with them", "Choose another folder, or go on with that run: --resume"
            )

    @classmethod
    def reopen(cls, path: str | Path) -> RunWriter:
        """Go on with a run; raises as Run.open does."""
        return cls(Path(path), Run.open(path).meta)

    def append(self, table: str, step: int, values: Columns) -> None:
        """Write one step of `metrics`, `rollouts`, `tokens` or `evals`; with tokens go their sums per type.

        Rollouts are to be written before their tokens: a reader who finds a step's tokens finds all that belongs to them.
        Raises LogWriteError if the file cannot be written; files written before are not touched.
        """
        if table == "tokens":
            write_table(self.path / "types" / f"{step_name(step)}.parquet", schema.TYPES, type_sums(step, values))
        write_table(self.path / table / f"{step_name(step)}.parquet", schema.TABLES[table], values)

    def append_probe(self, probe_set: str, step: int, values: Columns) -> None:
        """Write the values of a probe set under the student of this step: schema.PROBE and PROBE_TEACHER, the latter once.

        Raises LogWriteError.
        """
        teacher = self.path / "probe" / probe_set / "teacher.parquet"
        if not teacher.exists():
            write_table(teacher, schema.PROBE_TEACHER, values)
        write_table(self.path / "probe" / probe_set / f"{step_name(step)}.parquet", schema.PROBE, values)

    def write_probe_rollouts(self, probe_set: str, values: Columns) -> None:
        """Write the texts (schema.ROLLOUTS) of a probe set; raises LogWriteError."""
        write_table(self.path / "probe" / probe_set / "rollouts.parquet", schema.ROLLOUTS, values)

    def save_meta(self, **changes: Any) -> None:
        """Write run.json, with some of its fields changed."""
        self.meta = replace(self.meta, **changes)
        commit(self.path / "run.json", lambda tmp: tmp.write_text(self.meta.to_json(), encoding="utf-8"))

    def drop_from(self, step: int) -> None:
        """Forget every logged step from `step` on, and the closing probes: a resumed run writes them again."""
        for table in (*schema.TABLES, "probe/first"):
            for file in step_files(self.path / table):
                if step_of(file) >= step:
                    file.unlink()
        for file in (self.path / "probe" / "final").glob("*.parquet"):
            file.unlink()

    def stop_requested(self) -> bool:
        return (self.path / _STOP).exists()

    def clear_stop(self) -> None:
        (self.path / _STOP).unlink(missing_ok=True)


class Run:
    """A run on disk, asked through DuckDB. Every method returns a small frame; token text is never escaped here."""

    def __init__(self, path: Path, meta: RunMeta):
        self.path, self.meta = path, meta

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run, finished or still in training.

        Raises RunNotFound if there is none, DamagedRun if a file is missing or unreadable, SchemaMismatch if it was
        written under another version of the schema.
        """
        path = Path(path)
        todo = "Give the folder that holds run.json; `rockcore train --out DIR` writes one"
        if not path.is_dir():
            raise RunNotFound(f"{path} is {'a file' if path.exists() else 'missing'}", "A run is a folder", todo)
        if not (path / "run.json").exists():
            if not any(path.iterdir()):
                raise RunNotFound(f"{path} is empty", "There is nothing to show", todo)
            started = (path / "vocab.parquet").exists()
            what = "half-written: it has vocab.parquet but no run.json" if started else "no run: it has no run.json"
            raise (DamagedRun if started else RunNotFound)(f"{path} is {what}", "run.json says what the numbers mean", todo)
        meta = RunMeta.from_json((path / "run.json").read_bytes(), path / "run.json")
        run = cls(path, meta)
        run._check_files()
        return run

    def _check_files(self) -> None:
        if not (self.path / "vocab.parquet").exists():
            raise DamagedRun(
                f"{self.path} has no vocab.parquet",
                "Tokens cannot be shown by their text",
                "Copy it from a backup, or train or import the run again",
            )
        check_schema(self.path / "vocab.parquet", schema.VOCAB)
        for table, columns in schema.TABLES.items():
            for file in self._files(table):
                check_schema(file, columns)
        for probe_set in schema.PROBE_SETS:
            for file in self._files(f"probe/{probe_set}"):
                check_schema(file, schema.PROBE)
            for name, columns in (("rollouts", schema.ROLLOUTS), ("teacher", schema.PROBE_TEACHER)):
                if (file := self.path / "probe" / probe_set / f"{name}.parquet").exists():
                    check_schema(file, columns)

    def _files(self, table: str) -> list[Path]:
        return step_files(self.path / table)

    def steps(self, table: str = "tokens") -> list[int]:
        """The steps for which `table` is logged; also "probe/first" and "probe/final"."""
        return [step_of(f) for f in self._files(table)]

    def fingerprint(self) -> str:
        """Changes whenever a file of the log does: the key of every cache."""
        files = sorted(
            p for pattern in ("run.json", _CATEGORIES, "*.parquet", "*/*.parquet", "probe/*/*.parquet") for p in self.path.glob(pattern)
        )
        digest = hashlib.sha256()
        for file in files:
            with suppress(FileNotFoundError):  # dropped by a run that goes on
                stat = file.stat()
                digest.update(f"{file.relative_to(self.path)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def age_s(self) -> float:
        """Seconds since the run last wrote a step."""
        return time.time() - max(f.stat().st_mtime for f in (self.path / "run.json", *self._files("metrics")[-1:]))

    def _ask(self, sql: str, files: Sequence[Path], **parameters: Any) -> pd.DataFrame:
        cursor = _connection().cursor()  # one cursor a call: a connection shared by threads mixes up results
        try:
            return cursor.execute(sql, {"files": [str(f) for f in files], **parameters}).df()
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
            raise  # a mistake in a question, not in a file
        except duckdb.Error as e:
            # the footers were checked: what fails is a page of a file, or one that vanished.
            raise unreadable(f"A file of {self.path} cannot be read", e) from e

    def _table(self, columns: dict[str, Column], files: Sequence[Path]) -> pd.DataFrame:
        if not files:
            return schema.arrow_schema(columns).empty_table().to_pandas()
        return self._ask(f"SELECT {', '.join(columns)} FROM {_FILES}", files)

    @cached_property
    def category_rules(self) -> tuple[Rule, ...]:
        """The rules of RUN/categories.toml in front of the built-in ones, where there is such a file. Raises BadRules."""
        own = self.path / _CATEGORIES
        return load_rules(own) if own.exists() else RULES

    @cached_property
    def vocab(self) -> pd.DataFrame:
        """token_id, token, special."""
        return self._table(schema.VOCAB, [self.path / "vocab.parquet"])

    def metrics(self) -> pd.DataFrame:
        """One row a step: schema.METRICS."""
        return self._table(schema.METRICS, self._files("metrics"))

    def evals(self) -> pd.DataFrame:
        """Held-out accuracy: step, decoding, n, correct, accuracy, low, high (Wilson, 95 %)."""
        files = self._files("evals")
        columns = ["step", "decoding", "n", "correct", "accuracy", "low", "high"]
        if not files:
            return pd.DataFrame(columns=columns)
        sql = f"""SELECT step, decoding, count(*) AS n, count(*) FILTER (correct) AS correct
                 FROM {_FILES} GROUP BY step, decoding ORDER BY step, decoding"""
        frame = self._ask(sql, files)
        intervals = [stats.proportion(int(k), int(n)) for k, n in zip(frame.correct, frame.n, strict=True)]
        return frame.assign(accuracy=[i.value for i in intervals], low=[i.low for i in intervals], high=[i.high for i in intervals])

    def types(self, step: int) -> pd.DataFrame:
        """Sums per token type at one step, with the token's text: schema.TYPES but the histogram."""
        file = self.path / "types" / f"{step_name(step)}.parquet"
        self._need(file, "types", step)
        sql = f"""SELECT t.* EXCLUDE (step, kl_histogram), v.token, v.special FROM {_FILES} t
                 LEFT JOIN {_VOCAB} v USING (token_id) ORDER BY token_id"""
        return _named(self._ask(sql, [file], vocab=str(self.path / "vocab.parquet")))

    def rollouts(self, step: int | None = None, probe_set: str | None = None) -> pd.DataFrame:
        """The texts of a step, or of a probe set: schema.ROLLOUTS."""
        if probe_set is not None:
            file = self.path / "probe" / probe_set / "rollouts.parquet"
            return self._table(schema.ROLLOUTS, [file] if file.exists() else [])
        if step is None:
            raise ValueError("rollouts() needs a step or a probe_set")
        file = self.path / "rollouts" / f"{step_name(step)}.parquet"
        self._need(file, "rollouts", step)
        return self._table(schema.ROLLOUTS, [file])

    def probe_ids(self, probe_set: str) -> list[list[int]]:
        """The token ids of every rollout of a probe set, read from its first logged step."""
        files = self._files(f"probe/{probe_set}")
        if not files:
            return []
        sql = f"""SELECT list(token_id ORDER BY position) AS ids FROM {_FILES} GROUP BY rollout_id ORDER BY rollout_id"""
        return [list(map(int, ids)) for ids in self._ask(sql, files[:1]).ids]

    def trace(self, step: int, rollout_id: int, probe_set: str | None = None) -> pd.DataFrame:
        """The tokens of one rollout in order, with their text; probe traces carry both models' alternatives too, or NA."""
        table = "tokens" if probe_set is None else f"probe/{probe_set}"
        file = self.path / table / f"{step_name(step)}.parquet"
        self._need(file, table, step)
        paths = {"vocab": str(self.path / "vocab.parquet")}
        teacher = ""
        if probe_set is not None:
            paths["teacher"] = str(self.path / table / "teacher.parquet")
            teacher = f"LEFT JOIN {_TEACHER} q USING (rollout_id, position)"
        sql = f"""SELECT * FROM {_FILES} t LEFT JOIN {_VOCAB} v USING (token_id) {teacher}
                  WHERE rollout_id = $rollout ORDER BY position"""
        return _named(self._ask(sql, [file], rollout=rollout_id, **paths))

    def rollout_sums(self, step: int, probe_set: str | None = None) -> pd.DataFrame:
        """Length and loss of each rollout of a step or probe set: rollout_id, tokens, kl_mean (nats; NaN if not logged)."""
        table = "tokens" if probe_set is None else f"probe/{probe_set}"
        file = self.path / table / f"{step_name(step)}.parquet"
        self._need(file, table, step)
        sql = f"""SELECT rollout_id, count(*) AS tokens, avg(kl) AS kl_mean FROM {_FILES}
                 GROUP BY rollout_id ORDER BY rollout_id"""
        return self._ask(sql, [file])

    def type_means(self, table: str, column: str = "kl") -> pd.DataFrame:
        """Mean of a signal by token type and step, over "tokens" or a probe set ("probe/final"): token_id, step, n, mean."""
        _signal(column)
        if not (files := self._files(table)):
            return pd.DataFrame(columns=["token_id", "step", "n", "mean"])
        return self._ask(f"SELECT token_id, step, count(*) AS n, avg({column}) AS mean FROM {_FILES} GROUP BY ALL", files)

    def positions(self, probe_set: str, rollout_id: int, column: str = "kl") -> pd.DataFrame:
        """A signal at every position of one probe text, at each logged step: step, position, token_id, value."""
        _signal(column)
        if not (files := self._files(f"probe/{probe_set}")):
            return pd.DataFrame(columns=["step", "position", "token_id", "value"])
        sql = f"""SELECT step, position, token_id, {column} AS value FROM {_FILES}
                  WHERE rollout_id = $rollout ORDER BY step, position"""
        return self._ask(sql, files, rollout=rollout_id)

    def quantiles(self, column: str, probabilities: Sequence[float], absolute: bool = False) -> tuple[int, list[float]]:
        """How many logged fresh tokens of all steps have a value in `column`, and its quantiles (of |value| if `absolute`).

        Probe values are left out: they repeat the same text at every step. Raises ValueError for a column that is no signal.
        """
        _signal(column)
        if not (files := self._files("tokens")):
            return 0, []
        value = f"abs({column})" if absolute else column
        sql = f"""SELECT count(v) AS n, quantile_cont(v, {[float(p) for p in probabilities]}) AS q
                  FROM (SELECT {value} AS v FROM {_FILES} WHERE isfinite({column}))"""
        row = self._ask(sql, files).iloc[0]
        return int(row.n), [float(q) for q in row.q] if row.n else []

    def over_steps(self, rollout_id: int, probe_set: str, column: str = "kl") -> tuple[list[int], np.ndarray]:
        """One probe text over training: the logged steps, and `column` at them as (S, T) float32; NaN where a step lacks a token.

        Raises ValueError for a column that is no signal.
        """
        _signal(column)
        files = self._files(f"probe/{probe_set}")
        steps = [step_of(f) for f in files]
        if not files:
            return steps, np.zeros((0, 0), np.float32)
        frame = self._ask(f"SELECT step, position, {column} AS v FROM {_FILES} WHERE rollout_id = $rollout", files, rollout=rollout_id)
        values_ST = np.full((len(steps), int(frame.position.max()) + 1 if len(frame) else 0), np.nan, np.float32)
        values_ST[np.searchsorted(steps, frame.step), frame.position] = frame.v
        return steps, values_ST

    def histogram(self, column: str, edges: Sequence[float]) -> list[int]:
        """Logged fresh tokens of all steps per bin of `column`: below edges[0], then from each edge up to the next.

        `edges` ascending; a token on an edge counts above it. Raises ValueError for a column that is no signal.
        """
        _signal(column)
        if not (files := self._files("tokens")):
            return [0] * (len(edges) + 1)
        # DuckDB's bins hold their upper bound: of the negated values, so that each holds its lower one
        bounds = [-float(e) for e in reversed(edges)]
        sql = f"""SELECT count(*) AS n, histogram(-CAST({column} AS DOUBLE), {bounds}) AS h FROM {_FILES} WHERE isfinite({column})"""
        row = self._ask(sql, files).iloc[0]
        found = dict(row.h) if row.n else {}
        above = [int(found.get(b, 0)) for b in reversed(bounds)]
        return [int(row.n) - sum(above), *above]

    def _need(self, file: Path, table: str, step: int) -> None:
        if not file.exists():
            steps = self.steps(table)
            have = f"logged steps: {steps[0]} to {steps[-1]}, {len(steps)} in all" if steps else "none is logged"
            raise RunNotFound(
                f"{self.path.name} has no {table} of step {step} ({have})", "Only logged steps can be read", "Choose one of them"
            )


def _signal(column: str) -> None:
    if column not in schema.TOKENS or str(schema.TOKENS[column].type) != "float":
        raise ValueError(f"{column!r} is no float column of the token log")


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as it is; raises DamagedRun if the vocabulary has no text for one of its tokens."""
    if frame.token.isna().any():
        ids = frame.token_id[frame.token.isna()].unique().tolist()
        what = f"vocab.parquet lacks {len(ids)} ids, e.g. {ids[:5]}"
        raise DamagedRun(what, "These tokens have no text", "Import the run again with its own tokenizer")
    return frame


def _connection() -> duckdb.DuckDBPyConnection:
    global _shared
    if _shared is None:
        _shared = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    return _shared


_shared: duckdb.DuckDBPyConnection | None = None


def find_runs(places: Iterable[str | Path]) -> list[Path]:
    """Folders with a run.json: the places themselves, or their direct children."""
    found: list[Path] = []
    for place in map(Path, places):
        inside = sorted(p.parent for p in place.glob("*/run.json")) if place.is_dir() else []
        found += [place] if (place / "run.json").exists() else inside
    return list(dict.fromkeys(p.resolve() for p in found))


def request_stop(path: str | Path) -> None:
    """Ask the process that trains this run to end after its current step."""
    (Path(path) / _STOP).touch()


def sample_runs() -> Path:
    """The folder of the runs that come with the project, in a checkout or inside an installed package."""
    installed = Path(__file__).parent / "sample_runs"
    return installed if installed.is_dir() else installed.parent.parent / "sample_runs"
