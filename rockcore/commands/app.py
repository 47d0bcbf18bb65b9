"""`rockcore app`: the dashboard, for this machine, or for a network where that is asked for."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rockcore.schema import RockError

Several = tyro.conf.UseAppendAction  # --models A --models B: what follows may be a run


class NoFolder(RockError, NotADirectoryError):
    """A folder that the dashboard was told to offer is none."""


@dataclass(frozen=True)
class App:
    """Open the dashboard in a browser. It prints a link: whoever has it may start and stop
    trainings and save rules; to look on this machine needs none.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Runs, folders of runs, or comparisons of arms; default: the sample runs and ./runs."""
    port: int = 8501
    """Port to listen on."""
    headless: bool = False
    """Do not open a browser window."""
    private: bool = False
    """Let nobody look without a link either: for a machine that others use too."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but this machine's own (127.0.0.1) opens the dashboard to the
    network: then nobody may look without a link, and two are printed, to look and also to act.
    """
    allow_host: Annotated[tuple[str, ...], Several] = ()
    """A further name that browsers may call this server by, such as that of a proxy before it, with
    :PORT where they show one; may be given several times. A proxy lets others in: with any name but
    localhost nobody may look without a link.
    """
    trainings: int = 1
    """How many trainings started from the page run at once; the others wait in a queue."""
    models: Annotated[tuple[Path, ...], Several] = ()
    """A folder of models that the page may train; may be given several times. Default: ./models and
    those of the sample runs.
    """
    prompts: Annotated[tuple[Path, ...], Several] = ()
    """A folder of prompts that the page may train on; may be given several times. Default:
    ./prompts.
    """
    sets: Annotated[tuple[Path, ...], Several] = ()
    """A folder of rock sets that the page may train by, beside those of the runs; may be given
    several times. Default: ./sets.
    """
    logs: Annotated[tuple[Path, ...], Several] = ()
    """A folder of logs of other trainers that the page may import; may be given several times.
    Default: ./logs.
    """
    memory: str | None = None
    """Memory that questions to a log and detections may take, such as 8GB; default:
    ROCKCORE_MEMORY, else half of the machine's.
    """


def run(command: App) -> None:
    if command.memory is not None:
        from rockcore import memory  # loads numpy

        memory.take(command.memory)
    for place in command.runs:
        _refuse_none(place)
    serve = Path(__file__).parents[2] / "app" / "serve.py"
    wanted = json.dumps(asdict(command) | _shelves(command), default=lambda p: str(p.resolve()))
    sys.argv = [str(serve), wanted]
    # in this process: a second Python would have to start, and load again what is loaded here
    runpy.run_path(str(serve), run_name="__main__")


def _refuse_none(place: Path) -> None:
    """Raises RunNotFound or DamagedRun where there is nothing to show."""
    if (place / "run.json").exists():
        return  # most often, and to look further loads Arrow
    from rockcore.log import find_runs
    from rockcore.log.arms import find_arms

    if not find_runs([place]) and not find_arms([place]):
        from rockcore.log import Run  # a second to load: only to say what is wrong

        Run.open(place)


def _shelves(command: App) -> dict[str, list[Path]]:
    """What the page may pick from: the folders that are named, else the usual ones that there are.
    Raises NoFolder for a named one that is none.
    """
    from rockcore.log import sample_runs

    usual = {
        "models": [Path("models"), sample_runs() / "models"],
        "prompts": [Path("prompts")],
        "sets": [Path("sets")],
        "logs": [Path("logs")],
    }
    for name in usual:
        for folder in getattr(command, name):
            if not folder.is_dir():
                raise NoFolder(
                    f"--{name} {folder} is no folder",
                    "A page offers what lies in it",
                    "Give a folder that exists",
                )
    return {
        name: list(getattr(command, name)) or [folder for folder in folders if folder.is_dir()]
        for name, folders in usual.items()
    }
