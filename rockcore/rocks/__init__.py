"""From a run and a rule to its Rock Tokens. Reads logs; loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rockcore.lazy import load_from

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
__getattr__ = load_from(__name__, _HOMES)
