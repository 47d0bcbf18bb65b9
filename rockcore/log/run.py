"""`Run`: the questions a page or a detection asks of a run. Reading needs no torch."""

from __future__ import annotations

import time
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore import schema, stats
from rockcore.categories import RULES, Rule, load_rules
from rockcore.log import duck, folders, holdings, of_type, sums, texts
from rockcore.log.files import logged_file, steps_and_files, table_file, table_files
from rockcore.log.holders import Holder, holder_of
from rockcore.schema import RunMeta, moment


class GradientRows(NamedTuple):
    """The summed gradients of a probe set: R rows, one a token type and fold, in this order."""

    frame: pd.DataFrame  # schema.GRADIENTS but the direction
    sums: np.ndarray  # (R, D) float32: Σ g, over the vocabulary or a random projection of it


class Run:
    """A run on disk. Every method returns a small frame; token text is never escaped here.

    Tables are named as in schema.TABLES: "tokens", "probe/final".
    """

    def __init__(self, path: Path, meta: RunMeta):
        self.path, self.meta = path, meta

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run, finished or still in training.

        Raises RunNotFound if there is none, DamagedRun if a file is missing or unreadable,
        SchemaMismatch if it was written under another version of the schema.
        """
        path = Path(path)
        return cls(path, folders.read_run(path))

    # The run as a whole.

    def steps(self, table: str = "tokens") -> list[int]:
        """The steps for which `table` is logged; also "probe/first", "gradients/final" and the
        like.
        """
        return [step for step, _ in steps_and_files(self.path, table)]

    def fingerprint(self) -> str:
        """Changes whenever a file of the run does: the key of every cache."""
        return folders.fingerprint(self.path)

    def holder(self) -> Holder | None:
        """Who trains or screens the run now, or did until it was killed (`alive` is False); None
        where no lock was left.
        """
        return holder_of(self.path)

    def is_in_training(self) -> bool | None:
        """Whether a process trains or scores the run now; None where only `age_s` tells: no lock
        was left, as by an earlier version.
        """
        if self.meta.status != "running":
            return False
        holder = self.holder()
        return None if holder is None else holder.alive and holder.doing in ("training", "scoring")

    def age_s(self) -> float:
        """Seconds since the run last wrote a step, by the clock of the files. Raises RunNotFound.

        Of a run that has ended, `ended` says when; copying its files makes them young again.
        """
        return time.time() - folders.last_written(self.path)

    @property
    def ended(self) -> datetime | None:
        """When the run ended, in UTC; None while it is running, or where its log does not say."""
        return moment(self.meta.ended) if self.meta.ended else None

    @cached_property
    def category_rules(self) -> tuple[Rule, ...]:
        """The rules of RUN/categories.toml in front of the built-in ones, where there is such a
        file. Raises BadRules.
        """
        own = self.path / folders.CATEGORIES
        return load_rules(own) if own.exists() or own.is_symlink() else RULES

    @cached_property
    def vocab(self) -> pd.DataFrame:
        """token_id, token, special."""
        return duck.rows(schema.VOCAB, [table_file(self.path, "vocab")])

    def metrics(self) -> pd.DataFrame:
        """One row a step: schema.METRICS."""
        return duck.rows(schema.METRICS, table_files(self.path, "metrics"))

    def evals(self) -> pd.DataFrame:
        """Held-out accuracy: step, decoding, n, correct, accuracy, low, high (Wilson, 95 %)."""
        files = table_files(self.path, "evals")
        columns = ["step", "decoding", "n", "correct", "accuracy", "low", "high"]
        if not files:
            return pd.DataFrame(columns=columns)
        sql = """SELECT step, decoding, count(*) AS n, count(*) FILTER (correct) AS correct
                  FROM {} GROUP BY step, decoding ORDER BY step, decoding"""
        frame = duck.ask_all(sql, schema.EVALS, files)
        intervals = [
            stats.proportion(int(k), int(n)) for k, n in zip(frame.correct, frame.n, strict=True)
        ]
        return frame.assign(
            accuracy=[i.value for i in intervals],
            low=[i.low for i in intervals],
            high=[i.high for i in intervals],
        )

    def optimizer(self, step: int) -> pd.DataFrame:
        """Adam's second moment of each row of the vocabulary projection at one step,
        schema.OPTIMIZER. Raises RunNotFound.
        """
        return duck.rows(schema.OPTIMIZER, [logged_file(self.path, "optimizer", step)])

    def weights(self, step: int) -> pd.DataFrame:
        """What each token type weighs from this step on, in a run of the arm dynamic:
        schema.WEIGHTS. Raises RunNotFound.
        """
        return duck.rows(schema.WEIGHTS, [logged_file(self.path, "weights", step)])

    def gradients(self, probe_set: str, step: int) -> GradientRows:
        """The summed gradients of a probe set under the student of one step. Raises RunNotFound if
        they are not logged.
        """
        file = logged_file(self.path, f"gradients/{probe_set}", step)
        sql = f"SELECT * FROM {duck.source(schema.GRADIENTS, [file])} ORDER BY token_id, fold"
        frame = duck.ask(sql, [file])
        flat = np.frombuffer(b"".join(frame.direction), "<f2").reshape(len(frame), -1)
        return GradientRows(
            frame.drop(columns="direction"), flat * frame.scale.to_numpy(np.float32)[:, None]
        )

    def exact_gradients(self, probe_set: str) -> pd.DataFrame:
        """The sampled positions with exact gradients, schema.EXACT; empty where none were taken."""
        return duck.rows(schema.EXACT, table_files(self.path, f"gradients/{probe_set}/exact"))

    # What there is, and what there is not.

    holdings = holdings.holdings

    # Sums and scales over many occurrences.

    types = sums.types
    type_sums = sums.type_sums
    type_sums_by_rollout = sums.type_sums_by_rollout
    rollout_totals = sums.rollout_totals
    type_means = sums.type_means
    row_cells = sums.row_cells
    values = sums.values
    scale_texts = sums.scale_texts
    quantiles = sums.quantiles
    histogram = sums.histogram

    # One token type.

    type_by_rollout = of_type.type_by_rollout
    alternatives_of = of_type.alternatives_of

    # Single texts.

    rollouts = texts.rollouts
    rows = texts.token_rows
    rollouts_asked = texts.rollouts_asked
    rollout_ids = texts.rollout_ids
    rollout_sums = texts.rollout_sums
    probe_ids = texts.probe_ids
    probe_tokens = texts.probe_tokens
    summed_ids = texts.summed_ids
    trace = texts.trace
    positions = texts.positions
    over_steps = texts.over_steps
