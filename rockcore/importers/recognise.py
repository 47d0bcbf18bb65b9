"""Which files an import is given, and which format they are: told by their fields, never by a
version or a file's name alone.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rockcore.importers import IMPORTERS, format_named
from rockcore.importers.format import BadExport, Format, Peek, unreadable
from rockcore.importers.lines import read_lines
from rockcore.importers.torch_files import beginning
from rockcore.log.files import NOT_PARQUET, read_whole, state_of
from rockcore.schema import DamagedRun, strict_json

_LOOKED_AT = 20  # records, until one can be read
_MOST_FILES = 1_000_000
_LONGEST_HEADER = 2**20  # bytes


class Recognised(NamedTuple):
    """A format, and its files among those that were given."""

    format: Format
    files: list[Path]


def recognise(paths: Sequence[Path]) -> Recognised:
    """The one format that the paths are of. Raises BadExport where none fits, which says what was
    found, or several do, which names them.
    """
    fitting: list[Recognised] = []
    peeks: dict[Path, Peek | None] = {}
    for name in IMPORTERS:
        format = format_named(name)
        if files := _found(format, paths):
            first = files[0]
            if first not in peeks:
                peeks[first] = peek(first)
            seen = peeks[first]
            if seen is not None and format.recognise(seen):
                fitting.append(Recognised(format, files))
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise BadExport(
            f"{_named(paths)} fits {' and '.join(f.format.name for f in fitting)}",
            "They give its fields another meaning",
            f"Say which: rockcore import {fitting[0].format.name} …",
        )
    raise BadExport(
        f"{_named(paths)} is of no format that is known ({_described(peeks.values())})",
        f"There are {', '.join(IMPORTERS)}, each recognised by its fields",
        "Name the format, or import it as a table and say which field is which: "
        "rockcore import table … --map sampled_loss=FIELD",
    )


def files_of(format: Format, paths: Sequence[Path]) -> list[Path]:
    """The files of a format: those that are named, and of folders those that its patterns find, in
    the order of the numbers in their names.

    Raises BadExport where there is none.
    """
    if files := _found(format, paths):
        return files
    raise BadExport(
        f"{_named(paths)} holds no file of {format.name}",
        f"They are called {', '.join(format.patterns)}",
        "Give the files themselves, or another folder",
    )


def _found(format: Format, paths: Sequence[Path]) -> list[Path]:
    files: dict[Path, None] = {}
    for path in paths:
        try:
            if path.is_dir():
                for pattern in format.patterns:
                    files.update(dict.fromkeys(_ordered(path, pattern)))
            else:
                state_of(path)
                files[path] = None
        except (OSError, ValueError) as e:
            raise unreadable(path, e) from e
    return list(files)


def _ordered(folder: Path, pattern: str) -> list[Path]:
    found = islice((f for f in folder.glob(pattern) if f.is_file()), _MOST_FILES)
    return sorted(found, key=lambda f: _with_numbers(str(f.relative_to(folder))))


def _with_numbers(name: str) -> list[tuple[int, int | str]]:
    """A name that sorts by its numbers: step_9 before step_10."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(0, int(p)) if i % 2 else (1, p) for i, p in enumerate(parts)]


def peek(file: Path) -> Peek | None:
    """The kind of a file and its first record; None for what can be read as nothing.

    Raises BadExport where it cannot be opened, BadPickle for a pickle that holds more than data.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(4)
    except OSError as e:
        raise unreadable(file, e) from e
    if head == b"PAR1":
        return _peek_parquet(file)
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return Peek(file, "pickle", beginning(file))
    return _peek_text(file)


def _peek_parquet(file: Path) -> Peek | None:
    try:
        schema = pq.read_schema(pa.OSFile(str(file)))
    except NOT_PARQUET:
        return None
    return Peek(file, "parquet", {f.name: str(f.type) for f in schema})


def _peek_text(file: Path) -> Peek | None:
    for line in islice(read_lines(file), _LOOKED_AT):
        if isinstance(line.value, dict):
            return Peek(file, "jsonl", line.value)
    return _peek_document(file) or _peek_csv(file)


def _peek_document(file: Path) -> Peek | None:
    """Of a file that is one JSON value: an object, or the first of a list."""
    try:
        value = strict_json.parse_logged(read_whole(file))
    except (DamagedRun, ValueError):  # too large, or none
        return None
    first = value[0] if isinstance(value, list) and value else value
    return Peek(file, "json", first) if isinstance(first, dict) else None


def _peek_csv(file: Path) -> Peek | None:
    with file.open("rb") as opened:
        head = opened.read(_LONGEST_HEADER)
    try:
        header = next(csv.reader([head.decode("utf-8-sig", errors="strict").splitlines()[0]]))
    except (UnicodeDecodeError, IndexError, csv.Error, StopIteration):
        return None
    return Peek(file, "csv", dict.fromkeys(header))


def _named(paths: Sequence[Path]) -> str:
    shown = ", ".join(map(str, paths[:3]))
    return shown + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def _described(peeks: Iterable[Peek | None]) -> str:
    """What was found in the files that were looked at."""
    found = [
        f"{p.kind} with {', '.join(ascii(name)[1:-1][:40] for name in list(p.record)[:12])}"
        for p in peeks
        if p is not None
    ]
    return "; ".join(dict.fromkeys(found)) or "nothing that can be read"
