"""Runs on disk: written by `RunWriter`, asked by `Run`; only `duck` knows DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rockcore.lazy import load_from

if TYPE_CHECKING:
    from rockcore.log.folders import find_runs, is_stop_requested, request_stop
    from rockcore.log.run import Run
    from rockcore.log.samples import sample_runs
    from rockcore.log.writer import RunWriter

__all__ = [
    "Run",
    "RunWriter",
    "find_runs",
    "is_stop_requested",
    "request_stop",
    "sample_runs",
]
_HOMES = {
    "find_runs": "rockcore.log.folders",
    "is_stop_requested": "rockcore.log.folders",
    "request_stop": "rockcore.log.folders",
    "sample_runs": "rockcore.log.samples",
    "Run": "rockcore.log.run",
    "RunWriter": "rockcore.log.writer",
}
__getattr__ = load_from(__name__, _HOMES)
