"""Mutations of where a run lies: names that a pattern, a shell or a terminal would read
otherwise.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fuzzing.damage import DoesNotApply, Effect, Mutation, Target

# a name, and one that it would match if it were taken for a pattern
PATTERNS = {
    "run[1]": "run1",
    "run[!a]": "runb",
    "ru*": "rue",
    "run?": "runs",
    "**": "anything",
    "{a,b}": "a",
    "run[": "run",
    "[[]x": "[x",
    "*.parquet": "x.parquet",
}
NAMES = (
    "a b",
    "it's",
    'say "x"',
    "$HOME",
    "%s%d",
    "-run",
    "--json",
    "~",
    "file:run",
    "s3:",
    "C:",
    "step=7",
    "token_id=5",
    ".hidden",
    "Ünïcödé 🙂",
    "a\nb",
    "a\tb",
    "\x1b[2J\x1b]0;x\x07",
    "\u202egnihtyna",
    "a\\b",
    "a\\[1]",
    "x" * 255,
    "ß" * 127,
    "#",
    "run;rm",
    "run&x=1",
    "run|x",
    "a,b",
    "\\",
    "...",
    "[red]x[/]",
    "<b>x",
    ":red[x]",
)
NO_TEXTS = (b"\xff\xfe", b"run\x80", b"\xed\xa0\x80")


def pattern(target: Target) -> None:
    """Beside the run lies one that its name would find if it were taken for a pattern."""
    name = target.rng.choice(sorted(PATTERNS))
    move(target, name)
    neighbour = target.run.parent / PATTERNS[name]
    target.say(f"beside {neighbour.name}")
    shutil.copytree(target.other, neighbour)


def odd_name(target: Target) -> None:
    move(target, target.rng.choice(NAMES))


def no_text(target: Target) -> None:
    try:
        move(target, os.fsdecode(target.rng.choice(NO_TEXTS)))
    except OSError as e:  # file systems that only take Unicode
        raise DoesNotApply from e


def move(target: Target, name: str) -> None:
    target.say(ascii(name)[:60])
    to = target.run.parent / "odd" / name
    to.parent.mkdir()
    target.run = Path(shutil.move(target.run, to))


def through_a_link(target: Target) -> None:
    link = target.run.parent / "link"
    link.symlink_to(target.run, target_is_directory=True)
    target.run = link


def by_dots(target: Target) -> None:
    """The same folder, named in a roundabout way."""
    target.run = target.run / ".." / target.run.name / "."


MUTATIONS = (
    Mutation("the name is a pattern", Effect.KEPT, pattern),
    Mutation("an odd name", Effect.KEPT, odd_name),
    Mutation("a name that is no text", Effect.KEPT, no_text),
    Mutation("through a link", Effect.SAME, through_a_link),
    Mutation("by dots", Effect.SAME, by_dots),
)
