"""What a part of the report is made of: sentences, what they rest on, tables, figures. No markup:
text of a log stands here as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rockcore.schema import RockError

FACTS = ("n", "interval", "estimator", "rule")  # what every part that is there says of its numbers


class NotFound(RockError, LookupError):
    """A part of the report that this run has nothing for."""


@dataclass(frozen=True)
class Table:
    """`rows`: cells as words, as many as there are heads; the first names its row."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A chart as it was drawn. `name`: of its files."""

    name: str
    alt: str  # what it shows, for who cannot see it
    svg: str
    png: bytes


@dataclass(frozen=True)
class Found:
    """What one analysis found. `values`: of the address where the dashboard shows the same."""

    values: Mapping[str, str]
    said: Sequence[str]
    facts: Mapping[str, str]  # by FACTS
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()


@dataclass(frozen=True)
class Part:
    """One analysis under its heading: what it found, or why it is missing and what would give it.

    `page`: of the dashboard.
    """

    key: str
    title: str
    page: str
    found: Found | None = None
    missing: str = ""
