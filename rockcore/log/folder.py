"""The folder of a run: opened and checked, its files found, and put to DuckDB. The questions
themselves stand in `log`.

Reading needs no torch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from rockcore import schema
from rockcore.log.files import CATEGORIES, check_schema, step_files, step_of, unreadable
from rockcore.schema import Column, DamagedRun, RunMeta, RunNotFound

_AnyRun = TypeVar("_AnyRun", bound="RunFolder")
_SQL_TYPES = {pa.float16(): "FLOAT", pa.float32(): "FLOAT", pa.float64(): "DOUBLE"}


class RunFolder:
    """A run on disk: its meta data, its files, and a way to ask SQL of them."""

    def __init__(self, path: Path, meta: RunMeta):
        self.path, self.meta = path, meta

    @classmethod
    def open(cls: type[_AnyRun], path: str | Path) -> _AnyRun:
        """Open a run, finished or still in training.

        Raises RunNotFound if there is none, DamagedRun if a file is missing or unreadable,
        SchemaMismatch if it was written under another version of the schema.
        """
        path = Path(path)
        todo = "Give the folder that holds run.json; `rockcore train --out DIR` writes one"
        if not path.is_dir():
            raise RunNotFound(
                f"{path} is {'a file' if path.exists() else 'missing'}", "A run is a folder", todo
            )
        if not (path / "run.json").exists():
            if not any(path.iterdir()):
                raise RunNotFound(f"{path} is empty", "There is nothing to show", todo)
            started = (path / "vocab.parquet").exists()
            what = (
                "half-written: it has vocab.parquet but no run.json"
                if started
                else "no run: it has no run.json"
            )
            raise (DamagedRun if started else RunNotFound)(
                f"{path} is {what}", "run.json says what the numbers mean", todo
            )
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
            for table, columns in (("probe", schema.PROBE), ("gradients", schema.GRADIENTS)):
                for file in self._files(f"{table}/{probe_set}"):
                    check_schema(file, columns)
            if (file := self.path / "gradients" / probe_set / "exact.parquet").exists():
                check_schema(file, schema.EXACT)
            for name, columns in (("rollouts", schema.ROLLOUTS), ("teacher", schema.PROBE_TEACHER)):
                if (file := self.path / "probe" / probe_set / f"{name}.parquet").exists():
                    check_schema(file, columns)

    def _files(self, table: str) -> list[Path]:
        return step_files(self.path / table)

    def steps(self, table: str = "tokens") -> list[int]:
        """The steps for which `table` is logged; also "probe/first", "gradients/final" and the
        like.
        """
        return [step_of(f) for f in self._files(table)]

    def fingerprint(self) -> str:
        """Changes whenever a file of the log does: the key of every cache."""
        files = sorted(
            p
            for pattern in ("run.json", CATEGORIES, "*.parquet", "*/*.parquet", "*/*/*.parquet")
            for p in self.path.glob(pattern)
        )
        digest = hashlib.sha256()
        for file in files:
            with suppress(FileNotFoundError):  # dropped by a run that goes on
                stat = file.stat()
                digest.update(
                    f"{file.relative_to(self.path)} {stat.st_size} {stat.st_mtime_ns}\n".encode()
                )
        return digest.hexdigest()[:16]

    def age_s(self) -> float:
        """Seconds since the run last wrote a step."""
        return time.time() - max(
            f.stat().st_mtime for f in (self.path / "run.json", *self._files("metrics")[-1:])
        )

    def _ask(self, sql: str, files: Sequence[Path], **parameters: Any) -> pd.DataFrame:
        cursor = (
            _connection().cursor()
        )  # one cursor a call: a connection shared by threads mixes up results
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
        return self._ask(f"SELECT {', '.join(columns)} FROM {self._source(columns, files)}", files)

    def _source(self, columns: dict[str, Column], files: Sequence[Path]) -> str:
        """What to write after FROM for `$files`, so that optional columns which all or some of them
        lack are null.
        """
        found = [check_schema(file, columns) for file in files]
        missing = [n for n, c in columns.items() if c.optional and not any(n in f for f in found)]
        nulls = [f", CAST(NULL AS {_SQL_TYPES[columns[n].type]}) AS {n}" for n in missing]
        mixed = str(any(f != found[0] for f in found)).lower()
        # without the first option, DuckDB would read columns out of folder names such as
        # runs/seed=1
        return f"(SELECT *{''.join(nulls)} FROM read_parquet($files, hive_partitioning = false, union_by_name = {mixed}))"

    def _need(self, file: Path, table: str, step: int) -> None:
        if not file.exists():
            steps = self.steps(table)
            have = (
                f"logged steps: {steps[0]} to {steps[-1]}, {len(steps)} in all"
                if steps
                else "none is logged"
            )
            raise RunNotFound(
                f"{self.path.name} has no {table} of step {step} ({have})",
                "Only logged steps can be read",
                "Choose one of them",
            )


def _connection() -> duckdb.DuckDBPyConnection:
    global _shared
    if _shared is None:
        _shared = duckdb.connect(
            ":memory:",
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
        )
    return _shared


_shared: duckdb.DuckDBPyConnection | None = None
