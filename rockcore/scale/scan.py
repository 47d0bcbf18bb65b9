"""A scan from its plan to its report, stage by stage; each stage's tasks are pure, may run anywhere
and in any order, and are left out where their partial is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from rockcore.rocks.thresholds import taus
from rockcore.scale import buckets, pairs, partial, rollouts, sums, thresholds
from rockcore.scale.merged import FromPartials, Totals, totals
from rockcore.scale.plan import Plan, key_of


@dataclass(frozen=True)
class Task:
    """One partial to be made. Small: a worker reads the plan from its file."""

    stage: str  # sums | before | pairs | types | rollouts
    plan: str  # the file that holds it
    index: int  # of the shard, or of the bucket
    out: str
    given: tuple  # what earlier stages found, or the name of a file that says it


def do(task: Task) -> str:
    """Make a partial. Returns its path."""
    plan, out = _read(task.plan), Path(task.out)
    if task.stage == "sums":
        return sums.make(plan, task.index, out)
    if task.stage == "before":
        return thresholds.make(plan, task.index, list(task.given), out)
    if task.stage == "pairs":
        return pairs.make(plan, task.index, (task.given[0], task.given[1]), out)
    if task.stage == "rollouts":
        return rollouts.make(plan, task.index, Path(task.given[0]), out)
    return buckets.make(plan, task.index, buckets.Known(*task.given), out)


@lru_cache(maxsize=4)  # a worker has many tasks of one plan, whose file is named by what it holds
def _read(file: str) -> Plan:
    return Plan.from_json(Path(file).read_text())


class Engine(Protocol):
    """Something that makes partials, in any order, and says of each that it is made."""

    def __call__(self, tasks: Sequence[Task]) -> Iterable[str]: ...


Watch = Callable[[str, int, int], None]  # stage, made, of


def scan(plan: Plan, out: Path, engine: Engine, watch: Watch = lambda *_: None) -> FromPartials:
    """Make what is missing, and put it together."""
    partial.sweep(out)
    file = _written(plan, out)

    def run(stage: str, indices: Sequence[int], given: tuple = ()) -> list[Path]:
        made: list[Path] = []
        watch(stage, 0, len(indices))
        tasks = [Task(stage, str(file), index, str(out), given) for index in indices]
        for path in engine(tasks):
            made.append(Path(path))
            watch(stage, len(made), len(indices))
        return made

    every = range(len(plan.shards))
    run("sums", every)
    total = totals(plan, out)
    tau = _taus(plan, total, out, run)
    if plan.mode != "single":
        ends = {0, plan.last}
        run("pairs", [i for i in every if plan.shards[i].corpus in ends], tau)
    draws = 200 if total.cells > 3_000_000 else 1000
    draws = buckets.draws_that_fit(draws, total.rollouts)
    known = buckets.Known(tau, total.hard_from, draws, total.rollouts)
    given = (known.taus, known.hard_from, known.draws, known.rollouts)
    run("types", range(plan.buckets), given)
    name = buckets.named(plan, known, out)
    files = [buckets.path(name, bucket, out) for bucket in range(plan.buckets)]
    found = FromPartials(plan, total, known, files, out)
    ids = tuple(sorted(found.corpus.types[found.in_set].tolist()))
    chosen = rollouts.Chosen(
        ids, tuple(found.next_in_rank.tolist()), known, rollouts.free_of(plan, ids, out)
    ).save(out)
    run("rollouts", [i for i in every if plan.shards[i].corpus == plan.last], (str(chosen),))
    found.by_rollout = rollouts.together(plan, chosen, out)
    return found


def _written(plan: Plan, out: Path) -> Path:
    """The plan where workers find it."""
    text = plan.to_json()
    file = out / "plans" / f"{key_of('plan', text)}.json"
    partial.write_text(file, text)
    return file


def _taus(plan: Plan, total: Totals, out: Path, run: Callable[..., list[Path]]) -> pairs.Taus:
    """The exact thresholds; the losses are looked at again only where they decide."""
    rule, dtype = plan.rule, plan.meta.dtype
    if rule.tau_pre is not None and rule.tau_post is not None:
        return rule.tau_pre, rule.tau_post
    bins = thresholds.bins_of(total.before, rule.tau_quantile)
    first = [i for i, shard in enumerate(plan.shards) if shard.corpus == 0]
    run("before", first, tuple(bins))
    files = [thresholds.path(plan, i, bins, out) for i in first]
    value = thresholds.exact(total.before, thresholds.counted(files), rule.tau_quantile)
    return taus(rule, thresholds.Known(rule.tau_quantile, value, dtype))
