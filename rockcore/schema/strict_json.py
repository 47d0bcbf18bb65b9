"""JSON from outside, read as the standard has it and no further."""

from __future__ import annotations

import json
from typing import Any


def parse(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for what is none, for NaN and infinities, for
    brackets within brackets without end, and for an object with one key twice: readers differ in
    which of the two they take.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_doubles,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except RecursionError as e:
        raise ValueError("brackets within brackets without end") from e


def parse_logged(text: str | bytes) -> Any:
    """The value of a JSON text as programs write their logs: NaN and infinities, which JSON does
    not have, are read as NaN, that is, as not known. Raises ValueError as `parse` does otherwise.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode(),
            object_pairs_hook=_without_doubles,
            parse_constant=_not_known,
        )
    except RecursionError as e:
        raise ValueError("brackets within brackets without end") from e


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        rest = [name for name, _ in pairs]
        for name in found:
            rest.remove(name)
        raise ValueError(f"the key {ascii(rest[0])[:80]} stands there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _not_known(name: str) -> float:
    return float("nan")


def _finite(digits: str) -> float:
    number = float(digits)
    if abs(number) == float("inf"):
        raise ValueError(f"{digits[:80]} is beyond what a number can be")
    return number
