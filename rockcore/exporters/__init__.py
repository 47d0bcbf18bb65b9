"""Take a rock set to a trainer: as ids, weights, masks, or as a module that the trainer loads.

A format is a function that writes one file, and a line in EXPORTERS. Knows only `rocks` and the
log, and loads no torch: what runs beside a trainer is in `rockcore.recorders`.
"""

from __future__ import annotations

from rockcore.exporters.formats import EXPORTERS, Exporter
from rockcore.exporters.found import BadExport, Found

__all__ = ["EXPORTERS", "BadExport", "Exporter", "Found"]
