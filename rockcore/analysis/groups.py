"""Rocks against rare types of high KL and against others: mean gradients compared without the two
traps.

Types that were chosen because a number was high fall when it is measured again, so each half of the
rollouts chooses and the other half measures (even and odd folds, both ways). And the mean of few
gradients is long by noise alone, so lengths are free of it, or taken at one number of occurrences
for all. The naive numbers stand beside them, under that name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis.geometry import Geometry, Lengths, root
from rockcore.schema import FOLDS

GROUPS = ("rocks", "rare, high KL", "others")
HALVES = {"even": np.arange(FOLDS) % 2 == 0, "odd": np.arange(FOLDS) % 2 == 1}
STATS = ("norm", "norm_equal", "cos_balanced", "cos_global", "kl")
_T = 2.364624  # 97.5 % quantile of Student's t with 7 degrees of freedom: 8 folds to a half


class RockChoice(NamedTuple):
    """Token ids of the Rock Tokens, the best first: as all rollouts choose them, and as either half
    does alone.
    """

    all: np.ndarray
    even: np.ndarray  # by the rollouts of even id, which are the even folds
    odd: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """`groups`: one row a group. `tests`: rocks against each other group. `members`: the values
    behind both.

    groups: group, types (as all rollouts choose), measured (types with a value on the half that did
    not choose them, both halves added up), and for norm, norm_equal (at `n_equal` occurrences),
    cos_balanced, cos_global, kl: the median over types, cross-fitted, with _low and _high (95 %,
    jackknife over the measuring folds, the choice held fixed) and _naive (chosen and measured on
    all rollouts, nothing corrected). Of lengths the median is that of their squares, because an
    estimate below 0 is a small length and not a missing one. negative: measured types whose squared
    length is not positive. tests: other, stat, p and superiority (probability that a rock's value
    is the larger one; 0.5 if alike) cross-fitted, n_rocks, n_other, p_naive, superiority_naive;
    ratio of the medians with _low and _high, where they are positive. members: token_id, group,
    chosen_by (even, odd: values of the other half; all: naive), n, norm_sq and the stats.
    """

    groups: pd.DataFrame
    tests: pd.DataFrame
    members: pd.DataFrame
    n_equal: int


def compare(geometry: Geometry, choosing: Geometry, rocks: RockChoice, seed: int = 0) -> Comparison:
    """The three groups of the paper at one step, cross-fitted.

    `choosing`: the step at whose mean kl the rare types are chosen (the first one, as a rule), of
    the same texts. Rare types: those of the highest mean kl with at least 2 occurrences, no rocks,
    as many as there are rocks; others: as many again, drawn at random from the rest. Source: arXiv
    2605.09253, section 3, which chooses and measures on the same rollouts. Raises DamagedRun if the
    two steps are of other texts.
    """
    geometry.refuse_other_texts(choosing)
    chosen = {
        name: _groups(geometry, choosing, ids, HALVES.get(name), seed)
        for name, ids in rocks._asdict().items()
    }
    n_equal = _least_n(geometry, chosen)
    naive = _naive_values(geometry, n_equal)
    crossed = {half: _Measured(geometry, ~HALVES[half], n_equal) for half in HALVES}
    members = pd.concat(
        [
            _members(geometry, chosen["all"], naive, "all"),
            *(_members(geometry, chosen[h], crossed[h].values, h) for h in HALVES),
        ],
        ignore_index=True,
    )
    groups: list[dict[str, object]] = []
    medians: dict[tuple[str, str], _Median] = {}
    for g, name in enumerate(GROUPS):
        row = {"group": name, "types": int(chosen["all"][g].sum())}
        row |= {
            "measured": sum(
                int(np.isfinite(crossed[h].values["norm_sq"][chosen[h][g]]).sum()) for h in HALVES
            )
        }
        row |= {
            "negative": sum(
                int((crossed[h].values["norm_sq"][chosen[h][g]] <= 0).sum()) for h in HALVES
            )
        }
        for stat in STATS:
            medians[name, stat] = found = _median(crossed, {h: chosen[h][g] for h in HALVES}, stat)
            row |= dict(
                zip((stat, f"{stat}_low", f"{stat}_high"), found.interval(stat), strict=True)
            )
            row[f"{stat}_naive"] = _nanmedian(naive[stat][chosen["all"][g]])
        groups.append(row)
    tests = [_test(members, medians, other, stat) for other in GROUPS[1:] for stat in STATS]
    return Comparison(pd.DataFrame(groups), pd.DataFrame(tests), members, n_equal)


def _groups(
    geometry: Geometry,
    choosing: Geometry,
    rock_ids: np.ndarray,
    folds: np.ndarray | None,
    seed: int,
) -> list[np.ndarray]:
    """(T,) bool for each of GROUPS, from the folds that choose (all of them if None)."""
    w = np.ones(FOLDS) if folds is None else folds.astype(float)
    n, kl = choosing.columns["n"] @ w, choosing.columns["kl_sum"] @ w
    rocks = np.isin(geometry.types, rock_ids)
    k = int(rocks.sum())
    mean = np.where((n >= 2) & ~rocks, kl / np.maximum(n, 1), -1.0)
    rare = np.zeros(len(n), bool)
    rare[np.argsort(-mean, kind="stable")[:k]] = True
    rare &= mean > 0
    rest = np.flatnonzero(~rocks & ~rare & (n >= 2))
    others = np.zeros(len(n), bool)
    others[np.random.default_rng(seed).permutation(rest)[:k]] = True
    return [rocks, rare, others]


def _least_n(geometry: Geometry, chosen: dict[str, list[np.ndarray]]) -> int:
    """The smallest number of occurrences, at least 2, that a compared type has on the half that
    measures it.
    """
    found = [(geometry.columns["n"] @ ~HALVES[h])[np.any(chosen[h], axis=0)] for h in HALVES]
    n = np.concatenate(found)
    return int(n[n >= 2].min(initial=np.inf)) if (n >= 2).any() else 2


def _values(geometry: Geometry, w: np.ndarray, n_equal: int) -> dict[str, np.ndarray]:
    known = geometry.lengths(w)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "n": known.n,
            "norm_sq": known.squared,
            "norm": root(known.squared),
            "norm_equal": at_equal_n(geometry, known, w, n_equal),
            "cos_balanced": geometry.cosines(w, balanced=True).corrected,
            "cos_global": geometry.cosines(w, balanced=False).corrected,
            "kl": np.where(
                np.isfinite(known.squared), geometry.columns["kl_sum"] @ w / known.n, np.nan
            ),
        }


def _naive_values(geometry: Geometry, n_equal: int) -> dict[str, np.ndarray]:
    every = np.ones(FOLDS)
    known = geometry.lengths(every)
    naive = {
        name: geometry.cosines(every, balanced).naive
        for name, balanced in (("cos_balanced", True), ("cos_global", False))
    }
    kl = geometry.columns["kl_sum"].sum(1) / known.n
    equal = at_equal_n(geometry, known, every, n_equal)
    return {
        "n": known.n,
        "norm_sq": known.naive**2,
        "norm": known.naive,
        "norm_equal": equal,
        **naive,
        "kl": kl,
    }


def at_equal_n(geometry: Geometry, known: Lengths, w: np.ndarray, n: int) -> np.ndarray:
    """(T,) naive length ||mean of n|| to be expected of n occurrences in different rollouts: its
    noise is the same for all types.

    ||mu||² + tr(Sigma) / n, where tr(Sigma) is the mean of ||g||² less ||mu||².
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = geometry.columns["sq_sum"] @ w / known.n - known.squared
        return root(known.squared + noise / n)


