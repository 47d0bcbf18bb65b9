"""What a scan of a log found, where only that is here and the log is elsewhere: a report under one
rule. Written by `rockcore.scale`, read as a run is read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rockcore.log.files import NOT_PARQUET, commit, read_whole, unreadable
from rockcore.log.holdings import NotLogged
from rockcore.rocks.report import RockReport
from rockcore.rocks.rule import RockRule
from rockcore.schema import DamagedRun
from rockcore.stats import Interval

FOLDER = "scanned"
_FRAMES = ("tokens", "curves", "groups", "rollouts")


class OnlyScanned(NotLogged):
    """A question that partials do not answer: of single texts, or under another rule."""


@dataclass(frozen=True)
class Scanned:
    """What was scanned, and where what was found lies."""

    folder: Path  # of the partials
    log: str
    shards: int
    of: int  # shards of the whole log
    positions: int
    rollouts: int
    # of the set: of the tokens, the loss and the gradient; None: not logged, or nothing to share
    shares: dict[str, Interval | None]
    rule: RockRule

    @classmethod
    def of_run(cls, path: Path) -> Scanned | None:
        """What a folder says of a scan; None for a run. Raises DamagedRun."""
        file = path / FOLDER / "about.json"
        try:
            data = json.loads(read_whole(file))
            rule, shares = RockRule.from_dict(data.pop("rule")), data.pop("shares")
            known = {name: None if s is None else Interval(*s) for name, s in shares.items()}
            return cls(folder=path, rule=rule, shares=known, **data)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            raise _damaged(file, e) from e

    @property
    def sentence(self) -> str:
        """Where the numbers are from."""
        part = "" if self.shards == self.of else f" of {self.of:,}"
        return (
            f"From partials of {_counted(self.shards, part)}, {self.positions:,} positions under "
            f"the rule {self.rule.called}; no texts here: open {self.log}."
        )

    @property
    def line(self) -> str:
        """What was judged, in few words."""
        return f"{self.rollouts:,} texts, {self.positions:,} positions, from partials"

    @property
    def without_groups(self) -> str:
        """What to say in place of the groups of a report on the log itself."""
        return (
            "The change of the three groups is not known from partials: its intervals take the "
            f"sums of every type in every text at once. Open {self.log} for it."
        )

    @property
    def without_kappa(self) -> str:
        """What to say in place of kappa, where contexts were compared."""
        return (
            "κ is not known from partials: it compares the kept occurrences with all others of "
            f"their types. Open {self.log} for it."
        )

    def needs(self, what: str) -> OnlyScanned:
        """What to say of a question that the partials do not answer."""
        return OnlyScanned(
            f"{self.folder.name} holds what a scan of {self.log} found under the rule "
            f"{self.rule.called} ({_counted(self.shards)}), and no texts",
            f"{what} takes the tokens themselves",
            f"Open {self.log}, or scan it for another rule: rockcore scan {self.log} --out "
            f"{self.folder.name} --preset NAME",
        )

    @cached_property
    def report(self) -> RockReport:
        """Raises DamagedRun."""
        folder = self.folder / FOLDER
        try:
            data = json.loads(read_whole(folder / "report.json"))
            frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in _FRAMES}
            drawn = pd.read_parquet(folder / "control.parquet")
            data["control"] |= {name: drawn[name].tolist() for name in drawn}
            return RockReport.from_frames(data | {"run": str(self.folder)}, frames)
        except (*NOT_PARQUET, ValueError, TypeError, KeyError) as e:
            raise _damaged(folder / "report.json", e) from e

    def report_under(self, rule: RockRule) -> RockReport:
        """The report, if it was the rule of the scan. Raises OnlyScanned otherwise."""
        if differ := rule.changes_from(self.rule):
            raise self.needs(f"Another rule ({', '.join(differ[:3])})")
        return self.report


def _counted(shards: int, part: str = "") -> str:
    """`part`: " of 30", where they are not all."""
    return f"{shards:,}{part} shard{'s' if shards != 1 or part else ''}"


def save(found: Scanned, report: RockReport) -> None:
    """Write what a scan found; the last file is the one by which a reader knows that all is there.
    Raises LogWriteError.
    """
    folder = found.folder / FOLDER
    for name in _FRAMES:
        frame: pd.DataFrame = getattr(report, name)
        commit(folder / f"{name}.parquet", lambda tmp, f=frame: f.to_parquet(tmp, index=False))
    # the positions of a control are too many for JSON
    drawn = {n: report.control[n] for n in ("rollout_id", "position") if n in report.control}
    at = pd.DataFrame(drawn)
    commit(folder / "control.parquet", lambda tmp: at.to_parquet(tmp, index=False))
    control = {name: value for name, value in report.control.items() if name not in drawn}
    said = replace(report, control=control).to_dict(without=_FRAMES)
    commit(folder / "report.json", lambda tmp: tmp.write_text(json.dumps(said)))
    about: dict[str, Any] = asdict(found)
    del about["folder"]
    commit(folder / "about.json", lambda tmp: tmp.write_text(json.dumps(about)))


def _damaged(file: Path, cause: Exception) -> DamagedRun:
    return unreadable(f"{file} is not what a scan writes", cause)
