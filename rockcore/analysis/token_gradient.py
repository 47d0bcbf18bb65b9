"""Where the mean gradient of one token type points, in sentences made from the row that measures
it: as far as that can be told from noise.
"""

from __future__ import annotations

import math
from typing import Any

from rockcore.schema import FOLDS


def pointing(row: Any) -> list[str]:
    """How long its mean gradient is without noise, and which way it points. `row`: of
    geometry.Geometry.table.
    """
    sentence = (
        f"A single occurrence has a gradient of length {row.grad_norm:.3g}; the mean of its "
        f"{row.n} in {row.folds} of {FOLDS} groups of texts is {row.norm_naive:.3g} long as it "
        "stands, "
    )
    if math.isnan(row.norm):
        return [f"{sentence}all of them in one text, so what of it is noise cannot be told."]
    sentence += f"and without its noise {length(row, 'norm', too_few(row))}."
    if not row.norm_told:
        return [sentence, "Its direction cannot be told."]
    if math.isnan(row.cos_balanced):
        return [
            sentence,
            "Which way the other types pull together cannot be told from noise, so there is no "
            "cosine with it.",
        ]
    between = interval(row.cos_balanced_low, row.cos_balanced_high)
    if math.isnan(row.cos_balanced_low):
        between = "no interval: without some of the texts its length is within its noise"
    return [
        sentence,
        f"{_way(row.cos_balanced_low, row.cos_balanced_high)}: cosine {row.cos_balanced:.2f} "
        f"({between}; {row.cos_balanced_naive:.2f} as it stands).",
    ]


def _way(low: float, high: float) -> str:
    """Whether a type points where the others do, as far as the interval of the cosine says so."""
    if low > 0:
        return "It points along the other types' mean"
    if high < 0:
        return "It points against the other types' mean"
    return "Whether it points along the other types' mean or against it cannot be told"


def length(row: Any, name: str, no_interval: str) -> str:
    """A length with its interval, or its bound where it is not told from 0. `row`: with `name`,
    _low, _high, _told and _most; `no_interval`: the reason where there is none.
    """
    value, low, high, most = (
        getattr(row, f"{name}{end}") for end in ("", "_low", "_high", "_most")
    )
    if math.isnan(value):
        return "unknown"
    if math.isnan(low):
        return f"{value:.3g} ({no_interval})"
    if not getattr(row, f"{name}_told"):
        return f"at most {most:.3g} (approximate 95 %; it is not told from 0)"
    return f"{value:.3g} ({interval(low, high)})"


def interval(low: float, high: float) -> str:
    return f"approximate 95 % interval {low:.3g} to {high:.3g}"


def too_few(row: Any) -> str:
    return f"no interval: it stands in {row.folds} of {FOLDS} groups of texts, which is too few"
