"""What becomes of the tokens of a set, and of all others, over the steps of a run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rockcore.log.checks import read_columns
from rockcore.log.files import table_file
from rockcore.rocks import Examined
from rockcore.stats import mean_over_rollouts

ROCKS, OTHERS, ALL = "Rock Tokens", "all other tokens", "all tokens"
_COLUMNS = ("who", "step", "tokens", "mean", "low", "high")


def course_of_set(found: Examined) -> pd.DataFrame:
    """By step, the mean loss of the tokens of a type in the set and of the others, on the texts
    that the rule judges; of all tokens where there is no set.

    Columns: who, step, tokens, mean (nats, of the rule's column), low, high (95 % over rollouts:
    mean ± 1.96 standard errors, not below 0 for kl; NaN of a single rollout).
    """
    run, source, column = found.run, found.material.source, found.rule.column
    ids = found.report.ids
    rows = []
    for step in run.steps(source.table):
        names = ["rollout_id", "token_id", column]
        read = read_columns(table_file(run.path, source.table, step), names)
        loss = read.get(column, np.zeros(0)).astype(float)
        if not len(loss) or not np.isfinite(loss).all():
            continue
        inside = np.isin(read["token_id"], ids)
        groups = {ROCKS: inside, OTHERS: ~inside} if ids else {ALL: ~inside}
        for who, members in groups.items():
            if members.any():
                rows.append((who, step, *_mean(loss[members], read["rollout_id"][members], column)))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _mean(loss: np.ndarray, rollout: np.ndarray, column: str) -> tuple[float, ...]:
    order = np.argsort(rollout, kind="stable")
    found = mean_over_rollouts(loss[order], np.unique(rollout, return_counts=True)[1])
    around = float("nan") if found.stderr is None else 1.96 * found.stderr
    low = found.mean - around
    return len(loss), found.mean, max(low, 0.0) if column == "kl" else low, found.mean + around
