"""What was worked out of a comparison of arms, on disk: DIR/comparison/, small aggregates that a
page reads without the runs they come from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import pandas as pd

from rockcore.log import duck
from rockcore.log.arms import COMPARISON as FOLDER
from rockcore.log.arms import PLAN, ArmsFolder, Plan
from rockcore.log.files import commit, read_whole, write_table
from rockcore.schema import DamagedRun, RockError, strict_json
from rockcore.schema.comparison import ABOUT, COMPARISON

ABOUT_FILE = "comparison.json"


class NotCompared(RockError, FileNotFoundError):
    """The runs of a comparison were not compared yet."""


@dataclass(frozen=True)
class Comparison:
    """Tables by their names in schema.comparison, and what is said once."""

    plan: Plan
    about: dict[str, Any]  # see analysis.arms.compare
    tables: Mapping[str, pd.DataFrame]

    def __getattr__(self, name: str) -> pd.DataFrame:
        """A table by its name."""
        if name not in COMPARISON:
            raise AttributeError(f"a comparison has no {name!r}")
        return self.tables[name]


def write(folder: ArmsFolder, comparison: Comparison) -> Path:
    """Write DIR/comparison/, comparison.json last: with it the tables are whole. Raises
    LogWriteError.
    """
    place = folder.path / FOLDER
    for name, columns in COMPARISON.items():
        frame = comparison.tables[name]
        write_table(place / f"{name}.parquet", columns, {n: frame[n].to_numpy() for n in columns})
    text = json.dumps(comparison.about, indent=2, ensure_ascii=False, allow_nan=False)
    commit(place / ABOUT_FILE, lambda tmp: tmp.write_text(text, encoding="utf-8"))
    return place


def read(path: str | Path) -> Comparison:
    """What `write` wrote into the folder of a comparison.

    Raises NoArms or BadPlan, NotCompared where that was not done yet or cannot be read.
    """
    folder = ArmsFolder.open(path)
    place = folder.path / FOLDER
    again = f"Compare again: rockcore compare-arms {folder.path}"
    try:
        about = strict_json.parse(read_whole(place / ABOUT_FILE))
        json.dumps(about, ensure_ascii=False).encode()  # "\\ud800" is half a letter
    except FileNotFoundError as e:
        raise NotCompared(
            f"{folder.path} has no {FOLDER}/{ABOUT_FILE}",
            "Its runs were not compared yet",
            f"rockcore compare-arms {folder.path}",
        ) from e
    except (OSError, ValueError) as e:
        raise NotCompared(
            f"{place / ABOUT_FILE} cannot be read ({type(e).__name__})",
            "It says what was compared",
            again,
        ) from e
    absent = [name for name in COMPARISON if not (place / f"{name}.parquet").is_file()]
    if isinstance(about, dict):
        absent += [name for name, kind in ABOUT.items() if not _is_a(kind, about.get(name))]
    else:
        absent.append(ABOUT_FILE)
    if absent:
        raise NotCompared(
            f"{place} lacks {', '.join(absent)}",
            "It is damaged, or of another version of this program",
            again,
        )
    try:
        tables = {
            name: duck.rows(columns, [place / f"{name}.parquet"])
            for name, columns in COMPARISON.items()
        }
    except DamagedRun as e:
        raise NotCompared(
            f"{place} cannot be read ({str(e).split('. ')[0]})",
            "It is damaged, or of another version of this program",
            again,
        ) from e
    return Comparison(folder.plan, about, tables)


def _is_a(kind: Any, value: Any) -> bool:
    """Whether a value of comparison.json is of its kind."""
    if get_origin(kind) is not list:
        return type(value) is kind
    return isinstance(value, list) and all(type(part) is get_args(kind)[0] for part in value)


def fingerprint(path: str | Path) -> str:
    """Changes whenever the plan or the comparison does: the key of every cache."""
    digest = hashlib.sha256()
    for file in sorted([Path(path) / PLAN, *(Path(path) / FOLDER).glob("*")]):
        try:
            stat = os.stat(file)
        except OSError:  # being written anew, or a link that leads nowhere
            continue
        digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
