"""`rockcore report`: the paper's analyses on a run of one's own, as one file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import tyro

from rockcore.commands.console import err, out
from rockcore.commands.options import BadOptions, chosen_rule
from rockcore.commands.rocks import SetOption
from rockcore.rocks.rule import PRESETS
from rockcore.schema import RockError

if TYPE_CHECKING:
    from rockcore.analysis.report import Part

_ADDRESS = "http://localhost:8501"


class BadReport(RockError, OSError):
    """A file of a report that could not be written."""


@dataclass(frozen=True)
class Report:
    """Write what the paper asks of a run as one HTML file: no network, figures to save, the notes
    that readers pinned. What the run has nothing for says why, and what would give it.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path = Path("report.html")
    """The file to write. One that is there is not overwritten."""
    figures: Path | None = None
    """A folder for the figures, new or empty: each as SVG and as PNG."""
    address: str = _ADDRESS
    """Where the dashboard runs that the links open."""
    arms: Path | None = None
    """The comparison of arms that belongs to the run; default: one of the same training beside
    it.
    """
    preset: Annotated[str | None, tyro.conf.arg(help=f"{', '.join(PRESETS)}.")] = None
    rule: Path | None = None
    """A rule as a JSON file, as the dashboard saves it."""
    set: SetOption = ()
    step: int | None = None
    """Checkpoint after training; default: the last one logged."""


def run(command: Report) -> None:
    address = _checked_address(command.address)
    _refuse_in_the_way(command.out)
    _refuse_full(command.figures)
    rule = chosen_rule(command.rule, command.preset, command.set, command.step)

    from rockcore.analysis.report import Asked, make_report, write_report
    from rockcore.log import Run
    from rockcore.rocks import Examined

    asked = Asked(Examined(Run.open(command.run), rule), command.arms)
    with err.status("opening the run") if err.is_terminal else nullcontext() as status:
        told: Callable[[str], None] = status.update if status is not None else (lambda _: None)
        parts = tuple(make_report(asked, told))
    _write(command.out, write_report(asked, parts, address).encode())
    missing = [part.title for part in parts if part.found is None]
    there, notes = len(parts) - len(missing), len(asked.notes.found)
    _say(f"{command.out}: {there} of {len(parts)} parts, {notes} note{'s' * (notes != 1)}")
    if missing:
        _say(f"Missing, and why is said there: {', '.join(missing)}")
    if command.figures is not None:
        _say(f"{command.figures}: {_write_figures(command.figures, parts)} figures, SVG and PNG")


def _say(sentence: str) -> None:
    out.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _checked_address(address: str) -> str:
    """Raises BadOptions for what is no address of a dashboard: the links begin with it."""
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if not (good and plain and address.isascii() and address.isprintable() and " " not in address):
        raise BadOptions(
            f"--address {ascii(address)[1:-1][:60]}",
            "The links of the report begin with it",
            f"Give the address of a dashboard, such as {_ADDRESS}",
        )
    return address.rstrip("/")


def _refuse_in_the_way(file: Path) -> None:
    """Raises BadOptions where a report cannot be put without a loss."""
    if file.is_dir():
        raise BadOptions(f"{file} is a folder", "A report is one file", f"Give {file}/report.html")
    if file.exists() or file.is_symlink():
        raise BadOptions(f"{file} is there already", "It would be lost", "Give another --out")


def _refuse_full(folder: Path | None) -> None:
    """Raises BadOptions where figures would mix with what is there."""
    if folder is None or not (folder.exists() or folder.is_symlink()):
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise BadOptions(
            f"--figures {folder} {'holds files' if folder.is_dir() else 'is a file'} already",
            "Figures of two reports in one folder cannot be told apart",
            "Name a folder that is new or empty",
        )


def _write(file: Path, content: bytes) -> None:
    """Under another name, then renamed. Raises BadReport."""
    from rockcore.log.files import commit
    from rockcore.schema import LogWriteError

    try:
        commit(file, lambda tmp: tmp.write_bytes(content))
    except LogWriteError as e:
        raise BadReport(
            f"{file} could not be written ({getattr(e.__cause__, 'strerror', None) or e})",
            "Nothing of it is there",
            "Free space, mend the permissions or give another path",
        ) from e


def _write_figures(folder: Path, parts: tuple[Part, ...]) -> int:
    figures = [f for part in parts if part.found is not None for f in part.found.figures]
    files = {
        folder / f"{f.name}.{kind}": content
        for f in figures
        for kind, content in (("svg", f.svg.encode()), ("png", f.png))
    }
    for file, content in files.items():
        _write(file, content)
    return len(figures)
