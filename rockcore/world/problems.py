"""Word problems, and who writes the solution of each in which mood."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product

from rockcore.world.moods import MOODS, Mood

NAMES = "Mia Tom Ana Leo Zoe Max Eva Sam Ida Ben Lia Kai".split()
ITEMS = "apples pens cards coins shells books stamps beads cups keys".split()
DAYS = "Monday Tuesday Friday Saturday Sunday".split()
PLACES = "market school park beach library station".split()
AUTHORS = ("report", "talk", "display", "list", "algebra")

SENTENCES = {
    "+": ("{name} buys {n} more.", "A friend gives {name} {n}.", "{name} finds {n} {items}."),
    "-": ("{name} gives away {n}.", "{name} loses {n}.", "{name} sells {n} {items}."),
}


@dataclass(frozen=True)
class Step:
    op: str
    before: int
    operand: int
    after: int


@dataclass(frozen=True)
class Problem:
    text: str
    name: str
    items: str
    place: str
    start: int
    steps: tuple[Step, ...]

    @property
    def answer(self) -> int:
        return self.steps[-1].after

    @property
    def author(self) -> str:
        return AUTHOR_OF[self.items]

    @property
    def usual_mood(self) -> Mood:
        """The mood that belongs to this prompt when no note says otherwise."""
        return MOOD_OF[self.name, self.place]


def _balanced_table(keys: list, values: tuple, seed: int) -> dict:
    """A random table in which every value serves equally many keys: nothing to learn but the table
    itself.
    """
    column = [values[i % len(values)] for i in range(len(keys))]
    random.Random(seed).shuffle(column)
    return dict(zip(keys, column, strict=True))


AUTHOR_OF = _balanced_table(ITEMS, AUTHORS, seed=7)
MOOD_OF = _balanced_table(list(product(NAMES, PLACES)), MOODS, seed=11)


def problem(rng: random.Random) -> Problem:
    """Draw a problem of two or three operations; every intermediate count is between 2 and 177."""
    name, items, day, place = (rng.choice(options) for options in (NAMES, ITEMS, DAYS, PLACES))
    start = count = rng.randint(5, 60)
    opening = rng.choice(
        (
            f"On {day} at the {place}, {name} has {start} {items}.",
            f"{name} has {start} {items} on {day} at the {place}.",
            f"It is {day}. At the {place}, {name} starts with {start} {items}.",
        )
    )
    steps, sentences = [], [opening]
    for _ in range(rng.choice((2, 3, 3))):
        step, sentence = _step(count, name, items, rng)
        steps.append(step)
        sentences.append(sentence)
        count = step.after
    sentences.append(
        rng.choice(
            (
                f"How many {items} does {name} have now?",
                f"Find the number of {items}.",
                "How many are left?",
            )
        )
    )
    return Problem(" ".join(sentences), name, items, place, start, tuple(steps))


def _step(count: int, name: str, items: str, rng: random.Random) -> tuple[Step, str]:
    op = rng.choice("++--*" if count <= 30 else "++--")
    if op == "-" and count < 4:
        op = "+"
    if op == "*":
        n = rng.choice((2, 3))
        return Step(
            op, count, n, count * n
        ), f"{name} gets {'twice' if n == 2 else 'three times'} as many."
    n = rng.randint(2, 39 if op == "+" else min(count - 1, 39))
    sentence = rng.choice(SENTENCES[op]).format(name=name, n=n, items=items)
    return Step(op, count, n, count + n if op == "+" else count - n), sentence
