"""The scales on which two runs are read alike: quantiles over the tokens of both.

One run on both sides counts once. A scale is a dict, as the text pane takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rockcore import schema
from rockcore.analysis.signals import QUANTILES, SIGNED_QUANTILES
from rockcore.log import Run

DIFFERENCE = "difference"  # the name of B − A among the signals of a pane
_TAU_QUANTILE = 0.90
_SIDE = np.geomspace(1e-3, 20.0, 25)


def quantiles(
    a: Run, b: Run, signal: str, probabilities: Sequence[float], absolute: bool
) -> tuple[int, list[float]]:
    """How many tokens count in both runs, and quantiles over all of them; see `Run.quantiles`."""
    return a.quantiles(signal, probabilities, absolute, None if _one_run(a, b) else b)


def _one_run(a: Run, b: Run) -> bool:
    return a.path == b.path


def threshold(a: Run, b: Run, signal: str) -> float | None:
    """The 0.90 quantile of |signal| over the tokens of both runs; None where nothing is
    logged.
    """
    _, edges = quantiles(a, b, signal, (_TAU_QUANTILE,), True)
    return edges[0] if edges else None


def joint_scale(a: Run, b: Run, scale_a: dict[str, Any], scale_b: dict[str, Any]) -> dict[str, Any]:
    """The scale of a signal over both runs, from the scale of either: the same quantiles over all
    tokens that count, and the histograms added up.
    """
    if _one_run(a, b):
        return scale_a
    signed = scale_a["kind"] == "diverging"
    shares = list(SIGNED_QUANTILES if signed else QUANTILES)
    tokens, edges = quantiles(a, b, scale_a["of"], shares, signed)
    if signed:
        edges, shares = _both_ways(edges), shares[::-1] + shares
    return {
        **scale_a,
        "edges": edges,
        "quantiles": shares if edges else [],
        "counts": np.add(scale_a["counts"], scale_b["counts"]).tolist(),
        "tokens": tokens,
        "over": "both runs",
    }


def difference_scale(a: Run, b: Run, signal: str) -> dict[str, Any]:
    """The scale of B − A: fixed for the two runs, its anchors are quantiles of |signal| over the
    tokens of both.

    None lies below the noise floor. It has no counts: the bars are those of the text shown.
    """
    tokens, edges = quantiles(a, b, signal, SIGNED_QUANTILES, True)
    floor = max(schema.noise_floor(run.meta.dtype) for run in (a, b))
    return {
        "name": DIFFERENCE,
        "kind": "diverging",
        "unit": schema.TOKENS[signal].unit,
        "meaning": f"{signal} of B minus {signal} of A.",
        "of": "",
        "edges": _both_ways([max(edge, floor) for edge in edges]),
        "quantiles": [*reversed(SIGNED_QUANTILES), *SIGNED_QUANTILES],
        "bins": _both_ways(_SIDE.tolist(), [0.0]),
        "counts": [],
        "tokens": tokens,
    }


def _both_ways(edges: list[float], middle: list[float] | None = None) -> list[float]:
    return [-e for e in reversed(edges)] + (middle or []) + edges
