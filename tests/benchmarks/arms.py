"""What leaving tokens out saves: seconds by phase of a training step, for each arm.

    python tests/benchmarks/arms.py [--steps 12] [--scenario habit] [--top-k 20] [--json]

The built-in pair on the built-in world, 32 rollouts a step. All arms judge the same rollouts, one
after another within each step and in an order that turns, and none of them is updated by them; so
they differ in their weights alone. Medians over steps. The bound is Amdahl's: of a step of which
the share s is vocabulary projection and divergence, leaving out the share f of the positions saves
at most f s, and makes it at most 1 / (1 - f s) times as fast. An arm that has to judge all
positions before it can weigh them takes two passes, and saves nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from rockcore import RockRule, Run, detect, world
from rockcore.config import ResolvedConfig, ScenarioName, SessionConfig
from rockcore.interventions import Arm
from rockcore.log import sample_runs
from rockcore.tasks import STARTING_STUDENT
from rockcore.training import loading, updates
from rockcore.training.clock import Clock
from rockcore.training.objective import Objective
from rockcore.training.rollouts import derived_seed, sample

PHASES = ("sample_s", "teacher_s", "student_s", "update_s")
SMALL = 0.1  # of a step: a bound below it is small


@dataclass(frozen=True)
class Options:
    steps: int = 12
    """Steps that are measured; two before them warm up."""
    scenario: ScenarioName = "habit"
    """Task of the pair, and sample run in which the set is found."""
    top_k: int = 20
    """Token types in the larger of the two sets that are frozen."""
    json: bool = False
    """Print one JSON object instead of a table."""


class CpuClock(Clock):
    """Counts what this process computes, so that others on the machine do not enter."""

    def _now(self) -> float:
        return time.process_time()


def arms_of(options: Options) -> dict[str, Arm]:
    """By what they are called: each arm, rocks once as the rule finds them and once as the K types
    that rank first.
    """
    run = Run.open(sample_runs() / options.scenario)
    found, larger = detect(run).rock_set, detect(run, RockRule(top_k=options.top_k)).rock_set
    ids, tau = larger.ids, larger.rule.tau_post
    k = f"{len(ids)} types"
    return {
        "baseline": Arm(),
        f"rock-freeze, {len(found.ids)} types": Arm("rock-freeze", rocks=found.ids),
        f"rock-freeze, {k}": Arm("rock-freeze", rocks=ids),
        f"rock-freeze --window, {k}": Arm("rock-freeze", rocks=ids, tau=tau),
        f"soft, {k}": Arm("soft", rocks=ids, lambda_=0.5),
        f"random-freeze, {k}": Arm("random-freeze", rocks=ids),
        f"random-freeze --match-kl, {k}": Arm("random-freeze", rocks=ids, match_kl=True),
        "top-entropy, a fifth": Arm("top-entropy", share=0.2),
        "iw-opd": Arm("iw-opd", gamma=0.5),
        "dynamic": Arm("dynamic"),
    }


def measure(options: Options) -> dict[str, dict[str, float]]:
    """Median seconds of each phase and of a step, the share of the positions that got no weight,
    and how many times as fast as the baseline a step was, by arm.
    """
    torch.set_num_threads(1)
    config: ResolvedConfig = SessionConfig(out=Path("unused"), scenario=options.scenario).resolved()
    folder = sample_runs() / "models"
    pair = [str(folder / n) for n in (STARTING_STUDENT[options.scenario], "teacher")]
    student, teacher = loading.load_pair(*pair, "cpu", "float32")
    optimizer = updates.adamw(student, 0.0)
    arms = arms_of(options)
    objectives = {n: Objective(replace(config), arm, student, teacher) for n, arm in arms.items()}
    prompts = world.prompts(options.scenario, "training 0")
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for step in range(options.steps + 2):
        shared, batch = CpuClock(), list(islice(prompts, config.rollouts))
        with shared.phase("sample_s"):
            seed = derived_seed(0, "rollouts", step)
            texts = sample(student, teacher, batch, config.max_new_tokens, 1.0, seed)
        names = [*arms]
        for name in names[step % len(names) :] + names[: step % len(names)]:
            clock = CpuClock()
            optimizer.zero_grad()
            fresh = objectives[name].judge(step, texts, clock, learn=True, whole=False)
            with clock.phase("update_s"):
                updates.update(student, optimizer, step, 0.0)
            row = {**shared.seconds, **clock.seconds}
            row["left_out"] = 1 - fresh.trained / len(fresh.weight)
            rows[name].append(row | {"step_s": sum(row[phase] for phase in PHASES)})
        for name in names:  # of the same rollouts, so that how long they are does not enter
            rows[name][-1]["speed_up"] = rows["baseline"][-1]["step_s"] / rows[name][-1]["step_s"]
    return {
        name: {key: float(np.median([row[key] for row in found[2:]])) for key in found[0]}
        for name, found in rows.items()
    }


def concluded(found: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """With the bound on the speed-up over the baseline."""
    skipped = found["baseline"]["projection_s"] / found["baseline"]["step_s"]
    return {
        name: row | {"bound": 1 / (1 - row["left_out"] * skipped)} for name, row in found.items()
    }


def show(found: dict[str, dict[str, float]]) -> None:
    console = Console(width=150)
    table = Table(title="milliseconds a step; projection is part of teacher and student")
    heads = ["arm", "left out", "sample", "teacher", "student", "projection", "update", "step"]
    for head in [*heads, "times as fast", "at most"]:
        table.add_column(head, justify="left" if head == "arm" else "right")
    phases = ("sample_s", "teacher_s", "student_s", "projection_s", "update_s", "step_s")
    for name, row in found.items():
        times = [f"{1e3 * row[phase]:.1f}" for phase in phases]
        speed = [f"{row['speed_up']:.3f}", f"{row['bound']:.3f}"]
        table.add_row(name, f"{row['left_out']:.1%}", *times, *speed)
    console.print(table)
    base = found["baseline"]
    skipped, sampling = (base[p] / base["step_s"] for p in ("projection_s", "sample_s"))
    console.print(
        f"Sampling is {sampling:.0%} of a step, projection and divergence {skipped:.0%}; only the "
        f"latter can be left out."
    )
    for name, row in found.items():
        saved = 1 - 1 / row["bound"]
        if 0 < saved < SMALL:
            console.print(
                f"{name}: leaving out {row['left_out']:.1%} of the positions can save at most "
                f"{saved:.1%} of a step. That is small."
            )


if __name__ == "__main__":
    chosen = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))
    results = concluded(measure(chosen))
    if chosen.json:
        print(json.dumps(results))
    else:
        show(results)
