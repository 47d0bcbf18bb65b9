"""`rockcore arms`: the same training under several arms and seeds, to be compared.

All runs of a seed share prompts, rollout budget, held-out problems and normaliser. What is in the
folder already is kept: the same command goes on where it was interrupted.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from rockcore.commands.arm_runs import Job, run_jobs
from rockcore.commands.console import err, out
from rockcore.config import ARM_SETTINGS, ArmName, BadConfig, SessionConfig, free_folder
from rockcore.log.arms import BASELINE, SCOUT, ArmsFolder, Cell, is_finished
from rockcore.log.lock import Lock, locked
from rockcore.schema import RockError
from rockcore.training.ending import as_interrupt


class NoRockSet(RockError, ValueError):
    """The scouting run has no set that an arm could filter by."""


@dataclass(frozen=True)
class Arms(SessionConfig):
    """Train the same task under several arms and seeds, one run after another; `rockcore
    compare-arms` then says what each was good for. The same command goes on after an interruption.
    """

    arms: str | None = None
    """Arms by name, parted by commas, baseline among them; default:
    baseline,rock-freeze,random-freeze,dynamic.
    """
    seeds: int | None = None
    """So many seeds, 1, 2, …, each with all arms; default: 5."""
    processes: int = 1
    """So many runs side by side, with one thread each if there are several; measured times can be
    trusted with one alone.
    """
    out: Path | None = None
    """Folder of the comparison; new, or the one to go on with. Default: the next free
    ./runs/arms-N.
    """
    rocks: Path | None = None
    """The set of the arms that filter by one, as `rockcore rocks RUN --json` prints it; default:
    what the default rule finds on a scouting run of a seed that is not compared.
    """
    log_every: int | None = None
    """Log the tokens of every n-th step; default: three times a run and at its end, as tokens that
    an arm leaves out are judged for the log alone.
    """
    # no comparison looks at these sums, and they take time
    gradients: Annotated[Any, tyro.conf.Suppress] = "off"
    exact_positions: Annotated[int | None, tyro.conf.Suppress] = None
    seed: Annotated[int | None, tyro.conf.Suppress] = None
    arm: Annotated[ArmName | None, tyro.conf.Suppress] = None
    resume: Annotated[bool, tyro.conf.Suppress] = False


def run(command: Arms) -> None:
    if command.processes < 1:
        raise BadConfig(
            f"--processes {command.processes}", "It is a number of runs", "Give 1 or more"
        )
    place = command.out or free_folder("arms")
    with as_interrupt(), locked(place, "arms") as lock:
        _train(replace(command, out=place), lock)


def _train(command: Arms, lock: Lock) -> None:
    from rockcore.commands.arm_plan import FREE, config_of, flags, opened

    folder = opened(command)
    plan = folder.plan
    out.print(_headline(folder), markup=False, highlight=False)
    free = {name: getattr(command, name) for name in FREE}
    if command.processes > 1:
        free["threads"] = 1
    if plan.scout_seed is not None and not folder.rocks.exists():
        _scout(folder, plan.scout_seed, free, lock)
    jobs = [Job(c.name, folder.run(c), flags(config_of(folder, c), free)) for c in plan.cells]
    run_jobs(lock, jobs, plan.settings["steps"], command.processes)
    out.print(f"compare them: rockcore compare-arms {folder.path}", markup=False, highlight=False)


def _headline(folder: ArmsFolder) -> str:
    plan, missing = folder.plan, len(folder.missing())
    return (
        f"{folder.path}: {len(plan.arms)} arms ({', '.join(plan.arms)}) of {len(plan.seeds)} "
        f"seeds, {missing} of {len(plan.cells)} runs to train, normaliser "
        f"{plan.settings.get('normaliser', 'tokens')}"
    )


def _scout(folder: ArmsFolder, seed: int, free: dict[str, Any], lock: Lock) -> None:
    """Train the run on which the set is looked for, find it by the default rule, and write it.

    Nobody is chosen and measured on the same run: types that were chosen because they stayed high
    would partly have stayed so by chance. Raises NoRockSet where that run has no set.
    """
    from rockcore.commands.arm_plan import config_of, flags, write_set
    from rockcore.log import Run
    from rockcore.rocks.search import detect

    plan = folder.plan
    if not is_finished(folder.scout):
        config = replace(config_of(folder, Cell(BASELINE, seed)), out=folder.scout)
        job = Job(SCOUT, folder.scout, flags(config, free))
        run_jobs(lock, [job], plan.settings["steps"], 1)
    with err.status("looking for rocks") if err.is_terminal else nullcontext():
        report = detect(Run.open(folder.scout))
    if not report.ids:
        filters = ", ".join(arm for arm in plan.arms if "rocks" in ARM_SETTINGS[arm])
        raise NoRockSet(
            f"The scouting run {folder.scout} has no Rock Tokens by the default rule "
            f"({report.why_empty.rstrip('.')})",
            f"{filters} cannot do without a set",
            f"Look at it: rockcore app {folder.scout}. Give the set of another rule: rockcore "
            f"rocks {folder.scout} --preset lenient --json > set.json, then rockcore arms --out "
            f"{folder.path} --rocks set.json. Or compare other arms in a new folder",
        )
    write_set(folder, report.rock_set)
    found = f"{len(report.ids)} Rock Tokens, found on {folder.scout}: {folder.rocks}"
    out.print(found, markup=False, highlight=False)
