"""Questions over many occurrences, methods of `Run`: sums by token type, the scale of a signal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rockcore import schema
from rockcore.log.duck import ask, ask_all, rows_by, source
from rockcore.log.files import logged_file, table_file, table_files
from rockcore.log.holdings import known
from rockcore.schema import DamagedRun, Texts

if TYPE_CHECKING:
    from rockcore.log.run import Run

# the columns that fresh tokens and probe texts share
SHARED = {name: column for name, column in schema.TOKENS.items() if name in schema.PROBE}


def types(run: Run, step: int) -> pd.DataFrame:
    """Sums per token type at one step, with the token's text: schema.TYPES but the histogram."""
    file, vocab = logged_file(run.path, "types", step), table_file(run.path, "vocab")
    sql = f"""SELECT t.* EXCLUDE (step, kl_histogram), v.token, v.special
              FROM {source(schema.TYPES, [file])} t
              LEFT JOIN {source(schema.VOCAB, [vocab], "vocab")} v USING (token_id)
              ORDER BY token_id"""
    return named(ask(sql, [file], vocab=vocab))


def type_sums(run: Run, table: str = "tokens", step: int | None = None) -> pd.DataFrame:
    """Sums per token type and logged step, or at one `step`, over the fresh "tokens" or a probe set
    ("probe/final"), by step and token id.

    Columns: step, token_id, n, kl_sum, grad_norm_sum, proj_grad_norm_sum; NaN where a gradient is
    not logged.
    """
    totals = ["kl_sum", "grad_norm_sum", "proj_grad_norm_sum"]
    fresh = table == "tokens"
    stored = "types" if fresh else table
    files = table_files(run.path, stored) if step is None else [logged_file(run.path, stored, step)]
    if not files:
        return pd.DataFrame(columns=["step", "token_id", "n", *totals])
    if fresh:
        columns = {name: schema.TYPES[name] for name in ("step", "token_id", "n", *totals)}
        return rows_by(["step", "token_id"], columns, files)
    added = ", ".join(
        f"sum(CAST({name.removesuffix('_sum')} AS DOUBLE)) AS {name}" for name in totals
    )
    sql = f"""SELECT step, token_id, count(*) AS n, {added} FROM {source(schema.PROBE, files)}
              GROUP BY step, token_id ORDER BY step, token_id"""
    return ask(sql, files)


def type_sums_by_rollout(run: Run, step: int) -> pd.DataFrame:
    """Sums per rollout and token type over the fresh rollouts of one step: rollout_id, token_id, n,
    kl_sum, grad_norm_sum (NaN where no gradient is logged). Raises RunNotFound.
    """
    file = logged_file(run.path, "tokens", step)
    sql = f"""SELECT rollout_id, token_id, count(*) AS n, sum(CAST(kl AS DOUBLE)) AS kl_sum,
                     sum(CAST(grad_norm AS DOUBLE)) AS grad_norm_sum
              FROM {source(SHARED, [file])} GROUP BY rollout_id, token_id
              ORDER BY rollout_id, token_id"""
    return ask(sql, [file])


def row_cells(
    run: Run, table: str, step: int, column: str, ids: Sequence[int], rows: Sequence[int]
) -> pd.DataFrame:
    """A signal per rollout and row at one step, over "tokens" or a probe set; `rows`: in which the
    types `ids` count, each in one. Columns: rollout_id, line (the row), n (occurrences with a
    value), total. Raises RunNotFound, and ValueError for a column that is no signal.
    """
    check_signal(column)
    file = logged_file(run.path, table, step)
    # a log has nearly as many cells of a rollout and a type as it has tokens: rows are few
    sql = f"""SELECT rollout_id, line, count(*) AS n, sum(CAST({column} AS DOUBLE)) AS total
              FROM {source(SHARED, [file])}
              JOIN (SELECT unnest($ids) AS token_id, unnest($rows) AS line) USING (token_id)
              WHERE isfinite({column})
              GROUP BY rollout_id, line ORDER BY rollout_id, line"""
    return ask(sql, [file], ids=[int(i) for i in ids], rows=[int(row) for row in rows])


def rollout_totals(run: Run, column: str) -> pd.DataFrame:
    """A signal summed over each fresh rollout of each step: step, rollout_id, tokens, n (those of
    them with a value), total. Raises ValueError for a column that is no signal.
    """
    check_signal(column)
    names = ["step", "rollout_id", "tokens", "n", "total"]
    if not (files := table_files(run.path, Texts.FRESH.table)):
        return pd.DataFrame(columns=names)
    columns = {name: schema.TOKENS[name] for name in ("step", "rollout_id", column)}
    there = f"FILTER (isfinite({column}))"
    sql = f"""SELECT step, rollout_id, count(*) AS tokens, count(*) {there} AS n,
                     coalesce(sum(CAST({column} AS DOUBLE)) {there}, 0) AS total
              FROM {{}} GROUP BY step, rollout_id ORDER BY step, rollout_id"""
    return ask_all(sql, columns, files)


