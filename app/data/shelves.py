"""What a form may pick from disk: models, prompts, rock sets and logs in the folders that the
command line named. Reached through app.data.

A page never takes a path. It takes a name from here, and what a name stands for is looked up anew
when a training starts; what a symbolic link leads out of its folder is not on a shelf.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from app import access
from app.data import runs
from rockcore.log.files import read_whole
from rockcore.log.folders import ROCKS
from rockcore.schema import RockError, strict_json

_DEEPEST, _MOST = 2, 500
_PROMPTS = (".jsonl", ".parquet")
# as trainers write them: what the formats of rockcore.importers look for
_LOGS = (".pt", ".jsonl", ".ndjson", ".json", ".zst", ".parquet", ".csv", ".tsv", ".sqlite")


class NotOffered(RockError, LookupError):
    """What was asked for lies in none of the named folders."""


def models() -> dict[str, Path]:
    """Name -> folder of each model; all its files lie inside the named folder, too."""
    return _shelf(access.terms().models, _is_model)


def prompts() -> dict[str, Path]:
    """Name -> file of each prompts file."""
    return _shelf(access.terms().prompts, lambda path, _: _is_file(path, _PROMPTS))


def sets() -> dict[str, Path]:
    """Name -> file of each rock set: those in the named folders, and what runs were trained by."""
    found = _shelf(access.terms().sets, lambda path, _: _is_file(path, (".json",)))
    for name, run in runs.offered().items():
        root = Path(run)
        if (root / ROCKS).is_file() and _inside(root / ROCKS, root.resolve()):
            found[f"{name}/{ROCKS}"] = root / ROCKS
    return found


def logs() -> dict[str, Path]:
    """Name -> file or folder of each log of another trainer."""
    return _shelf(access.terms().logs, lambda path, _: path.is_dir() or _is_file(path, _LOGS))


def refuse_links_out(path: Path, what: str) -> None:
    """Raises NotOffered for a folder with a link inside that leads out of it: whoever reads the
    folder follows it to anywhere.
    """
    root = path.resolve()
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            entry = Path(folder) / name
            if entry.is_symlink() and not _inside(entry, root):
                raise NotOffered(
                    f"{what} {ascii(path.name)[:80]} holds a link that leads out of it, "
                    f"{ascii(name)[:80]}",
                    "A page only takes what lies in the folders that rockcore app was started with",
                    "Put the file itself there, or import it on the command line",
                )


def named(shelf: dict[str, Path], name: str, what: str) -> Path:
    """What a name stands for. Raises NotOffered for one that is not on the shelf."""
    if name in shelf:
        return shelf[name]
    raise NotOffered(
        f"{what} {ascii(name)[:80]} is not among the {len(shelf)} that are offered",
        "A page only takes what lies in the folders that rockcore app was started with",
        "Pick one of the list, or start rockcore app with the folder it lies in: see "
        "rockcore app --help",
    )


def _shelf(roots: Iterable[Path], belongs: Callable[[Path, Path], bool]) -> dict[str, Path]:
    """Name -> path of what belongs; where two would have one name, both have their whole path."""
    access.require("Looking into folders")
    found: list[tuple[str, Path]] = []
    for root in roots:
        own = root.resolve()
        for path in islice(chain([own], _below(own, _DEEPEST)), _MOST):
            if _inside(path, own) and belongs(path, own):
                found.append((path.relative_to(own.parent).as_posix(), path))
    names = [name for name, _ in found]
    return {name if names.count(name) == 1 else str(path): path for name, path in found}


def _below(folder: Path, deep: int) -> Iterator[Path]:
    """What lies in a folder, in order, and in those inside it; nothing hidden."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:  # not ours to read
        return
    for path in inside:
        if not path.name.startswith("."):
            yield path
            if deep > 1 and path.is_dir():
                yield from _below(path, deep - 1)


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # links in a circle
        return False


def _is_model(path: Path, root: Path) -> bool:
    try:
        return (path / "config.json").is_file() and all(
            _inside(file, root) for file in chain(path.rglob("*"), _parts(path))
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # not ours to read, or an index of parts that is none


def _parts(model: Path) -> Iterator[Path]:
    """The files that an index of weights names: who loads them follows a path to anywhere."""
    for index in model.glob("*.index.json"):
        for name in set(strict_json.parse(read_whole(index))["weight_map"].values()):
            yield model / name


def _is_file(path: Path, endings: tuple[str, ...]) -> bool:
    try:
        return path.suffix in endings and path.is_file()
    except OSError:
        return False
