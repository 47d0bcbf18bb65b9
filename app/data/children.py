"""Trainings started from a page: child processes `python -m rockcore train …` that outlive it.
Reached through app.data.

The page never imports torch; the child prints into output.txt of its run's folder, and the log it
writes is the rest.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rockcore.schema import RockError

OUTPUT = "output.txt"
_ROOT = Path(__file__).resolve().parent.parent
_children: dict[
    Path, subprocess.Popen[bytes]
] = {}  # of this server; a training started by an earlier one is not here


class CannotStart(RockError, ValueError):
    """The training was not started."""


@dataclass(frozen=True)
class Order:
    """What to train. Either a scenario of the built-in world, or student, teacher and prompts;
    None: the default there.
    """

    scenario: str = ""
    student: str = ""
    teacher: str = ""
    prompts: str = ""
    steps: int | None = None
    rollouts: int | None = None
    lr: float | None = None
    seed: int | None = None

    def flags(self) -> list[str]:
        """The arguments of `rockcore train`; what is empty is left away."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return [f"--{name}={value}" for name, value in given.items() if value not in ("", None)]


def can_train() -> bool:
    return importlib.util.find_spec("torch") is not None


def start(order: Order, folder: Path) -> None:
    """Start the training that writes its run to `folder`; raises CannotStart if the folder is taken
    or a field is missing.
    """
    if not order.scenario and not (order.student and order.teacher and order.prompts):
        raise CannotStart(
            "Student, teacher or prompts are not given",
            "An own pair needs all three",
            "Fill in the three fields",
        )
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CannotStart(
                f"{folder} already holds files",
                "A new run would mix with them",
                "Choose another name",
            )
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / OUTPUT).open("wb") as output:
            _children[folder.resolve()] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "rockcore",
                    "train",
                    "--out",
                    str(folder.resolve()),
                    *order.flags(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ
                | {
                    "PYTHONPATH": os.pathsep.join(
                        [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
                    ),
                    "PYTHONUNBUFFERED": "1",
                },
                start_new_session=True,  # Ctrl-C on the dashboard leaves it training
            )
    except OSError as e:
        raise CannotStart(
            f"{folder} cannot be written ({e.strerror})",
            "The log needs a place",
            "Start the dashboard in a folder you may write to",
        ) from e


def exit_code(folder: Path) -> int | None:
    """The exit code of a training this server started and that has ended; None otherwise."""
    child = _children.get(folder.resolve())
    return None if child is None else child.poll()


def cancel(folder: Path) -> None:
    """End a training that has not begun to log, and so cannot see a request to stop."""
    if is_alive(folder):
        _children[folder.resolve()].terminate()


def is_alive(folder: Path) -> bool:
    child = _children.get(folder.resolve())
    return child is not None and child.poll() is None


def started() -> list[Path]:
    """The folders of all trainings that this server started."""
    return list(_children)


def output(folder: Path, lines: int = 20) -> str:
    """The last lines that the training printed; a progress bar's overwritten lines are left out."""
    file = folder / OUTPUT
    if not file.exists():
        return ""
    with file.open("rb") as f:
        f.seek(max(0, file.stat().st_size - 20_000))
        text = f.read().decode("utf-8", errors="replace")
    kept = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join(line for line in kept[-lines:] if line.strip())
