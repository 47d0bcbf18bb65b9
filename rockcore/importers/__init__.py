"""Logs of other trainers, imported as runs: one declarative mapping a format.

    import_run(format_named("table"), [Path("tokens.parquet")], Path("runs/mine"))

A format is a `Format` in a module of its own; a line in IMPORTERS makes it known. Nothing here
loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal

from rockcore.lazy import load_from

if TYPE_CHECKING:
    from rockcore.importers.format import BadExport, Format, Options
    from rockcore.importers.report import Report
    from rockcore.importers.writing import Progress, import_run

__all__ = [
    "AUTO",
    "IMPORTERS",
    "BadExport",
    "Estimator",
    "Format",
    "Options",
    "Progress",
    "Report",
    "StudentLogps",
    "format_named",
    "import_run",
]
AUTO = "auto"  # in the place of a format: it is recognised by its fields
StudentLogps = Literal["trainer", "sampler"]  # whose to take, where an export has both
Estimator = Literal["full", "topk+tail", "topk"]  # what a column kl of an export can be
_HOMES = {
    "BadExport": "rockcore.importers.format",
    "Format": "rockcore.importers.format",
    "Options": "rockcore.importers.format",
    "Progress": "rockcore.importers.writing",
    "Report": "rockcore.importers.report",
    "import_run": "rockcore.importers.writing",
}
__getattr__ = load_from(__name__, _HOMES)


def format_named(name: str) -> Format:
    """The format that `rockcore import` calls so. Raises BadExport, which names those there are."""
    from rockcore.importers.format import BadExport

    if name not in IMPORTERS:
        raise BadExport(
            f"{ascii(name)[:80]} is no format",
            f"There are {', '.join(IMPORTERS)}",
            "Give one of them, or auto to have it recognised",
        )
    module, _, attribute = IMPORTERS[name].rpartition(".")
    return getattr(import_module(module), attribute)


# name -> where its Format is; a module is loaded when its format is asked for
IMPORTERS: dict[str, str] = {
    "slime": "rockcore.importers.slime.SLIME",
    "miles": "rockcore.importers.miles.MILES",
    "rock-token": "rockcore.importers.authors.ROCK_TOKEN",
    "nemo-rl": "rockcore.importers.nemo_rl.NEMO_RL",
    "prime-rl": "rockcore.importers.prime_rl.PRIME_RL",
    "rlloggingboard": "rockcore.importers.rl_logging_board.RL_LOGGING_BOARD",
    "opd-viz": "rockcore.importers.opd_viz.OPD_VIZ",
    "tinker": "rockcore.importers.tinker.TINKER",
    "trl": "rockcore.importers.texts.TRL",
    "ms-swift": "rockcore.importers.texts.MS_SWIFT",
    "verl": "rockcore.importers.texts.VERL",
    "roll": "rockcore.importers.texts.ROLL",
    "kdflow": "rockcore.importers.texts.KDFLOW",
    "verifiers": "rockcore.importers.prime_rl.VERIFIERS",
    "table": "rockcore.importers.table.TABLE",
}
