"""Comparisons of arms to test on: a plan, and runs whose numbers are drawn, not trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from conftest import STEPS, write_tiny_run

from rockcore.log import RunWriter
from rockcore.log.arms import ArmsFolder, Plan
from rockcore.log.files import table_file
from rockcore.rocks import RockSet
from rockcore.rocks.rule import RockRule

ARMS = ("baseline", "rock-freeze", "dynamic")
ROCK_IDS = (7, 8, 16)


def write_small_arms(path: Path, seeds: int = 3, arms: tuple[str, ...] = ARMS) -> ArmsFolder:
    """A finished comparison: every arm and seed a run of its own with both probe sets and evals.
    rock-freeze left out the tokens of ROCK_IDS, dynamic halved the weight of one of them.
    """
    settings = {"steps": STEPS[-1], "normaliser": "tokens", "scenario": "habit"}
    plan = Plan(arms, tuple(range(1, seeds + 1)), 0, "", settings)
    folder = ArmsFolder.create(path, plan)
    rule = RockRule(top_k=len(ROCK_IDS))
    folder.rocks.write_text(RockSet(ROCK_IDS, rule, "0" * 16, "f" * 16, {}).to_json())
    for i, cell in enumerate(plan.cells):
        run = folder.run(cell)
        write_tiny_run(run, seed=i, config={"arm": cell.arm}, threads=1)
        _end_without_update(run)
        if cell.arm == "rock-freeze":
            _weigh(run, ROCK_IDS, 0.0)
        if cell.arm == "dynamic":
            _weigh(run, ROCK_IDS[:1], 0.5)
            _write_weights(run, cell.seed)
    return folder


def _end_without_update(run: Path) -> None:
    """As in a real run, the last step is not followed by one."""
    change(run, "metrics", STEPS[-1], update_norm=np.nan)


def _weigh(run: Path, ids: tuple[int, ...], weight: float) -> None:
    """Give these token types a weight, in the tokens and in what the metrics say of them."""
    for step in STEPS:
        token_id = pq.read_table(table_file(run, "tokens", step))["token_id"].to_numpy()
        given = np.where(np.isin(token_id, ids), weight, 1.0)
        change(run, "tokens", step, weight=given)
        change(run, "metrics", step, trained=(given > 0).sum())


def change(run: Path, table: str, step: int, **columns: Any) -> None:
    frame = pq.read_table(table_file(run, table, step)).to_pandas().assign(**columns)
    values = {name: frame[name].to_numpy() for name in frame}
    RunWriter.reopen(run).write(table, values, step)


def _write_weights(run: Path, seed: int) -> None:
    writer = RunWriter.reopen(run)
    for step, weight in zip(STEPS, (1.0, 0.5, 0.5 / seed), strict=True):
        values = {"step": [step], "token_id": [ROCK_IDS[0]], "weight": [weight]}
        values |= {"change": [-0.01], "low": [-0.05], "high": [0.03], "moved": [-1]}
        writer.write("weights", values, step)
