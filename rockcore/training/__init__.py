"""A small on-policy distillation session that logs every token. Needs torch and transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rockcore.lazy import load_from

if TYPE_CHECKING:
    from rockcore.training.session import train

__all__ = ["train"]
_HOMES = {
    "train": "rockcore.training.session",
}
__getattr__ = load_from(__name__, _HOMES)
