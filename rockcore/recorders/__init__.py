"""Recorders write our log from other trainers while these train: what they already compute for each
token, in the same columns, so that every page and command reads it like a run of our own.

Each trainer has a file here; what they gather becomes files in `rows`. The trainers themselves are
imported inside functions only: to import this package needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rockcore.lazy import load_from

if TYPE_CHECKING:
    from rockcore.recorders.trl import record

__all__ = ["record"]
_HOMES = {"record": "rockcore.recorders.trl"}
__getattr__ = load_from(__name__, _HOMES)
