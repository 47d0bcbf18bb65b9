"""A comparison of arms: everything that the command line and the page say of it, from its runs.

What is compared: runs that differ in their arm alone, seed by seed. Each test is of an arm against
the baseline, of differences at the last milestone, paired by seed and problem: the problems, the
training prompts and the fixed texts are the same in all arms of a seed. The model of the difference
is `crossed.crossed_mean`: random effects of seeds and problems, crossed; Holm corrects over the
arms, within each measure. Nothing here trains or loads torch.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import pandas as pd

from rockcore.analysis.arms_costs import costs, progress
from rockcore.analysis.arms_outcomes import (
    accuracy,
    differences,
    fresh_kl,
    measured_tests,
    text_kl,
)
from rockcore.analysis.arms_texts import rock_kl, texts_of_arms, type_weights
from rockcore.interventions import dynamic
from rockcore.log import Run
from rockcore.log.arms import BASELINE, ArmsFolder, Cell
from rockcore.log.comparisons import Comparison
from rockcore.log.files import read_whole
from rockcore.rocks import RockSet
from rockcore.schema import RockError, moment
from rockcore.schema.comparison import COMPARISON

# What the paper reports, as the paper's own (arXiv 2605.09253, section 5, and its abstract).
PAPER = (
    "The paper (arXiv 2605.09253, section 5) reports, averaged over three contests, about 57 for "
    "the baseline, about 55 for Rock-Freeze and about 42 for a frequency-matched random freeze, "
    "and a gain in time of 1.4× (abstract) or 1.7× (text). These are the paper's figures, of "
    "another pair of models: claims to be measured here."
)


class TooFew(RockError, ValueError):
    """No run of a comparison is finished."""


class Finished(NamedTuple):
    """The runs that are finished, by arm and seed."""

    runs: dict[Cell, Run]

    def of(self, arm: str) -> dict[int, Run]:
        """Seed -> run."""
        return {cell.seed: run for cell, run in self.runs.items() if cell.arm == arm}


def compare(folder: ArmsFolder) -> Comparison:
    """Work a comparison out from the runs that are finished; `about` says which are missing.

    Raises TooFew where none is finished, and whatever Run.open raises for a damaged run.
    """
    plan = folder.plan
    missing = folder.missing()
    finished = Finished(
        {cell: Run.open(folder.run(cell)) for cell in plan.cells if cell not in missing}
    )
    if not finished.runs:
        raise TooFew(
            f"None of the {len(plan.cells)} runs in {folder.path} is finished",
            "There is nothing to compare",
            f"Go on with them: rockcore arms --out {folder.path}",
        )
    runs = {arm: found for arm in plan.arms if (found := finished.of(arm))}
    rocks = RockSet.from_json(read_whole(folder.rocks)) if folder.rocks.exists() else None
    so_far = {arm: progress(of) for arm, of in runs.items()}
    written, prompts = texts_of_arms(runs)
    tables = {
        "accuracy": accuracy(runs, so_far),
        "text_kl": text_kl(runs),
        "fresh_kl": fresh_kl(runs),
        "rock_kl": rock_kl(runs, () if rocks is None else rocks.ids),
        "differences": differences(runs),
        "tests": measured_tests(runs),
        "costs": costs(runs),
        "weights": type_weights(runs),
        "texts": written,
        "prompts": prompts,
    }
    tables = {name: frame.loc[:, list(COMPARISON[name])] for name, frame in tables.items()}
    about = _about(folder, finished, missing, rocks, tables["tests"])
    return Comparison(plan, about, tables)


def _about(
    folder: ArmsFolder,
    finished: Finished,
    missing: list[Cell],
    rocks: RockSet | None,
    tests: pd.DataFrame,
) -> dict[str, Any]:
    """What is said once: settings, what is missing, the set, how the times were taken, verdicts."""
    plan, first = folder.plan, next(iter(finished.runs.values()))
    metas = [run.meta for run in finished.runs.values()]
    machines = sorted({f"{m.device}, {m.threads} thread{'s' * (m.threads != 1)}" for m in metas})
    tokens = first.vocab.set_index("token_id").token
    return {
        "name": folder.path.resolve().name,
        "student": first.meta.student,
        "teacher": first.meta.teacher,
        "estimator": first.meta.estimator,
        "normalisers": sorted({m.normaliser for m in metas}),
        "machines": machines,
        "steps": int(plan.settings["steps"]),
        "runs": len(finished.runs),
        "missing": [cell.name for cell in missing],
        "rock_ids": [] if rocks is None else list(rocks.ids),
        "rock_tokens": [] if rocks is None else [str(tokens.get(i, f"id {i}")) for i in rocks.ids],
        "rocks_from": _where_from(folder, rocks),
        "verdicts": verdicts(tests),
        "weight_rule": weight_rule() if "dynamic" in plan.arms else "",
        "notes": _notes(plan.arms, finished, missing, machines, metas),
        "paper": PAPER,
    }


def _side_by_side(metas: list[Any]) -> bool:
    """Whether one run began before another that had begun earlier had ended."""
    spans = sorted((m.started, m.ended) for m in metas if m.started and m.ended)
    known = [(moment(started), moment(ended)) for started, ended in spans]
    return any(
        ended and started and started < ended
        for (_, ended), (started, _) in zip(known, known[1:], strict=False)
    )


def weight_rule() -> str:
    """How the arm dynamic moves its weights: the equation and the constants in it."""
    names = ("PROGRESS", "RATE", "FLOOR")
    constants = ", ".join(f"{name} = {getattr(dynamic, name):g}" for name in names)
    return f"{inspect.cleandoc(dynamic.__doc__ or '')}\n\n{constants}"


def _where_from(folder: ArmsFolder, rocks: RockSet | None) -> str:
    if rocks is None:
        return "no arm here filters by a set, and none was given"
    if folder.plan.rocks:
        return "given with --rocks"
    seed = folder.plan.scout_seed
    return f"found by the default rule on a scouting run of seed {seed}, which is not compared"


def _notes(
    arms: tuple[str, ...],
    finished: Finished,
    missing: list[Cell],
    machines: list[str],
    metas: list[Any],
) -> list[str]:
    """What limits what can be said, in sentences."""
    notes = []
    if missing:
        some = ", ".join(cell.name for cell in missing[:8]) + (" …" if len(missing) > 8 else "")
        notes.append(
            f"{len(missing)} of {len(missing) + len(metas)} runs are not finished and left out: "
            f"{some}."
        )
    seeds = {arm: len(finished.of(arm)) for arm in arms}
    few = [arm for arm, n in seeds.items() if n < 2]
    if few:
        notes.append(
            f"Fewer than two seeds of {', '.join(few)}: nothing is known of how much seeds differ, "
            "so nothing is tested there, and intervals are over problems alone."
        )
    if len(machines) > 1:
        notes.append(
            f"The runs were trained on different machines ({'; '.join(machines)}), so their times "
            "cannot be compared."
        )
    if _side_by_side(metas):
        notes.append(
            "Runs were trained side by side and took the cores from one another, so their times "
            "cannot be compared: train with --processes 1 for that."
        )
    if len({m.normaliser for m in metas}) > 1:
        notes.append("The runs have different normalisers: their arms differ in more than weights.")
    return notes


class Measure(NamedTuple):
    """How a measure is said: its name, what it is multiplied by, unit, format."""

    name: str
    factor: int
    unit: str
    form: str


MEASURES = {
    "greedy": Measure("greedy accuracy", 100, "points", "+.1f"),
    "sampled": Measure("sampled accuracy", 100, "points", "+.1f"),
    "text_kl": Measure("kl on the fixed texts", 1, "nats", "+.4f"),
}


def spelled_tests(tests: pd.DataFrame) -> pd.DataFrame:
    """The tests as a table for reading: arm, measure, difference (with unit), interval, p, p_holm,
    dof, size.
    """
    return pd.DataFrame([_spelled(row) for row in tests.itertuples()], columns=_SPELLED)


_SPELLED = ["arm", "measure", "difference", "interval", "p", "p_holm", "dof", "size"]


def _spelled(row: Any) -> dict[str, Any]:
    about = MEASURES[row.measure]
    value, low, high = (
        f"{about.factor * x:{about.form}}" for x in (row.difference, row.low, row.high)
    )
    return {
        "arm": row.arm,
        "measure": about.name,
        "difference": f"{value} {about.unit}",
        "interval": "" if pd.isna(row.low) else f"{low} to {high}",
        **{name: getattr(row, name) for name in ("p", "p_holm", "dof")},
        "size": f"{row.seeds} × {row.problems}",
    }


def verdicts(tests: pd.DataFrame) -> list[str]:
    """In sentences, arm by arm: the differences to the baseline, then what cannot be told from it,
    then what could not be tested.
    """
    rows = spelled_tests(tests).assign(seeds=tests.seeds.to_numpy())
    sentences = []
    for arm in dict.fromkeys(rows.arm):
        of: list[Any] = list(rows[rows.arm == arm].itertuples())
        told = [row for row in of if row.p_holm < 0.05]
        open_ = [row for row in of if row.p_holm >= 0.05]
        unknown = [row for row in of if pd.isna(row.p_holm)]
        alike = [row for row in unknown if row.seeds > 1]  # without spread there is no chance
        sentences += [f"{arm} differs from the {BASELINE} in {_named(row)}." for row in told]
        if open_:
            listed = "; ".join(map(_named, open_))
            sentences.append(f"{arm} cannot be told from the {BASELINE} in {listed}.")
        for why, those in (
            ("for want of seeds", [row for row in unknown if row.seeds < 2]),
            ("as its differences do not vary", alike),
        ):
            if those:
                listed = "; ".join(f"{row.measure} ({row.difference})" for row in those)
                sentences.append(f"{arm} is not tested, {why}, in {listed}.")
    return sentences


def _named(row: Any) -> str:
    return (
        f"{row.measure} ({row.difference}, 95 % {row.interval}; Holm p = {row.p_holm:.2g}, "
        f"{row.size})"
    )
