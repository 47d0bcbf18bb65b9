"""Rock Token Explorer: run a small on-policy distillation, log every token, find the ones that stay
hard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rockcore.lazy import load_from

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
__getattr__ = load_from(__name__, _HOMES)