def type_means(run: Run, table: str, column: str = "kl") -> pd.DataFrame:
    """Mean of a signal by token type and step, over "tokens" or a probe set ("probe/final"):
    token_id, step, n, mean.
    """
    check_signal(column)
    if not (files := table_files(run.path, table)):
        return pd.DataFrame(columns=["token_id", "step", "n", "mean"])
    sql = f"""SELECT token_id, step, count(*) AS n, avg({column}) AS mean
              FROM {source(SHARED, files)} GROUP BY ALL"""
    return ask(sql, files)


def values(run: Run, table: str, step: int, column: str) -> np.ndarray:
    """A signal of every occurrence at one step, (N,) float32 in no order, over "tokens" or a probe
    set; NaN where not logged.
    """
    check_signal(column)
    file = logged_file(run.path, table, step)
    sql = f"SELECT {column} AS v FROM {source(SHARED, [file])}"
    return ask(sql, [file]).v.to_numpy(np.float32)


def scale_texts(run: Run, column: str) -> tuple[Texts, ...]:
    """The texts whose values are the scale of a signal: fresh rollouts if they have any, else the
    probe sets that have some.
    """
    check_signal(column)
    if _has_values(table_files(run.path, Texts.FRESH.table), column):
        return (Texts.FRESH,)
    return tuple(t for t in Texts if t.probe_set and _has_values(_ends(run, t), column))


def quantiles(
    run: Run,
    column: str,
    probabilities: Sequence[float],
    absolute: bool = False,
    beside: Run | None = None,
) -> tuple[int, list[float]]:
    """How many tokens have a value in `column`, and its quantiles (of |value| if `absolute`): one
    scale for every text and step of the run.

    These are the fresh tokens of all steps. Probe values are left out, as they repeat the same text
    at every step; where no fresh token has a value, as in a log of two checkpoints, probe texts are
    all there is, and each counts at its first and last step (`scale_texts`). The tokens of `beside`
    count as if they were of this run. Raises ValueError for a column that is no signal.
    """
    files = [file for r in (run, beside) if r is not None for file in _scale_files(r, column)]
    if not files:
        return 0, []
    value = f"abs({column})" if absolute else column
    sql = f"""SELECT count(v) AS n, quantile_cont(v, {[float(p) for p in probabilities]}) AS q
              FROM (SELECT {value} AS v FROM {{}} WHERE isfinite({column}))"""
    row = ask_all(sql, {column: schema.TOKENS[column]}, files).iloc[0]
    return int(row.n), [float(q) for q in row.q] if row.n else []


def histogram(run: Run, column: str, edges: Sequence[float]) -> list[int]:
    """Tokens per bin of `column`: below edges[0], then from each edge up to the next; of the texts
    that `quantiles` takes.

    `edges` ascending; a token on an edge counts above it. Raises ValueError for a column that is no
    signal.
    """
    if not (files := _scale_files(run, column)):
        return [0] * (len(edges) + 1)
    # DuckDB's bins hold their upper bound: of the negated values, so that each holds its lower one
    bounds = [-float(e) for e in reversed(edges)]
    sql = f"""SELECT count(*) AS n, histogram(-CAST({column} AS DOUBLE), {bounds}) AS h
              FROM {{}} WHERE isfinite({column})"""
    row = ask_all(sql, {column: schema.TOKENS[column]}, files).iloc[0]
    found = dict(row.h) if row.n else {}
    above = [int(found.get(b, 0)) for b in reversed(bounds)]
    return [int(row.n) - sum(above), *above]


def _scale_files(run: Run, column: str) -> list[Path]:
    return [
        file
        for t in scale_texts(run, column)
        for file in (table_files(run.path, t.table) if t is Texts.FRESH else _ends(run, t))
    ]


def _ends(run: Run, texts: Texts) -> list[Path]:
    """The files of a probe set at its first and last logged step."""
    files = table_files(run.path, texts.table)
    return files[:1] + files[1:][-1:]


def _has_values(files: Sequence[Path], column: str) -> bool:
    return bool(known(files, {column: schema.TOKENS[column]}))


def check_signal(column: str) -> None:
    """Raises ValueError unless the token log has such a column of floats."""
    if column not in schema.TOKENS or str(schema.TOKENS[column].type) not in ("float", "halffloat"):
        raise ValueError(f"{column!r} is no float column of the token log")


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as it is; raises DamagedRun if the vocabulary has no text for one of its tokens."""
    if frame.token.isna().any():
        ids = frame.token_id[frame.token.isna()].unique().tolist()
        what = f"vocab.parquet lacks {len(ids)} ids, e.g. {ids[:5]}"
        raise DamagedRun(
            what, "These tokens have no text", "Import the run again with its own tokenizer"
        )
    return frame
