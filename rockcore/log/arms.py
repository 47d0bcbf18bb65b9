"""A comparison of arms on disk: its plan, its rock set, its runs.

DIR/arms.json          Plan: arms, seeds, and the settings that all of them share
DIR/rocks.json         RockSet: what the arms that filter by one filter by
DIR/scout/             the run on which it was found, where none was given
DIR/runs/ARM-SEED/     ordinary runs
DIR/comparison/        what was worked out of them: rockcore.log.comparisons
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from rockcore.config import ARM_SETTINGS, SessionConfig
from rockcore.log.files import commit, read_whole
from rockcore.log.folders import META, PLAN, ROCKS, RUNS, holding, read_run
from rockcore.schema import DamagedRun, RockError, strict_json

SCOUT, COMPARISON = "scout", "comparison"
BASELINE = "baseline"
_AGAIN = "Copy the file from a backup, or begin again in another folder: rockcore arms --out DIR"


class NoArms(RockError, FileNotFoundError):
    """There is no comparison of arms at this path."""


class BadPlan(RockError, ValueError):
    """A plan that cannot be one."""


class Cell(NamedTuple):
    """One run of a comparison."""

    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.arm}-{self.seed}"


@dataclass(frozen=True)
class Plan:
    """`arms.json`: what is compared, and what is equal in all of it."""

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    scout_seed: int | None  # of the run on which the set was found; None where none was looked for
    rocks: str  # digest of the set that was given with --rocks; empty where none was
    settings: dict[str, Any]  # of SessionConfig, resolved: those that all runs share
    version: int = 1

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every run, all arms of a seed together: what is there early can be compared early."""
        return tuple(Cell(arm, seed) for seed in self.seeds for arm in self.arms)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, path: Path) -> Plan:
        """Raises BadPlan, which names `path`."""
        try:
            data = strict_json.parse(text)
            found = cls(**{f.name: data[f.name] for f in fields(cls)})
            arms, seeds = tuple(found.arms), tuple(found.seeds)
        except (ValueError, TypeError, KeyError) as e:
            raise _refused(f"{path} is no plan ({type(e).__name__}: {e})") from e
        scouted = [] if found.scout_seed is None else [found.scout_seed]
        whole = all(type(s) is int and 0 <= s < 2**63 for s in [*seeds, *scouted])
        named = all(isinstance(a, str) and a in ARM_SETTINGS for a in arms)
        if not (whole and named and arms and seeds):
            raise _refused(f"{path} names no arms and seeds")
        if not _are_settings(found.settings):
            raise _refused(f"{path} holds no settings of a training")
        if len({*arms}) < len(arms) or len({*seeds}) < len(seeds) or found.version != 1:
            raise _refused(f"{path} names an arm or a seed twice, or is of another version")
        return cls(arms, seeds, found.scout_seed, str(found.rocks), found.settings)


def _are_settings(found: Any) -> bool:
    """Whether every name is one of SessionConfig, and the number of steps is among them."""
    if not isinstance(found, dict) or found.keys() - {f.name for f in fields(SessionConfig)}:
        return False
    steps = found.get("steps")
    return type(steps) is int and 1 <= steps < 2**31


def _refused(what: str) -> BadPlan:
    return BadPlan(what, "It says which runs belong together, and what is equal in them", _AGAIN)


@dataclass(frozen=True)
class ArmsFolder:
    """The folder of a comparison, with its plan."""

    path: Path
    plan: Plan

    @classmethod
    def open(cls, path: str | Path) -> ArmsFolder:
        """Raises NoArms where there is no plan, BadPlan for one that cannot be read."""
        path = Path(path)
        try:
            text = read_whole(path / PLAN)
        except (FileNotFoundError, NotADirectoryError) as e:
            there = "has no arms.json" if path.is_dir() else "is no folder"
            raise NoArms(
                f"{path} {there}",
                "A comparison is a folder that says which runs belong together",
                "Make one: rockcore arms --arms baseline,rock-freeze --seeds 5 --out DIR",
            ) from e
        except DamagedRun as e:
            raise _refused(str(e).split(". ")[0]) from e
        return cls(path, Plan.from_json(text, path / PLAN))

    @classmethod
    def create(cls, path: Path, plan: Plan) -> ArmsFolder:
        """Write the plan. Raises LogWriteError."""
        commit(path / PLAN, lambda tmp: tmp.write_text(plan.to_json(), encoding="utf-8"))
        return cls(path, plan)

    @property
    def rocks(self) -> Path:
        return self.path / ROCKS

    @property
    def scout(self) -> Path:
        return self.path / SCOUT

    def run(self, cell: Cell) -> Path:
        """The folder of one run, whether it is there or not."""
        return self.path / RUNS / cell.name

    def missing(self) -> list[Cell]:
        """The runs that are not finished. Raises as Run.open does for one that is damaged."""
        return [cell for cell in self.plan.cells if not is_finished(self.run(cell))]


def is_finished(run: Path) -> bool:
    """Whether a run is there and went to its end. Raises DamagedRun or SchemaMismatch."""
    return (run / META).exists() and read_run(run).status == "finished"


def find_arms(places: Iterable[str | Path]) -> list[Path]:
    """Folders with an arms.json: the places themselves, their direct children, and those in a
    child called `arms`, as the sample runs have it.
    """
    found: list[Path] = []
    for place in map(Path, places):
        found += [place] if os.path.exists(place / PLAN) else []
        found += [*holding(PLAN, place), *holding(PLAN, place / "arms")]
    return [Path(path) for path in dict.fromkeys(map(os.path.realpath, found))]
