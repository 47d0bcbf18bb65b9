"""The authors' occurrence files, read fast: millions of records in one pickle, each a dict with the
same keys.

`torch.save` writes each in the same way: an empty dict, its number in the memo, and for each key
the memo's number of the key and an opcode with the value. So the beginnings of all records are
found at once, and field by field the values of all of them are read with numpy; what is written in
any other way is walked opcode by opcode. Both give the same columns.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

import numpy as np

from rockcore.importers.pickles import Machine

_WINDOW = 2**22  # bytes that are looked at together
_MEMO = 4  # bytes of a number in the memo
_HEAD = 3 + _MEMO  # of a record: } r number (
# opcode -> bytes with its value, 0 for one that stands in no record
_LENGTH = np.zeros(256, np.int64)
for _op, _length in {"K": 2, "M": 3, "J": 5, "G": 9, "\x88": 1, "\x89": 1}.items():
    _LENGTH[ord(_op)] = _length
_LONGEST = 9


class Template(NamedTuple):
    """How each record is written: its keys, each as the bytes that stand before its value."""

    names: tuple[str, ...]
    keys: tuple[bytes, ...]

    @property
    def longest(self) -> int:
        return _HEAD + sum(len(key) + _LONGEST for key in self.keys) + 1


class Records(NamedTuple):
    """Columns of records, by name: (N,) float64, NaN where a record has no number."""

    columns: dict[str, np.ndarray]
    fast: int  # how many were read all at once


def read_records(
    machine: Machine,
    field: str,
    wanted: Sequence[str],
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[Any, Records]:
    """The value of a pickle, and as columns what `wanted` names in the records of its list
    `field`, which is empty in the value. `advance` is called with the bytes read since.

    Raises BadPickle, also where the value is no dict with such a list.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    before = None

    def found_one() -> bool:  # the first record of all has its keys as texts
        return _at_record(machine, field) and _template(machine) is not None

    value = machine.walk(found_one)
    if value is None:
        batch = machine.marks[-1]
        before = len(machine.stack[batch - 1]) + len(machine.stack) - batch
        template = _template(machine)
        if template is not None:
            _read_fast(machine, template, columns, advance)
        value = machine.walk()
    records = value.get(field) if isinstance(value, dict) else None
    if not isinstance(records, list):
        raise machine.refuse(f"no list {field}")
    parts = records[:before], records[len(records) if before is None else before :]
    found = {
        name: np.concatenate([_column(parts[0], name), *columns[name], _column(parts[1], name)])
        for name in wanted
    }
    fast = sum(map(len, columns[wanted[0]]))
    records.clear()
    return value, Records(found, fast)


def _column(records: Sequence[Any], name: str) -> np.ndarray:
    values = [r.get(name) if isinstance(r, dict) else None for r in records]
    return np.array([_number(v) for v in values])


def _number(value: Any) -> float:
    if type(value) is float or (type(value) is int and abs(value) < 2**63):
        return float(value)
    return np.nan


def _at_record(machine: Machine, field: str) -> bool:
    """Whether the next thing in a pickle is a record of the list `field`."""
    at, stack, marks = machine.at, machine.stack, machine.marks
    return bool(
        machine.data[at : at + 2] == b"}r"
        and marks
        and 1 < marks[-1] <= len(stack)
        and type(stack[marks[-1] - 1]) is list
        and type(stack[marks[-1] - 2]) is str
        and stack[marks[-1] - 2] == field
    )


def _template(machine: Machine) -> Template | None:
    """How the record is written at which the machine stands; None for one that is no such."""
    data, at = machine.data, machine.at + _HEAD
    names: list[str] = []
    keys: list[bytes] = []
    while data[at : at + 1] != b"u":
        width = {b"h": 2, b"j": 5}.get(data[at : at + 1])
        key = data[at : at + width] if width else b""
        name = machine.memo.get(int.from_bytes(key[1:], "little")) if key else None
        at += len(key)
        length = int(_LENGTH[data[at]]) if at < len(data) else 0
        if not isinstance(name, str) or not length or len(names) >= 64:
            return None
        names.append(name)
        keys.append(key)
        at += length
    return Template(tuple(names), tuple(keys)) if len({*names}) == len(names) else None


