"""How a list is written in a link, how a text of a link is read, and how what there is is named.

Lists are joined by commas; a comma or backslash inside a value stands behind a backslash, and an
empty value is \\e.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def joined(values: Iterable[Any]) -> str:
    """A list as one text of a link; `listed` is the way back."""
    escaped = (str(v).replace("\\", "\\\\").replace(",", "\\,") or "\\e" for v in values)
    return ",".join(escaped)


def listed(text: str) -> list[str]:
    """The values of a list in a link."""
    values, value, letters, empty = [], "", iter(text), False
    for letter in letters:
        if letter == ",":
            values += [value] if value or empty else []
            value, empty = "", False
        elif letter == "\\":
            after = next(letters, "\\")
            empty = empty or after == "e"
            value += "" if after == "e" else after
        else:
            value += letter
    return values + ([value] if value or empty else [])


def is_count(text: str) -> bool:
    """Whether a text of a link is a whole number that int() reads and a page can use."""
    return text.isascii() and text.isdecimal() and len(text) < 10


def span_of(options: Sequence[Any], most: int = 8) -> str:
    """What there is, in a few words."""
    if len(options) <= most:
        return ", ".join(map(str, options)) or "none"
    return f"{options[0]}, {options[1]} … {options[-1]}, {len(options):,} in all"


def today(name: str, text: str) -> str:
    """A value of a link as it is written today: what has another name by now is given it."""
    if name not in ("class", "light_class"):
        return text
    from rockcore.rocks.change import OLD_CLASSES  # not at the start: it loads what reckons

    return joined([OLD_CLASSES.get(each, each) for each in listed(text)])
