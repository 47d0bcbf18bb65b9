"""What was read of long runs, kept on disk for the next process: one file instead of ten thousand.

In a folder of the user's own, beside no run: a run may be read-only, may be copied, and may be
written by a training at this moment. All of it can be deleted at any time and is made anew. Whoever
keeps something says of which files in which state it was read, and compares when it is given back.
What cannot be written or read back is not there; nothing here raises.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rockcore.log.files import NOT_PARQUET, commit
from rockcore.log.listing import State
from rockcore.schema import SCHEMA_VERSION, LogWriteError

FOLDER = "ROCKCORE_CACHE"  # the variable that names another folder; empty: nothing is kept
MOST_BYTES = 2**30  # of all that is kept
_ABOUT = b"rockcore"


class Kept(NamedTuple):
    """A table, and what its keeper said of it: plain values, as JSON has them."""

    table: pa.Table
    about: dict[str, Any]


def folder() -> Path | None:
    """Where it is kept, as for every program on this machine; None where nothing is."""
    named = os.environ.get(FOLDER)
    if named is not None:
        return Path(named) if named else None
    try:
        place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return None
    return Path(place) / "rock-token-explorer" / "logs"


def load(*key: str) -> Kept | None:
    """What was last kept under a key; None where nothing is, or it is damaged."""
    if (file := _file(key)) is None:
        return None
    try:
        with pa.OSFile(str(file)) as opened:
            table = pq.ParquetFile(opened, page_checksum_verification=True).read()
        about = json.loads(zlib.decompress(base64.b64decode(table.schema.metadata[_ABOUT])))
        os.utime(file)  # what was used last is dropped last
    except (*NOT_PARQUET, TypeError, KeyError, ValueError, zlib.error):
        return None
    return Kept(table.replace_schema_metadata(None), about) if about["key"] == [*key] else None


def keep(kept: Kept, *key: str) -> None:
    """Keep it under a key in place of what was there; what was not used for longest goes when all
    takes more than MOST_BYTES. Others may do so at the same time.
    """
    if (file := _file(key)) is None or kept.table.nbytes > MOST_BYTES // 4:
        return
    said = json.dumps({**kept.about, "key": key}).encode()
    about = {_ABOUT: base64.b64encode(zlib.compress(said, 1))}
    table = kept.table.replace_schema_metadata(about)
    with suppress(OSError, LogWriteError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        commit(file, lambda tmp: _write(table, tmp))
        _prune(file.parent)


def of_states(states: Mapping[str, State]) -> pa.Table:
    """Files by name with their states, as a table."""
    return pa.table(
        {
            "name": [*states],
            "size": pa.array([state.size for state in states.values()], pa.int64()),
            "mtime_ns": pa.array([state.mtime_ns for state in states.values()], pa.int64()),
            "inode": pa.array([state.inode for state in states.values()], pa.uint64()),
        }
    )


def states_in(table: pa.Table) -> dict[str, State]:
    """What `of_states` made a table of."""
    names, *states = (table[name].to_pylist() for name in ("name", *State._fields))
    return dict(zip(names, map(State, *states), strict=True))


def _write(table: pa.Table, tmp: Path) -> None:
    with tmp.open("wb") as opened:
        pq.write_table(
            table, opened, compression="zstd", compression_level=1, write_page_checksum=True
        )


def _file(key: Iterable[str]) -> Path | None:
    """Of another version of the program, what was kept is of no use: it may have checked less."""
    place = folder()
    text = json.dumps([_program(), SCHEMA_VERSION, *key])
    name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return place and place / f"{name}.parquet"


@cache
def _program() -> str:
    try:
        return version("rock-token-explorer")
    except PackageNotFoundError:
        return ""


def _prune(place: Path) -> None:
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name.endswith((".parquet", ".tmp")):  # of which those of the killed
                with suppress(OSError):
                    stat = entry.stat(follow_symlinks=False)
                    found.append((stat.st_mtime_ns, stat.st_size, entry.path))
    left = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if left <= MOST_BYTES:
            return
        with suppress(OSError):
            os.unlink(path)
            left -= size
