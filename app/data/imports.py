"""The door to imports: logs of other trainers that a page turns into runs, by a child process
`python -m rockcore import …` that outlives it. They take turns with trainings. Reached through
app.data.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from app import access
from app.data import children, runs, shelves, turns
from app.data.children import CannotStart
from app.data.orders import RUNS, refuse_name
from app.data.runs import RunKey
from rockcore.config import free_folder
from rockcore.importers import AUTO, IMPORTERS, Estimator, StudentLogps
from rockcore.schema import RockError

JUDGES, ESTIMATORS = get_args(StudentLogps), get_args(Estimator)
_DOING = "Starting an import"
_MOST_REMEMBERED = 100
_started: OrderedDict[Path, None] = OrderedDict()  # the folders of this server's imports


class Told(NamedTuple):
    """What a person says of an export that it does not say itself; what is empty is not given."""

    renames: str = ""  # COLUMN=FIELD, one a line
    steps: str = ""  # of the files in their order, with commas
    student_logps: str = ""
    estimator: str = ""
    opd: bool = False
    reference_is_teacher: bool = False


class Watched(NamedTuple):
    """An import as its page shows it: the run once there is one, whether to look again, one line on
    how it stands, and what it printed.
    """

    run: RunKey | None
    going_on: bool
    line: str
    output: str


def formats() -> list[str]:
    """The formats that can be named, the one that is recognised by its fields first."""
    return [AUTO, *IMPORTERS]


def logs() -> list[str]:
    """The names of the files and folders that a form may import."""
    return sorted(shelves.logs())


def tokenizers() -> list[str]:
    """The names of the models whose tokenizer a form may give."""
    return sorted(shelves.models())


def free_name() -> str:
    """A name under ./runs that is not taken yet."""
    return free_folder("imported", [folder.name for folder in turns.waiting()]).name


def start_import(
    format: str, names: Sequence[str], tokenizer: str, name: str, told: Told | None = None
) -> Path:
    """Start an import that writes to ./runs/NAME, or put it into the queue. `names` and
    `tokenizer`: by their names in app.data.shelves; no tokenizer if that is empty.

    Raises CannotStart if that cannot be, NotOffered for a name that is on no shelf, Refused for a
    visitor who may not act.
    """
    access.require(_DOING)
    refuse_name(name)
    if format not in formats() or not names:
        raise CannotStart(
            "No log is picked" if not names else f"{ascii(format)[:80]} is no format",
            "There is nothing to import" if not names else f"There are {', '.join(formats())}",
            "Pick at least one" if not names else "Pick one of them",
        )
    paths = [shelves.named(shelves.logs(), each, "The log") for each in names]
    for path in paths:
        shelves.refuse_links_out(path, "The log")
    flags = _flags(told or Told())
    if tokenizer:
        flags.append(f"--tokenizer={shelves.named(shelves.models(), tokenizer, 'The tokenizer')}")
    folder = RUNS / name
    out = ["--out", str(folder.resolve())]
    command = [sys.executable, "-m", "rockcore", "import", format, *map(str, paths), *out, *flags]
    turns.enqueue(command, folder, _DOING)
    _remember(folder)
    return folder


def _flags(told: Told) -> list[str]:
    """The arguments of `rockcore import`, each one word: no value is taken for a flag."""
    renames = [f"--map={line.strip()}" for line in told.renames.splitlines() if line.strip()]
    words = {
        "--steps": told.steps.replace(" ", ""),
        "--student-logps": told.student_logps,
        "--estimator": told.estimator,
    }
    switches = {"--opd": told.opd, "--reference-is-teacher": told.reference_is_teacher}
    given = [f"{flag}={word}" for flag, word in words.items() if word]
    return [*renames, *given, *(flag for flag, on in switches.items() if on)]


def _remember(folder: Path) -> None:
    _started[folder.resolve()] = None
    while len(_started) > _MOST_REMEMBERED:
        _started.popitem(last=False)


def imports() -> list[str]:
    """Names under ./runs of the imports that this server has started, the latest first."""
    return [folder.name for folder in reversed(_started)]


def cancel(name: str) -> None:
    """Take an import out of the queue, or end it: nothing of it is left. Raises Refused for a
    visitor who may not act.
    """
    turns.cancel(RUNS / name)


def watch(name: str) -> Watched:
    """How the import into ./runs/NAME stands."""
    folder = RUNS / name
    if name in (waiting := [each.name for each in turns.waiting()]):
        place, of = waiting.index(name) + 1, len(waiting)
        line = f"Waiting, place {place} of {of}: trainings and imports take turns."
        return Watched(None, True, line, "")
    if (why := turns.why_it_never_began(folder)) is not None:
        return Watched(None, False, f"Its turn came, and it could not be started: {why}", "")
    code, printed = children.exit_code(folder), children.output(folder)
    if code is None and children.is_alive(folder):
        return Watched(None, True, "Importing. A run appears when all of it is there.", printed)
    if not (folder / "run.json").exists():
        ended = "" if code is None else f" (exit code {code})"
        return Watched(
            None, False, f"Nothing was imported{ended}; the reason should stand below.", printed
        )
    try:
        return Watched(runs.key(str(folder.resolve())), False, "Imported.", printed)
    except RockError as e:
        return Watched(None, False, str(e), printed)
