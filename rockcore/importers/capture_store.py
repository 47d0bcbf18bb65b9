"""The local store of tinker-cookbook's capture: a database with one row a sampled sequence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from rockcore.importers.format import BadExport
from rockcore.importers.lines import LONGEST
from rockcore.importers.rows import BadRow
from rockcore.schema import strict_json

_MAGIC = b"SQLite format 3\0"
_TABLE = "wire_rows"
_AS_JSON = ("prompt_tokens", "sampled_tokens", "logprobs", "metadata")  # lists are kept as text


def is_store(file: Path) -> bool:
    """Whether a file is a database; False for what cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def records_of_store(file: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a store in the order in which they came, with their places; one whose lists are
    no JSON as a BadRow.

    Raises BadExport for a database that is broken or no such store.
    """
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as store:
            yield from _rows(store, file)
    except sqlite3.Error as e:
        raise BadExport(
            f"{file} cannot be read as a database ({ascii(str(e))[1:-1][:80]})",
            "A capture's store keeps its sequences in one",
            "Copy it with the files beside it (-wal, -shm) while its daemon is stopped",
        ) from e


def _rows(store: sqlite3.Connection, file: Path) -> Iterator[tuple[str, Any]]:
    store.execute("pragma trusted_schema = off")  # a stranger's file calls no function
    store.text_factory = lambda text: text.decode(errors="backslashreplace")
    found = store.execute("select type, sql from sqlite_master where name = ?", (_TABLE,))
    kind, made = found.fetchone() or ("", "")
    if kind != "table" or "virtual" in str(made).lower():
        raise BadExport(
            f"{file} has no table {_TABLE}",
            "A capture's store keeps its sequences there",
            "Give the file capture.sqlite of a store, or JSON lines of its rows",
        )
    rows = store.execute(f"select * from {_TABLE} order by rowid")
    names = [name for name, *_ in rows.description]
    for number, row in enumerate(rows, 1):
        yield f"{file}, row {number}", _record(dict(zip(names, row, strict=True)))


def _record(row: dict[str, Any]) -> Any:
    for name in _AS_JSON:
        text = row.get(name)
        if text is None:
            continue
        if not isinstance(text, str) or len(text) > LONGEST:
            return BadRow(name, "is no text of JSON, or longer than any")
        try:
            row[name] = strict_json.parse_logged(text)
        except ValueError as e:
            return BadRow(name, f"is no JSON ({ascii(str(e))[1:-1][:80]})")
    return row
