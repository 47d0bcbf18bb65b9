"""The scales on which two runs are read alike: quantiles over the fresh tokens of both.

One run on both sides counts once. A scale is a dict, as the text pane takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rockcore import schema
from rockcore.log import Run

DIFFERENCE = "difference"  # the name of B − A among the signals of a pane
# of |signal|: where the colours of B − A change
DIFFERENCE_QUANTILES = (0.50, 0.75, 0.90, 0.97, 0.99)
_TAU_QUANTILE = 0.90
_SIDE = np.geomspace(1e-3, 20.0, 25)


def quantiles(
    a: Run, b: Run, signal: str, probabilities: Sequence[float], absolute: bool
) -> tuple[int, list[float]]:
    """How many fresh tokens both runs have, and quantiles over all of them; see `Run.quantiles`."""
    return a.quantiles(signal, probabilities, absolute, None if _one_run(a, b) else b)


def _one_run(a: Run, b: Run) -> bool:
    return a.path == b.path


def threshold(a: Run, b: Run, signal: str) -> float | None:
    """The 0.90 quantile of |signal| over the fresh tokens of both runs; None where nothing is
    logged.
    """
    _, edges = quantiles(a, b, signal, (_TAU_QUANTILE,), True)
    return edges[0] if edges else None


def joint_scale(a: Run, b: Run, scale_a: dict[str, Any], scale_b: dict[str, Any]) -> dict[str, Any]:
    """The scale of a signal over both runs, from the scale of either: the same quantiles over all
    fresh tokens, and the histograms added up.
    """
    if _one_run(a, b):
        return scale_a
    signed = scale_a["kind"] == "diverging"
    probabilities = scale_a["quantiles"]
    if signed:
        probabilities = probabilities[len(probabilities) // 2 :]
    tokens, edges = quantiles(a, b, scale_a["of"], probabilities, signed)
    return {
        **scale_a,
        "edges": _both_ways(edges) if signed else edges,
        "counts": np.add(scale_a["counts"], scale_b["counts"]).tolist(),
        "tokens": tokens,
        "over": "both runs",
    }


def difference_scale(a: Run, b: Run, signal: str) -> dict[str, Any]:
    """The scale of B − A: fixed for the two runs, its anchors are quantiles of |signal| over the
    fresh tokens of both.

    None lies below the noise floor. It has no counts: the bars are those of the text shown.
    """
    tokens, edges = quantiles(a, b, signal, DIFFERENCE_QUANTILES, True)
    floor = max(schema.noise_floor(run.meta.dtype) for run in (a, b))
    return {
        "name": DIFFERENCE,
        "kind": "diverging",
        "unit": schema.TOKENS[signal].unit,
        "meaning": f"{signal} of B minus {signal} of A.",
        "of": "",
        "edges": _both_ways([max(edge, floor) for edge in edges]),
        "quantiles": [*reversed(DIFFERENCE_QUANTILES), *DIFFERENCE_QUANTILES],
        "bins": _both_ways(_SIDE.tolist(), [0.0]),
        "counts": [],
        "tokens": tokens,
    }


def _both_ways(edges: list[float], middle: list[float] | None = None) -> list[float]:
    return [-e for e in reversed(edges)] + (middle or []) + edges
