"""Questions about single texts, methods of `Run`: fresh rollouts of a step, or probe texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rockcore import schema
from rockcore.log.duck import Table, ask, ask_rollout, rows, source
from rockcore.log.files import logged_file, steps_and_files, table_file, table_files
from rockcore.log.parts import rows_in
from rockcore.log.sums import SHARED, check_signal, named

if TYPE_CHECKING:
    from rockcore.log.run import Run


def rollouts(
    run: Run, step: int | None = None, probe_set: str | None = None, rollout: int | None = None
) -> pd.DataFrame:
    """The texts of a step, or of a probe set, or `rollout` of them: schema.ROLLOUTS."""
    files = _rollout_files(run, step, probe_set)
    if rollout is None or not files:
        return rows(schema.ROLLOUTS, files)
    sql = f"SELECT * FROM {source(schema.ROLLOUTS, files)} WHERE rollout_id = $rollout"
    return ask(sql, files, rollout=rollout).loc[:, list(schema.ROLLOUTS)]


def token_rows(run: Run, table: str, step: int) -> int:
    """How many tokens "tokens" or a probe set ("probe/final") has at a step, by the footer of its
    file. Raises RunNotFound.
    """
    return rows_in(logged_file(run.path, table, step))


def rollouts_asked(run: Run, step: int | None = None, probe_set: str | None = None) -> pd.DataFrame:
    """What the texts of a step, or of a probe set, answer: rollout_id, prompt, teacher_prompt,
    correct, by rollout_id. The answers themselves, most of the file, are not read.
    """
    files = _rollout_files(run, step, probe_set)
    names = ["rollout_id", "prompt", "teacher_prompt", "correct"]
    if not files:
        return rows(schema.ROLLOUTS, files).loc[:, names]
    return ask(f"SELECT {', '.join(names)} FROM {source(schema.ROLLOUTS, files)}", files)


def rollout_ids(run: Run, step: int | None = None, probe_set: str | None = None) -> list[int]:
    """The numbers of the texts of a step, or of a probe set, ascending."""
    files = _rollout_files(run, step, probe_set)
    sql = f"SELECT rollout_id FROM {source(schema.ROLLOUTS, files)} ORDER BY rollout_id"
    return ask(sql, files).rollout_id.tolist() if files else []


def _rollout_files(run: Run, step: int | None, probe_set: str | None) -> list[Path]:
    if probe_set is not None:
        return table_files(run.path, f"probe/{probe_set}/rollouts")
    if step is None:
        raise ValueError("the texts of a step, or of a probe_set, are asked for")
    return [logged_file(run.path, "rollouts", step)]


def rollout_sums(
    run: Run, step: int, probe_set: str | None = None, rollout: int | None = None
) -> pd.DataFrame:
    """Length and loss of each rollout of a step or probe set, or of one of them: rollout_id,
    tokens, kl_mean and sampled_loss_mean (nats; NaN if not logged).
    """
    file = logged_file(run.path, _table(probe_set), step)
    sql = """SELECT rollout_id, count(*) AS tokens, avg(kl) AS kl_mean,
                    avg(sampled_loss) AS sampled_loss_mean
             FROM {files} GROUP BY rollout_id ORDER BY rollout_id"""
    if rollout is not None:
        return ask_rollout(sql, {"files": Table(SHARED, [file])}, rollout)
    return ask(sql.format(files=source(SHARED, [file])), [file])


def probe_ids(run: Run, probe_set: str) -> list[list[int]]:
    """The token ids of every rollout of a probe set, read from its first logged step."""
    return _ids(table_files(run.path, f"probe/{probe_set}")[:1])


def probe_tokens(run: Run, probe_set: str) -> tuple[np.ndarray, np.ndarray]:
    """The token ids of all rollouts of a probe set, one after the other, (N,), and which of them
    begins one; read from its first logged step.
    """
    files = table_files(run.path, f"probe/{probe_set}")[:1]
    if not files:
        return np.zeros(0, np.int32), np.zeros(0, bool)
    sql = f"""SELECT token_id, position = 0 AS first FROM {source(SHARED, files)}
              ORDER BY rollout_id, position"""
    found = ask(sql, files)
    return found.token_id.to_numpy(), found["first"].to_numpy()


def summed_ids(run: Run) -> list[list[int]]:
    """The token ids of the first student's further texts, whose gradients are summed."""
    return _ids(table_files(run.path, "gradients/first/texts"))


def _ids(files: list[Path]) -> list[list[int]]:
    """By rollout, from a file or none."""
    if not files:
        return []
    sql = f"""SELECT list(token_id ORDER BY position) AS ids
              FROM {source(schema.SUMMED_TEXTS, files)} GROUP BY rollout_id ORDER BY rollout_id"""
    return [list(map(int, ids)) for ids in ask(sql, files).ids]


def trace(run: Run, step: int, rollout_id: int, probe_set: str | None = None) -> pd.DataFrame:
    """The tokens of one rollout in order, with their text; probe traces carry both models'
    alternatives too, or NA.
    """
    file = logged_file(run.path, _table(probe_set), step)
    vocab = table_file(run.path, "vocab")
    tables, teacher = {"files": Table(schema.TOKENS, [file])}, ""
    if probe_set is not None:
        beside = table_files(run.path, f"probe/{probe_set}/teacher")  # not of every trainer's log
        tables = {
            "files": Table(schema.PROBE, [file]),
            "teacher": Table(schema.PROBE_TEACHER, beside),
        }
        teacher = "LEFT JOIN {teacher} q USING (rollout_id, position)"
    sql = f"""SELECT * FROM {{files}} t
              LEFT JOIN {source(schema.VOCAB, [vocab], "vocab")} v USING (token_id)
              {teacher} ORDER BY position"""
    return named(ask_rollout(sql, tables, rollout_id, vocab))


def positions(run: Run, probe_set: str, rollout_id: int, column: str = "kl") -> pd.DataFrame:
    """A signal at every position of one probe text, at each logged step: step, position, token_id,
    value.
    """
    check_signal(column)
    if not (files := table_files(run.path, f"probe/{probe_set}")):
        return pd.DataFrame(columns=["step", "position", "token_id", "value"])
    sql = f"""SELECT step, position, token_id, {column} AS value FROM {{files}}
              ORDER BY step, position"""
    return ask_rollout(sql, {"files": Table(SHARED, files)}, rollout_id)


def over_steps(
    run: Run, rollout_id: int, probe_set: str, column: str = "kl"
) -> tuple[list[int], np.ndarray]:
    """One probe text over training: the logged steps, and `column` at them as (S, T) float32; NaN
    where a step lacks a token.

    Raises ValueError for a column that is no signal.
    """
    check_signal(column)
    logged = steps_and_files(run.path, f"probe/{probe_set}")
    steps, files = [step for step, _ in logged], [file for _, file in logged]
    if not files:
        return steps, np.zeros((0, 0), np.float32)
    sql = f"SELECT step, position, {column} AS v FROM {{files}}"
    frame = ask_rollout(sql, {"files": Table(SHARED, files)}, rollout_id)
    length = int(frame.position.max()) + 1 if len(frame) else 0
    values_ST = np.full((len(steps), length), np.nan, np.float32)
    values_ST[np.searchsorted(steps, frame.step), frame.position] = frame.v
    return steps, values_ST


def _table(probe_set: str | None) -> str:
    return "tokens" if probe_set is None else f"probe/{probe_set}"
