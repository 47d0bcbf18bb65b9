"""What a form orders: the names and numbers of a training, checked before it is started. Reached
through app.data.trainings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app import access
from app.data import shelves, turns
from app.data.children import CannotStart
from rockcore import config
from rockcore.config import Setting

RUNS = Path("runs")  # where a page lets its trainings write
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
_OF_WINDOWS = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.I)  # devices everywhere
_SHELVES: dict[str, tuple[Callable[[], dict[str, Path]], str]] = {
    "student": (shelves.models, "The student"),
    "teacher": (shelves.models, "The teacher"),
    "prompts": (shelves.prompts, "The prompts file"),
    "rocks": (shelves.sets, "The rock set"),
}


def asked_for() -> list[Setting]:
    """The settings that a form asks for; all others are for the command line."""
    return [setting for setting in config.settings() if setting.in_form]


def start_training(settings: Mapping[str, Any], name: str) -> Path:
    """Start a training that writes to ./runs/NAME, or put it into the queue, with settings by their
    names in SessionConfig; models, prompts and the set by their names in app.data.shelves.

    Raises CannotStart if that cannot be, NotOffered for a name that is on no shelf, Refused for a
    visitor who may not act.
    """
    access.require("Starting a training")
    refuse_name(name)
    found = {
        setting: str(shelves.named(shelf(), settings[setting], about))
        for setting, (shelf, about) in _SHELVES.items()
        if settings.get(setting)
    }
    whole = {setting.name: _whole(setting, settings.get(setting.name)) for setting in asked_for()}
    turns.start({**settings, **whole, **found}, RUNS / name)
    return RUNS / name


def refuse_name(name: str) -> None:
    """Raises CannotStart for what is no name of a folder below ./runs."""
    if not _NAME.fullmatch(name) or _OF_WINDOWS.fullmatch(name):
        raise CannotStart(
            f"{ascii(name)[:80]} is no name for a folder",
            "Runs started here go to ./runs/NAME, on any system",
            "Use at most 64 letters, digits, dashes, dots and underscores; it begins with a letter "
            "or digit, and does not end with a dot",
        )


def _whole(setting: Setting, value: Any) -> Any:
    """A number of a form as its setting is: a browser knows one kind of number."""
    if not setting.whole or not isinstance(value, float):
        return value
    if value.is_integer():
        return int(value)
    raise CannotStart(f"{setting.name} = {value:g}", "It counts something", "Give a whole number")


def offered(setting: str) -> list[str]:
    """The names that a form may give a setting which stands for a file or folder."""
    return sorted(_SHELVES[setting][0]())
