"""From a run and a rule to its Rock Tokens. Reads logs; loads no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rockcore.rocks.examined import Examined
    from rockcore.rocks.report import RockReport
    from rockcore.rocks.rockset import RockSet
    from rockcore.rocks.rule import RockRule
    from rockcore.rocks.search import detect

__all__ = ["Examined", "RockReport", "RockRule", "RockSet", "detect"]
_HOMES = {
    "Examined": "rockcore.rocks.examined",
    "RockReport": "rockcore.rocks.report",
    "RockRule": "rockcore.rocks.rule",
    "RockSet": "rockcore.rocks.rockset",
    "detect": "rockcore.rocks.search",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
