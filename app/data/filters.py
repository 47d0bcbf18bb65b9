"""A rule's set in the formats of other trainers, as `rockcore.exporters` writes them."""

from __future__ import annotations

from app.data import rocks, runs
from app.data.runs import RunKey
from rockcore.exporters import EXPORTERS, Exporter, Found
from rockcore.rocks import RockRule

__all__ = ["EXPORTERS", "Exporter"]


def rendered(run: RunKey, rule: RockRule, format: str, weight: float) -> bytes:
    """The file of a format. Raises BadExport, DamagedRun."""
    report = rocks.found(run, rule).report
    found = Found(report.rock_set, weight, runs.log(run), report)
    return EXPORTERS[format].rendered(found)
