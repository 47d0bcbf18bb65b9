"""The folders of runs: found, opened and checked, and told apart by what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rockcore import schema
from rockcore.log.checks import vocabulary
from rockcore.log.files import check_schema, read_whole, table_file, table_files
from rockcore.log.listing import mark, mark_of
from rockcore.log.passed import passed
from rockcore.schema import DamagedRun, RockError, RunMeta, RunNotFound

META, STOP, CATEGORIES = "run.json", "stop", "categories.toml"
PLAN, RUNS = "arms.json", "runs"  # of a comparison of arms: what belongs to it, where its runs lie
ROCKS = "rocks.json"  # the set that a training weighed by
STDOUT = "output.txt"  # where a page that starts a run lets it print


def read_run(path: Path) -> RunMeta:
    """The meta data of a run; all its files have the columns that they should, and its vocabulary
    can be one. What stands in the other files is checked when it is first read.

    Raises RunNotFound if there is none, DamagedRun if a file is missing or unreadable,
    SchemaMismatch if it was written under another version of the schema.
    """
    _refuse_nameless(path)
    meta = _read_meta(path)
    for table in schema.TABLES.values():
        if not _check_columns(path, table) and table.required:
            raise DamagedRun(
                f"{path} has no {table.pattern}",
                "Tokens cannot be shown by their text",
                "Copy it from a backup, or train or import the run again",
            )
    vocabulary(path)  # every page names tokens; other files are read when they are asked for
    return meta


def _refuse_nameless(path: Path) -> None:
    """Raises DamagedRun for a path that is no text."""
    try:
        str(path).encode()
    except UnicodeEncodeError as e:
        raise DamagedRun(
            f"The path {ascii(str(path))} is not UTF-8",
            "It can be neither shown nor handed to the database",
            "Rename the folder",
        ) from e


def _check_columns(path: Path, table: schema.LogTable) -> bool:
    """Whether there is a file of the table; raises DamagedRun if one has other columns."""
    files = table_files(path, table.name)  # raises for what is no folder, or cannot be listed
    if not table.per_step:
        return any(check_schema(file, table.columns) for file in files)
    if files:
        passed(path / table.folder, "columns", lambda file: check_schema(file, table.columns))
    return bool(files)


def _read_meta(path: Path) -> RunMeta:
    file = path / META
    try:
        text = read_whole(file)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise _no_run(path) from e
    return RunMeta.from_json(text, file)


def _no_run(path: Path) -> RockError:
    """What is at `path` instead of a run."""
    todo = "Give the folder that holds run.json; `rockcore train --out DIR` writes one"
    if not path.is_dir():
        found = f"{path} is {'a file' if path.exists() else 'missing'}"
        return RunNotFound(found, "A run is a folder", todo)
    why = "run.json says what the numbers mean"
    if table_file(path, "vocab").exists():
        found = f"{path} is half-written: it has vocab.parquet but no run.json"
        return DamagedRun(found, why, todo)
    with suppress(OSError):
        if not os.listdir(path):
            return RunNotFound(f"{path} is empty", "There is nothing to show", todo)
    return RunNotFound(f"{path} is no run: it has no run.json", why, todo)


def fingerprint(path: Path) -> str:
    """Changes whenever a file of the run does: the key of every cache. Every process says the
    same.
    """
    single = [META, CATEGORIES, *(t.file() for t in schema.TABLES.values() if not t.per_step)]
    total = 0
    for name in single:
        with suppress(OSError, ValueError):  # not there, or dropped by a run that goes on
            stat = os.stat(path / name)
            total += mark(name, stat.st_size, stat.st_mtime_ns)
    for table in schema.TABLES.values():
        if table.per_step and (files := mark_of(path / table.folder, table.is_file)):
            total += mark(table.folder, files, 0)
    return f"{total % 2**64:016x}"


def last_written(path: Path) -> float:
    """When the run last wrote a step, in seconds since 1970. Raises RunNotFound if it is gone."""
    times = []
    for file in (path / META, *table_files(path, "metrics")[-1:]):
        with suppress(FileNotFoundError):  # dropped by a run that goes on
            times.append(file.stat().st_mtime)
    if not times:
        raise _no_run(path)
    return max(times)


def find_runs(places: Iterable[str | Path]) -> list[Path]:
    """Folders with a run.json: the places themselves, or their direct children; of a comparison of
    arms its runs.
    """
    found: list[Path] = []
    for place in map(Path, places):
        if os.path.exists(place / META):
            found.append(place)
            continue
        found += holding(META, place)
        if os.path.exists(place / PLAN):
            found += holding(META, place / RUNS)
    return [Path(path) for path in dict.fromkeys(map(os.path.realpath, found))]


def holding(name: str, place: Path) -> list[Path]:
    """The folders just below a place that hold a file called so; none where it cannot be listed."""
    try:
        children = sorted(os.listdir(place))
    except (OSError, ValueError):
        return []
    return [place / child for child in children if os.path.exists(place / child / name)]


def request_stop(path: str | Path) -> None:
    """Ask the process that trains this run to end after its current step."""
    (Path(path) / STOP).touch()


def is_stop_requested(path: str | Path) -> bool:
    """Whether the process that trains this run was asked to end; it is so until it goes on."""
    return (Path(path) / STOP).exists()
