"""Rock Token Explorer: run a small on-policy distillation, log every token, find the ones that stay
hard.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rockcore.log import Run
    from rockcore.rocks import RockRule, RockSet, detect

__all__ = ["RockRule", "RockSet", "Run", "detect"]
_HOMES = {
    "Run": "rockcore.log",
    "RockRule": "rockcore.rocks",
    "RockSet": "rockcore.rocks",
    "detect": "rockcore.rocks",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