class _Measured:
    """Values of all types on some folds, and again with each of these folds left out."""

    def __init__(self, geometry: Geometry, folds: np.ndarray, n_equal: int):
        w = folds.astype(float)
        self.values = _values(geometry, w, n_equal)
        self.without = [
            _values(geometry, np.where(np.arange(FOLDS) == f, 0.0, w), n_equal)
            for f in np.flatnonzero(folds)
        ]


class _Median(NamedTuple):
    value: float  # of lengths, the square
    deviations: np.ndarray  # (16,), one a fold left out: their squares add up to the variance

    def interval(self, stat: str) -> tuple[float, float, float]:
        half = _T * np.sqrt((self.deviations**2).sum())
        found = np.array([self.value, self.value - half, self.value + half])
        if stat == "norm":
            found = root(found)
        elif stat in ("norm_equal", "kl"):
            found = np.maximum(found, 0.0)
        return tuple(found.tolist())


def _median(measured: dict[str, _Measured], chosen: dict[str, np.ndarray], stat: str) -> _Median:
    """The mean of both halves' medians."""
    source = "norm_sq" if stat == "norm" else stat
    whole = [_nanmedian(measured[h].values[source][chosen[h]]) for h in HALVES]
    parts = [
        np.array([_nanmedian(values[source][chosen[h]]) for values in measured[h].without])
        for h in HALVES
    ]
    deviations = [(p - p.mean()) / 2 * np.sqrt((len(p) - 1) / len(p)) for p in parts]
    return _Median(float(np.mean(whole)), np.concatenate(deviations))


