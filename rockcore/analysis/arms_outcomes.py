"""What the arms of a comparison came to: accuracy and kl by milestone, and tests against the
baseline. Runs come as arm -> seed -> Run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rockcore.analysis.arms_costs import SoFar
from rockcore.analysis.crossed import crossed_mean, holm, mean_over_seeds
from rockcore.log import Run
from rockcore.log.arms import BASELINE
from rockcore.log.duck import rows
from rockcore.log.files import table_files
from rockcore.schema import EVALS
from rockcore.schema.comparison import COMPARISON

Runs = dict[str, dict[int, Run]]
DECODINGS = ("greedy", "sampled")
FIXED = "probe/first"  # written by the starting student: the same texts in all arms of a seed


def answers(run: Run) -> pd.DataFrame:
    """Every graded answer of a run: schema.EVALS."""
    return rows(EVALS, table_files(run.path, "evals"))


def accuracy(runs: Runs, so_far: dict[str, SoFar]) -> pd.DataFrame:
    """Share of right answers by arm, milestone and decoding, with an interval over seeds and
    problems, and what it had cost until then: schema.comparison.
    """
    found = []
    for arm, of in runs.items():
        graded = [answers(run) for run in of.values()]
        for decoding in DECODINGS:
            for step, cells in _by_step([_table(g.loc[g.decoding == decoding]) for g in graded]):
                mean = crossed_mean(cells)
                ends = {"low": max(mean.low, 0.0), "high": min(mean.high, 1.0)}
                spent = so_far[arm].until(step)
                found.append(
                    {"arm": arm, "step": step, "decoding": decoding, **_size(mean), **ends}
                    | {"accuracy": mean.mean, **spent}
                )
    return _frame("accuracy", found)


def text_kl(runs: Runs) -> pd.DataFrame:
    """kl on the fixed texts of the starting student by arm and milestone: schema.comparison."""
    found = []
    for arm, of in runs.items():
        for step, cells in _by_step([kl_of_texts(run) for run in of.values()]):
            mean = crossed_mean(cells)
            about = {"arm": arm, "step": step, "seeds": mean.seeds, "texts": mean.problems}
            found.append(about | {"kl": mean.mean, "low": max(mean.low, 0.0), "high": mean.high})
    return _frame("text_kl", found)


def kl_of_texts(run: Run) -> pd.DataFrame:
    """Mean kl of each fixed text at each milestone, in nats: a row a step, a column a text. A text
    counts as much as any other, however long it is, because texts are what is independent.
    """
    sums = [run.rollout_sums(step, "first").assign(step=step) for step in run.steps(FIXED)]
    if not sums:
        return pd.DataFrame()
    return pd.concat(sums).pivot(index="step", columns="rollout_id", values="kl_mean")


def fresh_kl(runs: Runs) -> pd.DataFrame:
    """Mean kl of fresh rollouts by arm and step, where all seeds know it: schema.comparison. Each
    arm writes its own, so that they are what each student meets, not the same texts.
    """
    found = []
    for arm, of in runs.items():
        series = [run.metrics().set_index("step").kl_mean for run in of.values()]
        table = pd.concat(series, axis=1, join="inner").dropna().sort_index()
        for step, values in zip(table.index, table.to_numpy(), strict=True):
            mean = mean_over_seeds(values)
            about = {"arm": arm, "step": step, "seeds": len(values), "kl": mean.value}
            found.append(about | {"low": max(mean.low, 0.0), "high": mean.high})
    return _frame("fresh_kl", found)


def measured_tests(runs: Runs) -> pd.DataFrame:
    """Each arm against the baseline at the last milestone that both reached, for each measure:
    schema.comparison, Holm within each measure.

    y_sp in the model of `crossed_mean` is the difference of the two arms for seed s and problem (or
    text) p: right answers are 1, wrong ones 0.
    """
    found: list[dict[str, Any]] = []
    for measure in (*DECODINGS, "text_kl"):
        tested = [
            row
            for arm in runs
            if arm != BASELINE and (row := _against_baseline(runs, arm, measure)) is not None
        ]
        corrected = holm(np.array([row["p"] for row in tested], float))
        found += [row | {"p_holm": p} for row, p in zip(tested, corrected, strict=True)]
    return _frame("tests", found)


def _against_baseline(runs: Runs, arm: str, measure: str) -> dict[str, Any] | None:
    """None where nothing is measured in both."""
    pairs = [
        _difference(_measured(base, measure), _measured(of, measure))
        for seed, base in runs.get(BASELINE, {}).items()
        if (of := runs[arm].get(seed)) is not None
    ]
    pairs = [row for row in pairs if not row.empty]
    table = pd.concat(pairs, join="inner", axis=0) if pairs else pd.DataFrame()
    if table.empty:
        return None
    mean = crossed_mean(table.to_numpy(float))
    return {
        "arm": arm,
        "measure": measure,
        "difference": mean.mean,
        **{n: getattr(mean, n) for n in ("low", "high", "p", "dof")},
        **{n: getattr(mean, n) for n in ("seed_sd", "problem_sd", "rest_sd")},
        **_size(mean),
    }


def _measured(run: Run, measure: str) -> pd.DataFrame:
    """A row a milestone, a column a problem or text."""
    if measure == "text_kl":
        return kl_of_texts(run)
    found = answers(run)
    return _table(found.loc[found.decoding == measure])


def _difference(base: pd.DataFrame, arm: pd.DataFrame) -> pd.DataFrame:
    """The arm less the baseline at the last milestone of both, one row, a column a problem."""
    steps = base.index.intersection(arm.index)
    if not len(steps):
        return pd.DataFrame()
    ends = [frame.loc[[steps.max()]].astype(float) for frame in (arm, base)]
    return (ends[0] - ends[1]).dropna(axis=1)


def _table(graded: pd.DataFrame) -> pd.DataFrame:
    return graded.pivot(index="step", columns="problem_id", values="correct").astype(float)


def _by_step(tables: list[pd.DataFrame]) -> list[tuple[int, np.ndarray]]:
    """(seeds, problems) at each milestone that all seeds have, for the problems that all have."""
    if not tables or any(table.empty for table in tables):
        return []
    columns = sorted(set.intersection(*(set(table.columns) for table in tables)))
    steps = sorted(set.intersection(*(set(table.index) for table in tables)))
    return [(int(s), np.stack([t.loc[s, columns].to_numpy(float) for t in tables])) for s in steps]


def _size(mean: Any) -> dict[str, int]:
    return {"seeds": mean.seeds, "problems": mean.problems}


def _frame(name: str, found: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=list(COMPARISON[name]))
