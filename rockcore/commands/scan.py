"""`rockcore scan`: the Rock Tokens of a log that is too large for one process, from partials of its
shards.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rockcore import memory
from rockcore.commands.console import Bar, err, out
from rockcore.commands.options import chosen_rule
from rockcore.commands.rocks import SetOption
from rockcore.rocks.rule import PRESETS

if TYPE_CHECKING:
    from rockcore.scale.engines import Processes, Ray
    from rockcore.scale.plan import Plan


@dataclass(frozen=True)
class Scan:
    """Find the Rock Tokens of a large log shard by shard, in several processes or on a Ray cluster.
    A scan that was stopped goes on where it was.
    """

    log: tyro.conf.Positional[str]
    """Folder of the run, a glob of such folders, or an address: s3://, gs://, hf://, …"""
    out: Path
    """Where the partials go. The folder opens as a run does; on a cluster all nodes see it."""
    preset: Annotated[str | None, tyro.conf.arg(help=f"{', '.join(PRESETS)}.")] = None
    rule: Path | None = None
    """A rule as a JSON file, as the dashboard saves it."""
    set: SetOption = ()
    step: int | None = None
    """Checkpoint after training; default: the last one logged."""
    workers: int | None = None
    """Processes on this machine, at most; default: one for each core. Fewer where memory has no
    room for them.
    """
    ray: str | None = None
    """Address of a Ray cluster that is to do it: auto, local, HOST:PORT or ray://HOST:PORT."""
    shard_rows: int = 4_000_000
    """Positions of a shard, about: half a GB of memory for a worker."""
    partial_ok: bool = False
    """Merge the shards that are there, as of a scan that is still running."""
    dry_run: bool = False
    """Say what would be read, and read nothing but the footers of the files."""
    memory: Annotated[
        str | None,
        tyro.conf.arg(
            help="Memory that all processes may take together, such as 8GB; it says how many "
            "there are. Default: ROCKCORE_MEMORY, else half of the machine's."
        ),
    ] = None


def run(command: Scan) -> None:
    from rockcore.scale.partial import sweep
    from rockcore.scale.partials import PARTIALS, conclude, refuse, there
    from rockcore.scale.plan import plan
    from rockcore.scale.scan import scan

    refuse(command.out)
    cluster = _cluster(command)
    rule = chosen_rule(command.rule, command.preset, command.set, command.step)
    whole = plan(command.log, rule, command.shard_rows)
    if command.dry_run:
        for line in _foretold(whole, command):
            out.print(line, markup=False, highlight=False, soft_wrap=True)
        return
    asked = there(whole, command.out) if command.partial_ok else whole
    partials = (command.out / PARTIALS).resolve()
    engine = cluster or _workers(command.workers or os.cpu_count() or 1, asked)
    with closing(engine), _Stages() as stages:
        try:
            found = scan(asked, partials, engine, stages.listen)
        except KeyboardInterrupt:
            engine.stop()
            sweep(partials)
            raise
        scanned = conclude(asked, found, command.out)
    out.print(scanned.sentence, markup=False, highlight=False, soft_wrap=True)
    report = scanned.report
    said = report.no_set or f"{len(report.ids):,} Rock Tokens: {report.how}."
    out.print(said, markup=False, highlight=False, soft_wrap=True)
    out.print(
        f"See them: rockcore rocks {command.out}{_flags(command)}, or rockcore app {command.out}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _flags(command: Scan) -> str:
    given = [] if command.preset is None else ["--preset", command.preset]
    given += [] if command.rule is None else ["--rule", str(command.rule)]
    given += [part for each in command.set for part in ("--set", each)]
    given += [] if command.step is None else ["--step", str(command.step)]
    return "".join(f" {part}" for part in given)


def _cluster(command: Scan) -> Ray | None:
    """The one that is to do it. Raises BadScan, BadMemory or NoEngine before anything is read."""
    from rockcore.scale.engines import Ray
    from rockcore.scale.errors import BadScan

    if command.workers is not None and command.workers < 1:
        raise BadScan(
            f"--workers {command.workers}", "One at least does the work", "Give a number from 1 on"
        )
    if command.ray is None:
        if command.memory is not None:
            memory.take(command.memory)
        return None
    for flag in ("workers", "memory"):
        if (given := getattr(command, flag)) is not None:
            raise BadScan(
                f"--{flag} {given} with --ray {command.ray}",
                "On a cluster Ray says how many tasks run at a time",
                "Give one of them",
            )
    return Ray(command.ray)


def _workers(asked: int, plan: Plan) -> Processes:
    """As many as there is room for."""
    from rockcore.scale.engines import Processes
    from rockcore.scale.room import room_for

    room = room_for(asked, plan)
    if room.workers < asked:
        said = f"{room.workers} of {asked} workers: the memory limit has room for no more"
        err.print(said, highlight=False)
    return Processes(*room)


def _foretold(plan: Plan, command: Scan) -> list[str]:
    """What a dry run says."""
    steps = ", ".join(map(str, plan.steps))
    return [
        f"{plan.log}: {plan.source.phrase}, {plan.mode}, steps {steps}",
        f"{len(plan.shards):,} shards, {plan.rows:,} positions, types in {plan.buckets:,} buckets",
        f"{plan.bytes:,} bytes in the files, of which the columns rollout_id, position, token_id, "
        f"{plan.rule.column} and grad_norm would be read, the loss before training three times",
        f"Nothing was read but footers, and nothing written to {command.out}",
    ]


class _Stages(Bar):
    """How many partials of the stage at hand are made."""

    NAMES = {
        "sums": "summing shards",
        "before": "looking for the threshold",
        "pairs": "collecting what stays high",
        "types": "comparing contexts by type",
        "rollouts": "counting the set by rollout",
    }

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

        super().__init__(err, TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn())
        self.task = self.bar.add_task("", total=None)

    def listen(self, stage: str, made: int, of: int) -> None:
        if not made:
            self.bar.reset(self.task, total=of, description=self.NAMES[stage])
        self.bar.update(self.task, completed=made)
