"""What a field of a rule can be: a number in a range, or one word of a few."""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple


class Knob(NamedTuple):
    """A number in a rule: its symbol, its range, and what it does."""

    symbol: str
    low: float  # an int where only whole numbers are meant
    high: float
    meaning: str
    optional: bool = False  # may be None: found from the run
    exclusive: bool = False  # the lowest value itself is outside

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int)

    @property
    def range(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} {'above' if self.exclusive else 'from'} {self.low:g} to {self.high:g}"

    def takes(self, value: Any) -> bool:
        """Whether the value lies within the range."""
        if value is None:
            return self.optional
        kinds = int if self.whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and not (self.exclusive and value == self.low)


class Choice(NamedTuple):
    """A word in a rule: which there are, and what it decides."""

    options: tuple[str, ...]
    meaning: str


def knob(default: float | None, *about: Any, **flags: bool) -> Any:
    return field(default=default, metadata={"about": Knob(*about, **flags)})


def choice(default: str, options: tuple[str, ...], meaning: str) -> Any:
    return field(default=default, metadata={"about": Choice(options, meaning)})
