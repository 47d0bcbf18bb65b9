"""What became of each type's mean gradient: early against late, on the same texts.

Both ends are free of noise as in `geometry`, and no number chose the types, so none falls by being
measured again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis.geometry import Geometry, length_columns
from rockcore.analysis.jackknife import weigh
from rockcore.analysis.shares import IN_SET, OUTSIDE
from rockcore.analysis.spreads import Spread, spread_of_factors
from rockcore.schema import FOLDS

_MOST = 3_000  # types that are drawn


@dataclass(frozen=True)
class _Ends:
    """Two steps of one probe set, and the products of their sums."""

    first: Geometry
    last: Geometry
    between: np.ndarray  # (T, F, F)

    def ratio(self, w: np.ndarray) -> np.ndarray:
        """(T,) log of the late over the early length; NaN where either is not positive."""
        with np.errstate(divide="ignore", invalid="ignore"):
            early, late = self.first.lengths(w).squared, self.last.lengths(w).squared
            return np.where((early > 0) & (late > 0), np.log(late / early) / 2, np.nan)

    def cosine(self, w: np.ndarray) -> np.ndarray:
        """(T,) between early and late direction, from different folds."""
        n_TF, same_TF = self.first.columns["n"], np.einsum("tff->tf", self.between)
        with np.errstate(divide="ignore", invalid="ignore"):
            product = weigh(self.between, w) - same_TF @ w**2
            product /= (n_TF @ w) ** 2 - n_TF**2 @ w**2
            early, late = self.first.lengths(w).squared, self.last.lengths(w).squared
            return np.where((early > 0) & (late > 0), product / np.sqrt(early * late), np.nan)

    def kl_change(self, w: np.ndarray) -> np.ndarray:
        """(T,) late minus early mean kl, nats."""
        with np.errstate(divide="ignore", invalid="ignore"):
            sums = self.last.columns["kl_sum"] - self.first.columns["kl_sum"]
            return sums @ w / (self.first.columns["n"] @ w)


def early_and_late(first: Geometry, last: Geometry) -> pd.DataFrame:
    """What became of each type's mean gradient on the same texts, one row a type.

    token_id, n, folds; kl_first, kl_last, kl_change with _low, _high (nats a token); norm_first,
    norm_last (corrected) with _low, _high, _told, _most as in Geometry.table, and with _naive;
    ratio = norm_last / norm_first with _low, _high; ratio_most, its upper end where the late length
    is not told from 0; cosine (between early and late direction, from different folds, within -1
    and 1) with _low, _high and _naive. Ratio and cosine are NaN unless both lengths are told from
    0: else they are noise. Raises DamagedRun if the texts are not the same.
    """
    first.refuse_other_texts(last)
    every, ends = np.ones(FOLDS), _Ends(first, last, first.products(last))
    early, late = first.lengths(every), last.lengths(every)
    columns: dict[str, Any] = {"token_id": first.types, "n": early.n.astype(int)}
    columns["folds"] = (first.columns["n"] > 0).sum(1)
    for name, geometry, lengths in (("first", first, early), ("last", last, late)):
        squared = geometry.jackknife(lambda w, geometry=geometry: geometry.lengths(w).squared)
        columns[f"kl_{name}"] = geometry.columns["kl_sum"].sum(1) / early.n
        columns |= length_columns(f"norm_{name}", squared)
        columns[f"norm_{name}_naive"] = lengths.naive
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths_n2 = early.naive * late.naive * early.n**2
        columns["cosine_naive"] = weigh(ends.between, every) / lengths_n2
        bound = columns["norm_last_most"] / columns["norm_first_low"]
    early_told, late_told = columns["norm_first_told"], columns["norm_last_told"]
    columns["ratio_most"] = np.where(early_told & ~late_told, bound, np.nan)
    always, both = np.ones(len(first.types), bool), early_told & late_told
    for name, value, back, told in (
        ("kl_change", ends.kl_change, lambda x: x, always),
        ("ratio", ends.ratio, np.exp, both),
        ("cosine", ends.cosine, lambda x: np.clip(x, -1.0, 1.0), both),
    ):
        for end, x in zip(("", "_low", "_high"), first.jackknife(value), strict=True):
            columns[f"{name}{end}"] = np.where(told, back(x), np.nan)
    return pd.DataFrame(columns)


class Ends(NamedTuple):
    """One number of the types, early and late, where it is told from 0 at both."""

    frame: pd.DataFrame  # early, late beside the names; the first 3,000 types
    positive: int  # types that are told from 0 at both
    types: int
    factors: Spread  # late over early: Rock Tokens, other types
    span: tuple[float, float]  # the least and the largest of all ends that are drawn


def positive_ends(change: pd.DataFrame, what: str) -> Ends:
    """`early_and_late` with names, drawn by kl or by norm: only positive numbers have a logarithm,
    and a length that is positive by chance says nothing of a change.

    `change`: with in_set; `what`: "kl" or "norm".
    """
    ends = change.assign(early=change[f"{what}_first"], late=change[f"{what}_last"])
    told = (ends.early > 0) & (ends.late > 0)
    if what == "norm":
        told &= ends.norm_first_told & ends.norm_last_told
    known = ends[told]
    drawn = known.head(_MOST)
    both = drawn[["early", "late"]].to_numpy(float)
    span = (float(both.min()), float(both.max())) if len(drawn) else (1.0, 1.0)
    factor, inside = (known.late / known.early).to_numpy(float), known.in_set.to_numpy(bool)
    factors = spread_of_factors({IN_SET: factor[inside], OUTSIDE: factor[~inside]})
    return Ends(drawn, len(known), len(change), factors, span)
