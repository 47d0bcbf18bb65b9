"""What a scan can fail of, each in three parts."""

from __future__ import annotations

from rockcore.schema import RockError


class BadScan(RockError, ValueError):
    """A scan that cannot be made as it was asked for."""


class NotScanned(RockError, LookupError):
    """Partials that are not there, or not all of them."""


class NoEngine(RockError, ImportError):
    """A program that a scan was told to run on, and that is not installed or not there."""