def _ratio(mine: _Median, theirs: _Median, power: float) -> tuple[float, float, float]:
    """Quotient of two medians with an interval that is symmetric in its logarithm: both move
    together, fold by fold.
    """
    if not (mine.value > 0 and theirs.value > 0):
        return np.nan, np.nan, np.nan
    ratio = mine.value / theirs.value
    spread = np.exp(
        _T * np.sqrt(((mine.deviations / mine.value - theirs.deviations / theirs.value) ** 2).sum())
    )
    return ratio**power, (ratio / spread) ** power, (ratio * spread) ** power


def _nanmedian(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan


def _members(
    geometry: Geometry, groups: list[np.ndarray], values: dict[str, np.ndarray], chosen_by: str
) -> pd.DataFrame:
    parts = []
    for name, chosen in zip(GROUPS, groups, strict=True):
        columns = {stat: values[stat][chosen] for stat in ("n", "norm_sq", *STATS)}
        parts.append(
            pd.DataFrame(
                {
                    "token_id": geometry.types[chosen],
                    "group": name,
                    "chosen_by": chosen_by,
                    **columns,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _test(
    members: pd.DataFrame, medians: dict[tuple[str, str], _Median], other: str, stat: str
) -> dict[str, object]:
    column = "norm_sq" if stat == "norm" else stat
    found = {
        by: _mann_whitney(some[some.group == "rocks"][column], some[some.group == other][column])
        for by, some in members.groupby("chosen_by")
    }
    halves = [found[h] for h in HALVES if h in found]
    ratio = (np.nan,) * 3
    if not stat.startswith("cos"):
        ratio = _ratio(medians["rocks", stat], medians[other, stat], 0.5 if stat == "norm" else 1.0)
    return {
        "other": other,
        "stat": stat,
        # either half alone is a valid test; the smaller p counts twice
        "p": min(1.0, 2 * min((h.p for h in halves), default=np.nan)),
        "superiority": float(np.mean([h.superiority for h in halves])) if halves else np.nan,
        "n_rocks": sum(h.n for h in halves),
        "n_other": sum(h.n_other for h in halves),
        "p_naive": found["all"].p if "all" in found else np.nan,
        "superiority_naive": found["all"].superiority if "all" in found else np.nan,
        **dict(zip(("ratio", "ratio_low", "ratio_high"), map(float, ratio), strict=True)),
    }


class _Ranks(NamedTuple):
    p: float
    superiority: float
    n: int
    n_other: int


def _mann_whitney(mine: Any, other: Any) -> _Ranks:
    from scipy.stats import mannwhitneyu

    a, b = (x[np.isfinite(x)] for x in (mine.to_numpy(), other.to_numpy()))
    if not len(a) or not len(b):
        return _Ranks(np.nan, np.nan, len(a), len(b))
    found = mannwhitneyu(a, b, alternative="two-sided")
    return _Ranks(float(found.pvalue), float(found.statistic / (len(a) * len(b))), len(a), len(b))
