"""The training of a lecture: small enough to be done within a minute, and safe to leave running. It
has one folder, so there is never a second one, and a reset removes that folder and no other.
Reached through app.data.trainings.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app import access
from app.data import children, turns
from app.data.orders import RUNS, start_training
from rockcore.log.holders import holder_of
from rockcore.schema import RockError

NAME = "lecture-demo"
SETTINGS: Mapping[str, Any] = {
    "scenario": "habit",
    "steps": 15,
    "rollouts": 16,
    "probe_every": 5,
    "probes": 8,
    "final_probes": 32,
    "held_out": 16,
}


class NotTheDemo(RockError, ValueError):
    """What lies in the demo's folder is not removed."""


def start_demo() -> Path:
    """Start the demo, or put it into the queue. Raises what start_training does."""
    return start_training(SETTINGS, NAME)


def is_demo_there() -> bool:
    """Whether the demo has been started, or something else has its folder."""
    return (RUNS / NAME).exists() or (RUNS / NAME).resolve() in turns.waiting()


def reset_demo() -> None:
    """End the demo, and remove its run. Raises NotTheDemo where the folder holds anything else, or
    another dashboard trains it; Refused for a visitor who may not act.
    """
    access.require("Resetting the demo")
    folder = RUNS / NAME
    if folder.resolve() in turns.waiting():
        turns.cancel(folder)
        return
    _refuse_other(folder)
    children.kill(folder.resolve())
    if (holder := holder_of(folder.resolve())) is not None and holder.alive:
        raise NotTheDemo(
            f"{folder} is being trained by another process",
            "It would go on into a folder that is gone",
            "Stop it where it was started, then reset",
        )
    shutil.rmtree(folder)


def _refuse_other(folder: Path) -> None:
    if folder.is_symlink() or not folder.is_dir() or not _is_ours(folder):
        raise NotTheDemo(
            f"{folder} is not what the demo writes",
            "A reset removes the demo's run and nothing else",
            "Move it away, then start the demo again",
        )


def _is_ours(folder: Path) -> bool:
    """By the settings in its run.json; before there is one, by holding nothing but its output."""
    try:
        told = json.loads((folder / "run.json").read_text(encoding="utf-8"))["config"]
        return all(told.get(name) == value for name, value in SETTINGS.items())
    except FileNotFoundError:
        files = [file.name for file in folder.iterdir() if not file.name.startswith(".")]
        return folder.resolve() in children.started() or files == [children.OUTPUT]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
