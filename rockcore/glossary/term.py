"""What is told of one word."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter


@dataclass(frozen=True)
class Term:
    """A word, symbol or sign of the pages, for somebody who has never met it."""

    name: str
    symbol: str  # how it stands in a heading or a formula; "" where it has none
    sentence: str  # plain text: what it is
    equation: str = ""  # LaTeX, without a bare | so that a table can hold it
    here: str = ""  # plain text with {fields}: what it is in the run at hand
    paper: str = ""  # what arXiv 2605.09253 says of it, and where
    trap: str = ""  # where an easy conclusion goes wrong
    also: tuple[str, ...] = ()  # other spellings on the pages

    @property
    def values(self) -> tuple[str, ...]:
        """The numbers of a run that `here` takes."""
        return tuple(
            dict.fromkeys(field for _, field, _, _ in Formatter().parse(self.here) if field)
        )

    @property
    def spellings(self) -> tuple[str, ...]:
        """All ways in which the pages write it."""
        return tuple(dict.fromkeys(word for word in (self.symbol, self.name, *self.also) if word))
