"""The questions a page or a detection asks of a run: `Run`, the only file with SQL. `RunWriter`
writes what is read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore import schema, stats
from rockcore.categories import RULES, Rule, load_rules
from rockcore.log.files import CATEGORIES, find_runs, request_stop, sample_runs, step_name, step_of
from rockcore.log.folder import RunFolder
from rockcore.log.writer import RunExists, RunWriter
from rockcore.schema import DamagedRun

__all__ = [
    "GradientRows",
    "Run",
    "RunExists",
    "RunWriter",
    "find_runs",
    "request_stop",
    "sample_runs",
]
_FILES, _VOCAB, _TEACHER = (
    f"read_parquet(${name}, hive_partitioning = false)" for name in ("files", "vocab", "teacher")
)


class GradientRows(NamedTuple):
    """The summed gradients of a probe set: R rows, one a token type and fold, by token id and fold."""

    frame: pd.DataFrame  # schema.GRADIENTS but the direction
    sums: np.ndarray  # (R, D) float32: Σ g, over the vocabulary or a random projection of it


class Run(RunFolder):
    """A run on disk, asked through DuckDB. Every method returns a small frame; token text is never
    escaped here.
    """

    @cached_property
    def category_rules(self) -> tuple[Rule, ...]:
        """The rules of RUN/categories.toml in front of the built-in ones, where there is such a
        file. Raises BadRules.
        """
        own = self.path / CATEGORIES
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
        intervals = [
            stats.proportion(int(k), int(n)) for k, n in zip(frame.correct, frame.n, strict=True)
        ]
        return frame.assign(
            accuracy=[i.value for i in intervals],
            low=[i.low for i in intervals],
            high=[i.high for i in intervals],
        )

    def types(self, step: int) -> pd.DataFrame:
        """Sums per token type at one step, with the token's text: schema.TYPES but the histogram."""
        file = self.path / "types" / f"{step_name(step)}.parquet"
        self._need(file, "types", step)
        sql = f"""SELECT t.* EXCLUDE (step, kl_histogram), v.token, v.special FROM {self._source(schema.TYPES, [file])} t
                 LEFT JOIN {_VOCAB} v USING (token_id) ORDER BY token_id"""
        return _named(self._ask(sql, [file], vocab=str(self.path / "vocab.parquet")))

    def type_sums(self, table: str = "tokens") -> pd.DataFrame:
        """Sums per token type and logged step, over the fresh "tokens" or a probe set
        ("probe/final"), by step and token id.

        Columns: step, token_id, n, kl_sum, grad_norm_sum, proj_grad_norm_sum; NaN where a gradient
        is not logged.
        """
        sums = ["kl_sum", "grad_norm_sum", "proj_grad_norm_sum"]
        fresh = table == "tokens"
        if not (files := self._files("types" if fresh else table)):
            return pd.DataFrame(columns=["step", "token_id", "n", *sums])
        if fresh:
            sql = f"SELECT step, token_id, n, {', '.join(sums)} FROM {self._source(schema.TYPES, files)} ORDER BY step, token_id"
        else:
            totals = ", ".join(
                f"sum(CAST({name.removesuffix('_sum')} AS DOUBLE)) AS {name}" for name in sums
            )
            sql = f"""SELECT step, token_id, count(*) AS n, {totals} FROM {self._source(schema.PROBE, files)}
                      GROUP BY step, token_id ORDER BY step, token_id"""
        return self._ask(sql, files)

    def values(self, table: str, step: int, column: str) -> np.ndarray:
        """A signal of every occurrence at one step, (N,) float32 in no order, over "tokens" or a
        probe set; NaN where not logged.
        """
        _signal(column)
        file = self.path / table / f"{step_name(step)}.parquet"
        self._need(file, table, step)
        return self._ask(f"SELECT {column} AS v FROM {self._tokens([file])}", [file]).v.to_numpy(
            np.float32
        )

    def gradients(self, probe_set: str, step: int) -> GradientRows:
        """The summed gradients of a probe set under the student of one step. Raises RunNotFound if
        they are not logged.
        """
        table = f"gradients/{probe_set}"
        file = self.path / table / f"{step_name(step)}.parquet"
        self._need(file, table, step)
        frame = self._ask(f"SELECT * FROM {_FILES} ORDER BY token_id, fold", [file])
        flat = np.frombuffer(b"".join(frame.direction), "<f2").reshape(len(frame), -1)
        return GradientRows(
            frame.drop(columns="direction"), flat * frame.scale.to_numpy(np.float32)[:, None]
        )

    def exact_gradients(self, probe_set: str) -> pd.DataFrame:
        """The sampled positions with exact gradients, schema.EXACT; empty where none were taken."""
        file = self.path / "gradients" / probe_set / "exact.parquet"
        return self._table(schema.EXACT, [file] if file.exists() else [])

    def optimizer(self, step: int) -> pd.DataFrame:
        """Adam's second moment of each row of the vocabulary projection at one step,
        schema.OPTIMIZER. Raises RunNotFound.
        """
        file = self.path / "optimizer" / f"{step_name(step)}.parquet"
        self._need(file, "optimizer", step)
        return self._table(schema.OPTIMIZER, [file])

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
        """The tokens of one rollout in order, with their text; probe traces carry both models'
        alternatives too, or NA.
        """
        table = "tokens" if probe_set is None else f"probe/{probe_set}"
        file = self.path / table / f"{step_name(step)}.parquet"
        self._need(file, table, step)
        paths = {"vocab": str(self.path / "vocab.parquet")}
        teacher = ""
        if probe_set is not None:
            paths["teacher"] = str(self.path / table / "teacher.parquet")
            teacher = f"LEFT JOIN {_TEACHER} q USING (rollout_id, position)"
        columns = schema.TOKENS if probe_set is None else schema.PROBE
        sql = f"""SELECT * FROM {self._source(columns, [file])} t LEFT JOIN {_VOCAB} v USING (token_id) {teacher}
                  WHERE rollout_id = $rollout ORDER BY position"""
        return _named(self._ask(sql, [file], rollout=rollout_id, **paths))

    def rollout_sums(self, step: int, probe_set: str | None = None) -> pd.DataFrame:
        """Length and loss of each rollout of a step or probe set: rollout_id, tokens, kl_mean
        (nats; NaN if not logged).
        """
        table = "tokens" if probe_set is None else f"probe/{probe_set}"
        file = self.path / table / f"{step_name(step)}.parquet"
        self._need(file, table, step)
        sql = f"""SELECT rollout_id, count(*) AS tokens, avg(kl) AS kl_mean FROM {_FILES}
                 GROUP BY rollout_id ORDER BY rollout_id"""
        return self._ask(sql, [file])

    def type_means(self, table: str, column: str = "kl") -> pd.DataFrame:
        """Mean of a signal by token type and step, over "tokens" or a probe set ("probe/final"):
        token_id, step, n, mean.
        """
        _signal(column)
        if not (files := self._files(table)):
            return pd.DataFrame(columns=["token_id", "step", "n", "mean"])
        return self._ask(
            f"SELECT token_id, step, count(*) AS n, avg({column}) AS mean FROM "
            f"{self._tokens(files)} GROUP BY ALL",
            files,
        )

    def positions(self, probe_set: str, rollout_id: int, column: str = "kl") -> pd.DataFrame:
        """A signal at every position of one probe text, at each logged step: step, position,
        token_id, value.
        """
        _signal(column)
        if not (files := self._files(f"probe/{probe_set}")):
            return pd.DataFrame(columns=["step", "position", "token_id", "value"])
        sql = f"""SELECT step, position, token_id, {column} AS value FROM {self._tokens(files)}
                  WHERE rollout_id = $rollout ORDER BY step, position"""
        return self._ask(sql, files, rollout=rollout_id)

    def quantiles(
        self,
        column: str,
        probabilities: Sequence[float],
        absolute: bool = False,
        beside: Run | None = None,
    ) -> tuple[int, list[float]]:
        """How many logged fresh tokens of all steps have a value in `column`, and its quantiles (of
        |value| if `absolute`).

        Probe values are left out: they repeat the same text at every step. The tokens of `beside`
        count as if they were of this run. Raises ValueError for a column that is no signal.
        """
        _signal(column)
        if not (
            files := self._files("tokens") + ([] if beside is None else beside._files("tokens"))
        ):
            return 0, []
        value = f"abs({column})" if absolute else column
        sql = f"""SELECT count(v) AS n, quantile_cont(v, {[float(p) for p in probabilities]}) AS q
                  FROM (SELECT {value} AS v FROM {self._tokens(files)} WHERE isfinite({column}))"""
        row = self._ask(sql, files).iloc[0]
        return int(row.n), [float(q) for q in row.q] if row.n else []

    def over_steps(
        self, rollout_id: int, probe_set: str, column: str = "kl"
    ) -> tuple[list[int], np.ndarray]:
        """One probe text over training: the logged steps, and `column` at them as (S, T) float32;
        NaN where a step lacks a token.

        Raises ValueError for a column that is no signal.
        """
        _signal(column)
        files = self._files(f"probe/{probe_set}")
        steps = [step_of(f) for f in files]
        if not files:
            return steps, np.zeros((0, 0), np.float32)
        sql = f"SELECT step, position, {column} AS v FROM {self._tokens(files)} WHERE rollout_id = $rollout"
        frame = self._ask(sql, files, rollout=rollout_id)
        values_ST = np.full(
            (len(steps), int(frame.position.max()) + 1 if len(frame) else 0), np.nan, np.float32
        )
        values_ST[np.searchsorted(steps, frame.step), frame.position] = frame.v
        return steps, values_ST

    def histogram(self, column: str, edges: Sequence[float]) -> list[int]:
        """Logged fresh tokens of all steps per bin of `column`: below edges[0], then from each edge
        up to the next.

        `edges` ascending; a token on an edge counts above it. Raises ValueError for a column that
        is no signal.
        """
        _signal(column)
        if not (files := self._files("tokens")):
            return [0] * (len(edges) + 1)
        # DuckDB's bins hold their upper bound: of the negated values, so that each holds its lower
        # one
        bounds = [-float(e) for e in reversed(edges)]
        sql = f"""SELECT count(*) AS n, histogram(-CAST({column} AS DOUBLE), {bounds}) AS h FROM {self._tokens(files)}
                  WHERE isfinite({column})"""
        row = self._ask(sql, files).iloc[0]
        found = dict(row.h) if row.n else {}
        above = [int(found.get(b, 0)) for b in reversed(bounds)]
        return [int(row.n) - sum(above), *above]

    def _tokens(self, files: Sequence[Path]) -> str:
        """The columns that fresh tokens and probe texts share."""
        return self._source(_SHARED, files)


_SHARED = {name: column for name, column in schema.TOKENS.items() if name in schema.PROBE}


def _signal(column: str) -> None:
    if column not in schema.TOKENS or str(schema.TOKENS[column].type) not in ("float", "halffloat"):
        raise ValueError(f"{column!r} is no float column of the token log")


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as it is; raises DamagedRun if the vocabulary has no text for one of its tokens."""
    if frame.token.isna().any():
        ids = frame.token_id[frame.token.isna()].unique().tolist()
        what = f"vocab.parquet lacks {len(ids)} ids, e.g. {ids[:5]}"
        raise DamagedRun(
            what, "These tokens have no text", "Import the run again with its own tokenizer"
        )
    return frame
