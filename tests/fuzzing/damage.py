"""What a mutation is: something that befalls a run on disk, and what may come of it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq


class Effect(IntEnum):
    """What may become of the answers to questions about what was touched."""

    SAME = 0  # the mutation is harmless: every answer is as before
    KEPT = 1  # as before, or refused
    REFUSED = 2  # the run cannot be opened
    ANY = 3  # nobody can know what is right: any answer, or refused


class DoesNotApply(Exception):
    """This run has nothing that the mutation could befall."""


@dataclass
class Target:
    """A run that is to be damaged, in a folder of its own."""

    run: Path  # a mutation may move it
    rng: Random
    other: Path  # an untouched run of the same shape and other numbers
    said: list[str] = field(default_factory=list)

    def say(self, what: str) -> None:
        """Remember what was done, for whoever reads of a failure."""
        self.said.append(what)

    def pick(self, *patterns: str) -> Path:
        """One of the plain files that match. Raises DoesNotApply where there is none."""
        found = sorted({f for p in patterns for f in self.run.glob(p) if f.is_file()})
        if not found:
            raise DoesNotApply
        file = self.rng.choice(found)
        self.say(str(file.relative_to(self.run)))
        return file

    def steps_of_a_table(self) -> list[Path]:
        """The files of one table that has two steps at least."""
        tables = sorted({f.parent for f in self.run.rglob("step=*.parquet")})
        several = [files for t in tables if len(files := sorted(t.glob("step=*.parquet"))) > 1]
        if not several:
            raise DoesNotApply
        files = self.rng.choice(several)
        self.say(str(files[0].parent.relative_to(self.run)))
        return files


class Mutation(NamedTuple):
    """`apply` returns the effect where it depends on what was drawn."""

    name: str
    effect: Effect
    apply: Callable[[Target], Effect | None]


def change_table(file: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a table anew, changed."""
    table = change(pq.read_table(pa.OSFile(str(file))))
    with file.open("wb") as out:
        pq.write_table(table, out)


def expected(effects: list[Effect]) -> Effect:
    """Of several mutations one after the other: only one alone is sure to be refused, for the
    next may take its place.
    """
    if len(effects) == 1:
        return effects[0]
    return Effect.KEPT if max(effects) is Effect.REFUSED else max(effects)


def contents(folder: Path) -> dict[str, str]:
    """What lies at each path below a folder, in a word that changes with it."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in files + [f for f in folders if os.path.islink(os.path.join(place, f))]:
            path = os.path.join(place, name)
            found[os.path.relpath(path, folder)] = _word(path)
    return found


def _word(path: str) -> str:
    about = os.lstat(path)
    if not stat.S_ISREG(about.st_mode) or about.st_size > 1 << 26:
        return f"{stat.S_IFMT(about.st_mode)} {about.st_size}"
    with open(path, "rb") as file:
        return hashlib.blake2b(file.read()).hexdigest()
