"""Questions about one token type, methods of `Run`: its losses text by text, and what both models
would have said in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rockcore import schema
from rockcore.log.duck import ask, source
from rockcore.log.files import logged_file, table_files
from rockcore.log.sums import SHARED, check_signal
from rockcore.schema import Texts

if TYPE_CHECKING:
    from rockcore.log.run import Run


def type_by_rollout(run: Run, texts: Texts, token_id: int, column: str) -> pd.DataFrame:
    """A signal of one type, summed over each text that holds it at each logged step: step,
    rollout_id, n (occurrences with a value), total. Raises ValueError for a column that is no
    signal.
    """
    check_signal(column)
    if not (files := table_files(run.path, texts.table)):
        return pd.DataFrame(columns=["step", "rollout_id", "n", "total"])
    sql = f"""SELECT step, rollout_id, count(*) AS n, sum(CAST({column} AS DOUBLE)) AS total
              FROM {source(SHARED, files)}
              WHERE token_id = $token AND isfinite({column})
              GROUP BY step, rollout_id ORDER BY step, rollout_id"""
    return ask(sql, files, token=token_id)


def alternatives_of(run: Run, texts: Texts, step: int, token_id: int) -> pd.DataFrame:
    """Both models' likeliest tokens wherever a type stands in probe texts at one step: rollout_id,
    position, and student_top_ids, student_top_logps, teacher_top_ids, teacher_top_logps, NA where
    they are not logged. Raises RunNotFound for a step that is not logged, ValueError for fresh
    texts, which have none.
    """
    if texts.probe_set is None:
        raise ValueError("alternatives are logged for probe texts only")
    file = logged_file(run.path, texts.table, step)
    beside = table_files(run.path, f"{texts.table}/teacher")[:1]
    paths = {"teacher": beside[0]} if beside else {}
    sql = f"""SELECT t.rollout_id, t.position, t.student_top_ids, t.student_top_logps,
                     q.teacher_top_ids, q.teacher_top_logps
              FROM {source(schema.PROBE, [file])} t
              LEFT JOIN {source(schema.PROBE_TEACHER, beside, "teacher")} q
              USING (rollout_id, position)
              WHERE t.token_id = $token ORDER BY t.rollout_id, t.position"""
    return ask(sql, [file], token=token_id, **paths)
