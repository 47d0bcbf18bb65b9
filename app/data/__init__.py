"""What pages may ask: rockcore's answers, cached by run and arguments, and nothing else.

Each part is loaded when it is first asked for, so that a page pays for what it shows.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.data import (
        arms,
        cards,
        children,
        compare,
        filters,
        gradients,
        imports,
        knockouts,
        lessons,
        notes,
        reports,
        rocks,
        rules,
        runs,
        shelves,
        steps,
        texts,
        token,
        trainings,
    )

__all__ = [
    "arms",
    "cards",
    "children",
    "compare",
    "filters",
    "gradients",
    "imports",
    "knockouts",
    "lessons",
    "notes",
    "reports",
    "rocks",
    "rules",
    "runs",
    "shelves",
    "steps",
    "texts",
    "token",
    "trainings",
]


def __getattr__(name: str) -> ModuleType:
    """The part of this name (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"app.data.{name}")
