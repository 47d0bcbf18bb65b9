"""Runs on disk: written by `RunWriter`, asked by `Run`; only `duck` knows DuckDB."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rockcore.log.folders import find_runs, request_stop, sample_runs
    from rockcore.log.run import Run
    from rockcore.log.writer import RunWriter

__all__ = ["Run", "RunWriter", "find_runs", "request_stop", "sample_runs"]
_HOMES = {
    "find_runs": "rockcore.log.folders",
    "request_stop": "rockcore.log.folders",
    "sample_runs": "rockcore.log.folders",
    "Run": "rockcore.log.run",
    "RunWriter": "rockcore.log.writer",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
