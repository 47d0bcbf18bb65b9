"""How long the mean gradients of a group of types are together, at one step."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from rockcore.analysis.geometry import Geometry, length_columns
from rockcore.analysis.jackknife import jackknife
from rockcore.schema import FOLDS


class GroupLength(NamedTuple):
    """The root mean square of the lengths, without noise; see Geometry.table for the names."""

    step: int
    texts: int | None  # that the gradients are of; None where that is not known
    types: int  # with a length
    told: int  # types whose own length is told from 0
    norm: float
    norm_low: float
    norm_high: float
    norm_told: bool
    norm_most: float


def group_length(geometry: Geometry, token_ids: Collection[int]) -> GroupLength:
    """Of the types that occur in different rollouts; NaN where there is none.

    A mean of squares, because it changes smoothly when a fold is left out, unlike a median of few
    types, and needs no half of the texts for itself. So the types must not be chosen by the
    lengths. Where they were chosen by the loss of the very same texts it is somewhat too large; the
    upper end still bounds it.
    """
    inside = np.isin(geometry.types, list(token_ids))
    inside &= np.isfinite(geometry.lengths(np.ones(FOLDS)).squared)
    if not inside.any():
        nan = float("nan")
        return GroupLength(geometry.step, geometry.texts, 0, 0, nan, nan, nan, False, nan)

    def mean_square(w: np.ndarray) -> np.ndarray:
        """(1,); types that are gone with the folds left out are not counted."""
        squared = geometry.lengths(w).squared[inside]
        known = squared[np.isfinite(squared)]
        return np.array([known.mean() if len(known) else np.nan])

    own = geometry.jackknife(lambda w: geometry.lengths(w).squared).told[inside]
    columns = length_columns("norm", jackknife(mean_square, np.ones((1, FOLDS), bool)))
    return GroupLength(
        step=geometry.step,
        texts=geometry.texts,
        types=int(inside.sum()),
        told=int(own.sum()),
        norm=float(columns["norm"][0]),
        norm_low=float(columns["norm_low"][0]),
        norm_high=float(columns["norm_high"][0]),
        norm_told=bool(columns["norm_told"][0]),
        norm_most=float(columns["norm_most"][0]),
    )
