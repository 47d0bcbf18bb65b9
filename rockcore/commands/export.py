"""`rockcore export`: a rock set as a file that another trainer reads."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rockcore.commands.console import err, out
from rockcore.commands.options import BadOptions, chosen_rule
from rockcore.commands.rocks import SetOption
from rockcore.rocks.rule import PRESETS

if TYPE_CHECKING:
    from rockcore.exporters import Found

# of rockcore.exporters.EXPORTERS, which a command line that exports nothing does not load
FORMATS = "ids rock-vs-control weights weights-parquet mask trl slime verl kdflow prime-rl".split()


@dataclass(frozen=True)
class Export:
    """Take a rock set to a trainer: as ids, weights, a mask, or as a module that it loads."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of the run; not needed for a set of --rocks, unless its positions are asked for."""
    to: Annotated[str, tyro.conf.arg(help=f"{', '.join(FORMATS)}.")] = "weights"
    out: Path | None = None
    """The file to write; default: the usual name of the format, here. One that is there is not
    overwritten.
    """
    weight: float = 0.0
    """How often the loss of these tokens counts; 0 leaves it out."""
    rocks: Path | None = None
    """A rock set as a JSON file, in place of a rule."""
    preset: Annotated[str | None, tyro.conf.arg(help=f"{', '.join(PRESETS)}.")] = None
    rule: Path | None = None
    """A rule as a JSON file, as the dashboard saves it."""
    set: SetOption = ()
    step: int | None = None
    """Checkpoint after training; default: the last one logged."""


def run(command: Export) -> None:
    from rockcore.exporters import EXPORTERS, BadExport
    from rockcore.log.files import commit
    from rockcore.schema import LogWriteError

    if command.to not in EXPORTERS:
        raise BadOptions(
            f"--to {ascii(command.to)[1:-1][:40]}",
            "There is no such format",
            f"Give one of {', '.join(EXPORTERS)}",
        )
    exporter = EXPORTERS[command.to]
    file = Path(exporter.file) if command.out is None else command.out
    if file.exists():
        raise BadOptions(f"{file} is there already", "It would be lost", "Give another --out")
    with err.status("looking for rocks") if err.is_terminal else nullcontext():
        found = _found(command)

        def write(tmp: Path) -> None:
            with tmp.open("wb") as sink:
                exporter.write(found, sink)

        try:
            commit(file, write)
        except LogWriteError as e:
            raise BadExport(
                f"{file} could not be written ({getattr(e.__cause__, 'strerror', None) or e})",
                "Nothing of it is there",
                "Free space, mend the permissions or give another --out",
            ) from e
    k = len(found.rocks.ids)
    _say(f"{file}: {k} token type{'s' * (k != 1)}, weight {found.weight:g}")
    for sentence in filter(None, (exporter.warning, _difference(found, command.to))):
        _say(sentence)


def _say(sentence: str) -> None:
    out.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _difference(found: Found, to: str) -> str:
    """What the off-by-one of the authors' freeze would be in this run."""
    from rockcore.exporters.masks import freezes

    if to not in ("ids", "kdflow", "mask") or found.run is None:
        return ""
    counted = freezes(found)
    return f"In the last logged step, {counted}" if counted.tokens else ""


def _found(command: Export) -> Found:
    """Raises BadOptions for flags that contradict each other, and as detection does."""
    from rockcore.exporters import Found
    from rockcore.interventions import load_set
    from rockcore.log import Run
    from rockcore.rocks.search import detect

    run = None if command.run is None else Run.open(command.run)
    if command.rocks is not None:
        flags = ("preset", "rule", "set", "step")
        given = [flag for flag in flags if getattr(command, flag) not in (None, ())]
        if given:
            raise BadOptions(
                f"--rocks and --{given[0]}",
                "The set in the file was found by its own rule",
                "Leave one of them out",
            )
        return Found(load_set(command.rocks), command.weight, run)
    if run is None:
        raise BadOptions(
            "neither a run nor --rocks",
            "There is nothing to export",
            "Name the folder of a run, or a rock set with --rocks",
        )
    rule = chosen_rule(command.rule, command.preset, command.set, command.step)
    report = detect(run, rule)
    return Found(report.rock_set, command.weight, run, report)
