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


MEASURES = (*DECODINGS, "text_kl")


def differences(runs: Runs) -> pd.DataFrame:
    """Each arm less the baseline at every milestone that both reached: schema.comparison.

    y_sp in the model of `crossed_mean` is the difference of the two arms for seed s and problem (or
    text) p: right answers are 1, wrong ones 0. What two arms of a seed share, the problems and how
    well a student of this seed does, is not in it; so it is told far better than either arm.
    """
    found = []
    for arm, measure in _compared(runs):
        for step, cells in _paired(runs, arm, measure):
            mean = crossed_mean(cells)
            about = {"arm": arm, "measure": measure, "step": step, "seeds": mean.seeds}
            found.append(about | {"difference": mean.mean, "low": mean.low, "high": mean.high})
    return _frame("differences", found)


def measured_tests(runs: Runs) -> pd.DataFrame:
    """Each arm against the baseline at the last milestone that both reached, for each measure, with
    Holm's correction over the arms of a measure: schema.comparison. The differences are those of
    `differences`; one milestone is tested, so that there is one answer.
    """
    found: list[dict[str, Any]] = []
    for arm, measure in _compared(runs):
        if paired := _paired(runs, arm, measure):
            mean = crossed_mean(paired[-1][1])
            told = {name: getattr(mean, name) for name in _TOLD}
            found.append(
                {"arm": arm, "measure": measure, "difference": mean.mean, **told, **_size(mean)}
            )
    for measure in MEASURES:
        family = [row for row in found if row["measure"] == measure]
        corrected = holm(np.array([row["p"] for row in family], float))
        for row, p in zip(family, corrected, strict=True):
            row["p_holm"] = p
    return _frame("tests", found)


_TOLD = ("low", "high", "p", "dof", "seed_sd", "problem_sd", "rest_sd")


def _compared(runs: Runs) -> list[tuple[str, str]]:
    """Every measure of every arm but the baseline."""
    return [(arm, measure) for measure in MEASURES for arm in runs if arm != BASELINE]


def _paired(runs: Runs, arm: str, measure: str) -> list[tuple[int, np.ndarray]]:
    """The arm less the baseline at each milestone of both, (seeds, problems) for what all have."""
    base = runs.get(BASELINE, {})
    both = [seed for seed in base if seed in runs[arm]]
    ends = [[_measured(of[seed], measure) for seed in both] for of in (runs[arm], base)]
    return _by_step([mine - other for mine, other in zip(*ends, strict=True)])


def _measured(run: Run, measure: str) -> pd.DataFrame:
    """A row a milestone, a column a problem or text."""
    if measure == "text_kl":
        return kl_of_texts(run)
    found = answers(run)
    return _table(found.loc[found.decoding == measure])


def _table(graded: pd.DataFrame) -> pd.DataFrame:
    return graded.pivot(index="step", columns="problem_id", values="correct").astype(float)


def _by_step(tables: list[pd.DataFrame]) -> list[tuple[int, np.ndarray]]:
    """(seeds, problems) at each milestone that all seeds have, for the problems that all have."""
    known = [table.dropna(how="all").dropna(axis=1) for table in tables]
    if not known or any(table.empty for table in known):
        return []
    columns = sorted(set.intersection(*(set(table.columns) for table in known)))
    steps = sorted(set.intersection(*(set(table.index) for table in known)))
    return [(int(s), np.stack([t.loc[s, columns].to_numpy(float) for t in known])) for s in steps]


def _size(mean: Any) -> dict[str, int]:
    return {"seeds": mean.seeds, "problems": mean.problems}


def _frame(name: str, found: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=list(COMPARISON[name]))
