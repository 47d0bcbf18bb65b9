"""Where runs lie, and their single files: how they are named, written whole or not at all, and
checked before anyone relies on them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore import schema
from rockcore.schema import Column, DamagedRun, LogWriteError

STOP, CATEGORIES = "stop", "categories.toml"
STDOUT = "output.txt"  # where a page that starts a run lets it print
Columns = Mapping[
    str, Any
]  # column name -> array of equal length; lists as (N, k), where a masked row is null


def step_name(step: int) -> str:
    return f"step={step:06d}"


def step_of(path: Path) -> int:
    return int(path.name.removeprefix("step=").removesuffix(".parquet"))


def step_files(folder: Path) -> list[Path]:
    """The files of a table, by step; copies and other strangers in the folder are not looked at."""
    return sorted(
        (f for f in folder.glob("step=*.parquet") if re.fullmatch(r"step=\d+\.parquet", f.name)),
        key=step_of,
    )


def to_arrow(columns: dict[str, Column], values: Columns) -> pa.Table:
    """The values as a table with exactly these columns; an optional one that is not among the
    values is null.
    """
    rows = len(next(iter(values.values())))
    arrays = [
        pa.nulls(rows, column.type)
        if column.optional and name not in values
        else _array(values[name], column.type)
        for name, column in columns.items()
    ]
    return pa.Table.from_arrays(arrays, schema=schema.arrow_schema(columns))


def _array(values: Any, type: pa.DataType) -> pa.Array:
    if pa.types.is_list(type) and isinstance(values, np.ndarray):
        null = np.ma.getmaskarray(values).all(1)
        flat = pa.array(
            np.ma.getdata(values)[~null].astype(type.value_type.to_pandas_dtype()).ravel()
        )
        ends = np.append(0, np.cumsum(~null)) * values.shape[1]
        return pa.ListArray.from_arrays(
            pa.array(ends, pa.int32()), flat, type=type, mask=pa.array(null)
        )
    if type == pa.binary():
        return pa.array([row.tobytes() for row in values], type)
    if type == pa.float16():
        values = np.asarray(values, np.float16)  # Arrow does not narrow by itself
    return pa.array(values, type=type, from_pandas=True)


def write_table(path: Path, columns: dict[str, Column], values: Columns) -> None:
    """Write a Parquet file with exactly these columns; raises LogWriteError."""
    table = to_arrow(columns, values)
    leaves = {
        f"{n}.list.element" if pa.types.is_list(c.type) else n: c.type for n, c in columns.items()
    }
    floats = [n for n, type in leaves.items() if type in (pa.float32(), pa.float64())]
    whole = [
        n
        for n, type in leaves.items()
        if type not in (pa.float64(), pa.float32(), pa.float16(), pa.binary())
    ]
    how: dict[str, Any] = {
        "compression": "zstd",
        # rows of bytes are as small at level 1, in a quarter of the time
        "compression_level": {n: 1 if type == pa.binary() else 6 for n, type in leaves.items()},
        "use_dictionary": whole,  # a third smaller without it where values hardly repeat
        "use_byte_stream_split": floats,
        "write_statistics": [
            n for n in leaves if n == "rollout_id"
        ],  # the one column that is ever searched
        # nothing in the contract needs more than Parquet's own types, and most files are small
        "store_schema": False,
    }
    commit(path, lambda tmp: pq.write_table(table, tmp, **how))


def commit(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file, then rename it: a reader meets the whole file or none.
    Raises LogWriteError.
    """
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(tmp)
        os.replace(tmp, path)
    except OSError as e:
        with suppress(OSError):
            tmp.unlink()
        raise LogWriteError(
            f"{path} could not be written ({e.strerror or e})",
            "The log would have a hole from here on, so the run stops; everything logged before "
            "is complete",
            "Free space or fix the permissions, then go on with --resume",
        ) from e


def unreadable(what: str, cause: Exception) -> DamagedRun:
    """The error for a file whose contents are lost; `what` names it."""
    return DamagedRun(
        f"{what} ({str(cause).splitlines()[0]})",
        "Its rows cannot be recovered from what is there",
        "Copy it from a backup, or delete it: the rest of the run opens without it",
    )


_checked: dict[
    tuple[str, int, int], frozenset[str]
] = {}  # (path, size, mtime) -> the columns of a file whose schema fits


def check_schema(path: Path, columns: dict[str, Column]) -> frozenset[str]:
    """The names of the columns of `path`. Raises DamagedRun unless it is a readable Parquet file
    with these columns.

    Optional ones may be missing. A file that a resumed run has just dropped has no columns.
    """
    try:
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns)
        if key in _checked:
            return _checked[key]
        found = pq.read_schema(path)
    except FileNotFoundError:
        return frozenset()
    except (pa.ArrowInvalid, OSError) as e:
        raise unreadable(f"{path} is no readable Parquet file", e) from e
    wrong = [
        n
        for n, c in columns.items()
        if not (found.field(n).type == c.type if n in found.names else c.optional)
    ]
    if wrong:
        wanted = ", ".join(f"{n!r} of type {columns[n].type}" for n in wrong)
        there = ", ".join(f"{f.name} {f.type}" for f in found)
        raise DamagedRun(
            f"{path} has no column {wanted} (found: {there})",
            "Pages and detection rely on these columns",
            "If the file comes from another trainer, import that log instead of copying the file "
            "here",
        )
    _checked[key] = frozenset(found.names)
    return _checked[key]


def find_runs(places: Iterable[str | Path]) -> list[Path]:
    """Folders with a run.json: the places themselves, or their direct children."""
    found: list[Path] = []
    for place in map(Path, places):
        inside = sorted(p.parent for p in place.glob("*/run.json")) if place.is_dir() else []
        found += [place] if (place / "run.json").exists() else inside
    return list(dict.fromkeys(p.resolve() for p in found))


def request_stop(path: str | Path) -> None:
    """Ask the process that trains this run to end after its current step."""
    (Path(path) / STOP).touch()


def sample_runs() -> Path:
    """The folder of the runs that come with the project, in a checkout or inside an installed
    package.
    """
    package = Path(__file__).parent.parent
    installed = package / "sample_runs"
    return installed if installed.is_dir() else package.parent / "sample_runs"