def _read_fast(
    machine: Machine,
    template: Template,
    columns: dict[str, list[np.ndarray]],
    advance: Callable[[int], None],
) -> None:
    """Add the columns of the records from where the machine stands on; it stands behind the last of
    them afterwards, within the same list.
    """
    whole = np.frombuffer(machine.data, np.uint8)
    while True:
        window = whole[machine.at : machine.at + _WINDOW]
        starts = _starts(window, len(whole) - machine.at > _WINDOW, template)
        ends, values = _parse(window, starts, template, columns)
        good = _unbroken(window, starts, ends)
        if not good:
            return
        for name, parts in columns.items():
            parts.append(values[name][:good] if name in values else np.full(good, np.nan))
        machine.at += int(ends[good - 1])
        advance(int(ends[good - 1]))
        after = machine.data[machine.at : machine.at + 4]
        if after == b"e(}r":  # the end of a batch, and another one
            machine.at += 2
        elif after[:2] != b"}r":
            return


def _starts(window: np.ndarray, cut: bool, template: Template) -> np.ndarray:
    """Where records begin, the first at 0; the same bytes within a number are told by the number in
    the memo. Where the window is `cut`, records that may not end within it are left out.
    """
    last = len(window) - (template.longest if cut else _HEAD)
    if last <= 0:
        return np.zeros(0, np.int64)
    found = np.flatnonzero(
        (window[:last] == ord("}"))
        & (window[1 : last + 1] == ord("r"))
        & (window[_HEAD - 1 : last + _HEAD - 1] == ord("("))
    )
    if not len(found) or found[0] != 0:
        return np.zeros(0, np.int64)
    number = sum(window[found + 2 + i].astype(np.int64) << 8 * i for i in range(_MEMO))
    ahead = number - number[0]
    return found[(ahead >= 0) & (ahead <= len(window))]


def _parse(
    window: np.ndarray, starts: np.ndarray, template: Template, wanted: Container[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Where each record ends, -1 for one that is written in another way; and its values by name."""
    padded = np.concatenate([window, np.zeros(template.longest, np.uint8)])
    at, fits = starts + _HEAD, np.ones(len(starts), bool)
    values: dict[str, np.ndarray] = {}
    for name, key in zip(template.names, template.keys, strict=True):
        for i, byte in enumerate(key):
            fits &= padded[at + i] == byte
        at = at + len(key)
        op = padded[at]
        length = _LENGTH[op]
        fits &= length > 0
        if name in wanted:
            values[name] = _numbers(padded, at, op)
        at = np.where(fits, at + length, starts)
    fits &= padded[at] == ord("u")
    return np.where(fits, at + 1, -1), values


def _numbers(window: np.ndarray, at: np.ndarray, op: np.ndarray) -> np.ndarray:
    """The numbers behind the opcodes at these places, (N,) float64; NaN for what is none."""
    values = np.full(len(at), np.nan)
    for code, layout in (("K", "<u1"), ("M", "<u2"), ("J", "<i4"), ("G", ">f8")):
        of = np.flatnonzero(op == ord(code))
        if len(of):
            width = np.dtype(layout).itemsize
            raw = window[at[of][:, None] + np.arange(1, 1 + width)]
            values[of] = np.ascontiguousarray(raw).view(layout)[:, 0]
    return values


def _unbroken(window: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> int:
    """How many records follow one another, from the first, with nothing but ends of batches
    between.
    """
    if not len(starts):
        return 0
    gap = starts[1:] - ends[:-1]
    at = np.minimum(np.maximum(ends[:-1], 0), len(window) - 2)
    batch = (gap == 2) & (window[at] == ord("e")) & (window[at + 1] == ord("("))
    follows = (ends[:-1] >= 0) & ((gap == 0) | batch)
    broken = np.flatnonzero(~follows)
    good = int(broken[0]) + 1 if len(broken) else len(starts)
    return good if ends[good - 1] >= 0 else good - 1
