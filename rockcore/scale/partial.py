"""A partial: one Parquet file that says all that is needed of one shard, or of one bucket of types.

It is named by what it depends on, written under another name and renamed: whoever finds it can rely
on it, a second writing of it puts the same in its place, and a worker that is killed in the middle
leaves nothing that looks whole. What it leaves is swept when a scan begins: whoever writes a file
holds a lock on it, which ends with its process.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from rockcore.log.files import NOT_PARQUET, commit
from rockcore.log.holders import lock_now
from rockcore.scale.errors import BadScan, NotScanned
from rockcore.schema import LogWriteError

_SAID = b"rockcore"


def write(path: Path, tables: Iterable[tuple[int, pa.Table]], said: dict[str, Any]) -> None:
    """Write tables of equal columns, one at least, a row group each, behind its bucket; `said` is
    JSON that stands beside them. Raises BadScan on a full or guarded disk.
    """
    tmp = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _held(tmp) as file:
            _fill(file, tables, said)
            os.replace(tmp, path)
    except OSError as e:
        raise not_written(path, e) from e
    finally:
        with suppress(OSError):
            tmp.unlink()


def not_written(path: Path, cause: OSError) -> BadScan:
    """What to say of a full or guarded disk."""
    said = cause.parts[0] if isinstance(cause, LogWriteError) else None
    return BadScan(
        said or f"{path} could not be written ({cause.strerror or cause})",
        "A scan writes what it found of each shard; those that are finished are whole",
        "Free space or fix the permissions, then start the scan again: it goes on from there",
    )


def write_text(path: Path, text: str) -> None:
    """Write a small file, which all tasks read, unless it is there. Raises BadScan."""
    if path.exists():
        return
    try:
        commit(path, lambda tmp: tmp.write_text(text))
    except LogWriteError as e:
        raise not_written(path, e) from e


def _held(tmp: Path) -> IO[bytes]:
    """A new file, locked until it is closed: `sweep` leaves it."""
    while True:
        file = tmp.open("wb")
        lock_now(file.fileno())
        if tmp.exists():  # a sweep may have come between the two
            return file
        file.close()


def _fill(file: IO[bytes], tables: Iterable[tuple[int, pa.Table]], said: dict[str, Any]) -> None:
    rest = iter(tables)
    first, buckets = next(rest), list[int]()
    of = first[1].schema
    with pq.ParquetWriter(file, of, **_how(of)) as writer:
        for bucket, table in chain([first], rest):
            if len(table):
                writer.write_table(table, row_group_size=len(table))
                buckets.append(bucket)
        writer.add_key_value_metadata({_SAID: json.dumps({**said, "buckets": buckets})})


def _how(of: pa.Schema) -> dict[str, Any]:
    """Sums hardly repeat: a dictionary of them takes half of the time of writing, in vain."""
    floats = [field.name for field in of if pa.types.is_floating(field.type)]
    return {
        "compression": "zstd",
        "use_dictionary": [name for name in of.names if name not in floats],
        "use_byte_stream_split": floats,
        "write_statistics": False,
    }


def sweep(out: Path) -> None:
    """Delete the half-written files of processes that were killed."""
    for tmp in out.glob("*/.*.tmp"):
        with suppress(OSError), tmp.open("rb+") as file:
            if lock_now(file.fileno()):
                tmp.unlink()


def said_by(path: Path) -> dict[str, Any]:
    """What stands beside the tables of a partial. Raises NotScanned where there is none."""
    with _opened(path) as file:
        return _said(file)


def _said(file: pq.ParquetFile) -> dict[str, Any]:
    return json.loads((file.metadata.metadata or {})[_SAID])


def rows_of(
    path: Path, bucket: int | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of one bucket, or of all; `columns`: these alone. Raises NotScanned where there is
    no such partial.
    """
    with _opened(path) as file:
        try:
            if bucket is None:
                return file.read(None if columns is None else list(columns), use_threads=False)
            buckets = _said(file)["buckets"]
            groups = [i for i, each in enumerate(buckets) if each == bucket]
            return file.read_row_groups(groups, use_threads=False)
        except NOT_PARQUET as e:
            raise _not_whole(path, e) from e


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as e:
        raise NotScanned(
            f"{path} is not there",
            "A scan puts together what was found of every shard",
            "Start the scan again: it makes what is missing",
        ) from e
    except NOT_PARQUET as e:
        raise _not_whole(path, e) from e


def _not_whole(path: Path, cause: Exception) -> NotScanned:
    """Of a partial whose bytes were lost after it was written: a scan can make it again."""
    said = ascii(str(cause).partition("\n")[0])[1:-1][:160]
    return NotScanned(
        f"{path} cannot be read ({said})",
        "A scan puts together what was found of every shard, each in a file that was whole",
        "Delete it, and start the scan again: it makes what is missing",
    )
