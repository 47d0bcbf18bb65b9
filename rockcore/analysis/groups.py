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

from rockcore.analysis.geometry import Geometry, Lengths, length_columns, root
from rockcore.analysis.group_statistics import Median, known_median, mann_whitney, ratio
from rockcore.analysis.jackknife import Estimate
from rockcore.analysis.spreads import Spread, spread_between, spread_of_logarithms
from rockcore.schema import FOLDS

GROUPS = ("Rock Tokens", "rare, high KL", "others")
HALVES = {"even": np.arange(FOLDS) % 2 == 0, "odd": np.arange(FOLDS) % 2 == 1}
BALANCED = {"cos_balanced": True, "cos_global": False}
STATS = ("norm", "norm_equal", *BALANCED, "kl")


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

    groups: group, types (as all rollouts choose), measured (types with a value on a half that did
    not choose them), and for norm, norm_equal (at `n_equal` occurrences), cos_balanced, cos_global,
    kl: the median over types, cross-fitted, with _low and _high (approximate 95 %, jackknife over
    the measuring folds, the types held fixed) and _naive (chosen and measured on all rollouts,
    nothing corrected). Of lengths the median is that of their squares, because an estimate below 0
    is a small length and not a missing one; norm_told: whether it is told from 0, norm_most: its
    upper end. negative: measured types whose squared length is not positive on either half.

    tests: other, stat, p and superiority (probability that a rock's value is the larger one; 0.5 if
    alike) cross-fitted, n_rocks, n_other (types, each counted once), p_naive, superiority_naive;
    ratio of the medians with _low and _high, or one of these as a bound (group_statistics.ratio):
    there the types are taken as drawn, so few of them make it wide. members: token_id, group,
    chosen_by (even, odd: values of the other half; all: naive), n, norm_sq and the stats.
    """

    groups: pd.DataFrame
    tests: pd.DataFrame
    members: pd.DataFrame
    n_equal: int
    texts: int | None  # that the gradients are of

    def spread(self, stat: str, naive: bool) -> Spread:
        """How a stat spreads by group: cosines from -1 to 1, all else on a logarithmic axis. Each
        type counts once, with the mean of what either half says of it.
        """
        members: Any = by_type(self.members.loc[(self.members.chosen_by == "all") == naive])
        values = {name: members[stat][members.group == name].to_numpy(float) for name in GROUPS}
        if stat.startswith("cos"):
            return spread_between(values, -1.0, 1.0)
        return spread_of_logarithms(values)

    def test(self, other: str, stat: str) -> Any:
        """The row of `tests` on rocks against another group, its columns as attributes."""
        of = (self.tests.other == other) & (self.tests.stat == stat)
        return next(self.tests[of].itertuples())

    def group(self, name: str) -> Any:
        """The row of `groups` of one group, its columns as attributes."""
        return next(self.groups[self.groups.group == name].itertuples())

    def naive_values(self, group: str, stat: str) -> int:
        """How many types of a group, chosen by all rollouts, have a naive value."""
        own = self.members.loc[(self.members.chosen_by == "all") & (self.members.group == group)]
        return int(own[stat].notna().sum())


def by_type(members: pd.DataFrame) -> pd.DataFrame:
    """One row a group and type: the means over the halves that know it, of lengths that of their
    squares.
    """
    found: Any = members.groupby(["group", "token_id"], as_index=False)[["norm_sq", *STATS]].mean()
    return found.assign(norm=root(found.norm_sq.to_numpy(float)))


def compare(geometry: Geometry, choosing: Geometry, rocks: RockChoice) -> Comparison:
    """The three groups of the paper at one step, cross-fitted.

    `choosing`: the step at whose mean kl the rare types are chosen (the first one, as a rule), of
    the same texts. Rare types: those of the highest mean kl with at least 2 occurrences, no rocks,
    as many as there are rocks; others: all the rest with at least 2 occurrences. Source: arXiv
    2605.09253, section 3, which chooses and measures on the same rollouts, and draws the others at
    random. Raises DamagedRun if the two steps are of other texts.
    """
    geometry.refuse_other_texts(choosing)
    chosen = {
        name: _groups(geometry, choosing, ids, HALVES.get(name))
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
    medians = {
        (name, stat): _median(geometry, crossed, {h: chosen[h][g] for h in HALVES}, stat)
        for g, name in enumerate(GROUPS)
        for stat in STATS
    }
    rows = [
        _counted(g, chosen, crossed) | _in_numbers(g, chosen["all"][g], medians, naive)
        for g in range(len(GROUPS))
    ]
    tests = [_test(members, medians, other, stat) for other in GROUPS[1:] for stat in STATS]
    return Comparison(pd.DataFrame(rows), pd.DataFrame(tests), members, n_equal, geometry.texts)


def _counted(
    g: int, chosen: dict[str, list[np.ndarray]], crossed: dict[str, _Measured]
) -> dict[str, Any]:
    """How many types of a group are chosen and measured."""
    squared = np.stack(
        [np.where(chosen[h][g], crossed[h].values["norm_sq"], np.nan) for h in HALVES]
    )
    known = np.isfinite(squared).any(axis=0)
    return {
        "group": GROUPS[g],
        "types": int(chosen["all"][g].sum()),
        "measured": int(known.sum()),
        "negative": int((known & ~(squared > 0).any(axis=0)).sum()),
    }


def _in_numbers(
    g: int,
    all_chosen: np.ndarray,
    medians: dict[tuple[str, str], Median],
    naive: dict[str, np.ndarray],
) -> dict[str, Any]:
    """The medians of a group: cross-fitted with their intervals, and naive."""
    row: dict[str, Any] = {}
    for stat in STATS:
        found = np.array(medians[GROUPS[g], stat].interval())
        if stat == "norm":
            row |= length_columns(stat, Estimate(*found))
            found = root(found)
        elif stat in ("norm_equal", "kl"):
            found = np.maximum(found, 0.0)
        row |= dict(zip((stat, f"{stat}_low", f"{stat}_high"), found.tolist(), strict=True))
        row[f"{stat}_naive"] = known_median(naive[stat][all_chosen])
    return row


def _groups(
    geometry: Geometry,
    choosing: Geometry,
    rock_ids: np.ndarray,
    folds: np.ndarray | None,
) -> list[np.ndarray]:
    """(T,) bool for each of GROUPS, from the folds that choose (all of them if None). How often a
    type occurs in all says whether it is one of the others, so that they are the same types in both
    halves but for those that either has in another group.
    """
    w = np.ones(FOLDS) if folds is None else folds.astype(float)
    n, kl = choosing.columns["n"] @ w, choosing.columns["kl_sum"] @ w
    rocks = np.isin(geometry.types, rock_ids)
    k = int(rocks.sum())
    mean = np.where((n >= 2) & ~rocks, kl / np.maximum(n, 1), -1.0)
    rare = np.zeros(len(n), bool)
    rare[np.argsort(-mean, kind="stable")[:k]] = True
    rare &= mean > 0
    return [rocks, rare, ~rocks & ~rare & (choosing.columns["n"].sum(1) >= 2)]


def _least_n(geometry: Geometry, chosen: dict[str, list[np.ndarray]]) -> int:
    """The smallest number of occurrences, at least 2, that a compared type has on the half that
    measures it.
    """
    found = [(geometry.columns["n"] @ ~HALVES[h])[np.any(chosen[h], axis=0)] for h in HALVES]
    n = np.concatenate(found)
    return int(n[n >= 2].min(initial=np.inf)) if (n >= 2).any() else 2


def _values(
    geometry: Geometry, w: np.ndarray, n_equal: int, told: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """`told`: the types (T,) whose cosines are told, by the name of a cosine."""
    known = geometry.lengths(w)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = {
            name: np.where(told[name], np.clip(geometry.cosines(w, b).corrected, -1, 1), np.nan)
            for name, b in BALANCED.items()
        }
        return {
            "n": known.n,
            "norm_sq": known.squared,
            "norm": root(known.squared),
            "norm_equal": at_equal_n(geometry, known, w, n_equal),
            **cosines,
            "kl": np.where(
                np.isfinite(known.squared), geometry.columns["kl_sum"] @ w / known.n, np.nan
            ),
        }


def _naive_values(geometry: Geometry, n_equal: int) -> dict[str, np.ndarray]:
    every = np.ones(FOLDS)
    known = geometry.lengths(every)
    naive = {name: geometry.cosines(every, balanced).naive for name, balanced in BALANCED.items()}
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
        told = {
            name: np.isfinite(geometry.told_cosines(balanced, w).value)
            for name, balanced in BALANCED.items()
        }
        self.values = _values(geometry, w, n_equal, told)
        self.without = [
            _values(geometry, np.where(np.arange(FOLDS) == f, 0.0, w), n_equal, told)
            for f in np.flatnonzero(folds)
        ]


def _median(
    geometry: Geometry, measured: dict[str, _Measured], chosen: dict[str, np.ndarray], stat: str
) -> Median:
    """The mean of both halves' medians."""
    source = "norm_sq" if stat == "norm" else stat
    return Median.of(
        [geometry.types[chosen[h]] for h in HALVES],
        [measured[h].values[source][chosen[h]] for h in HALVES],
        [[values[source][chosen[h]] for values in measured[h].without] for h in HALVES],
    )


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
    members: pd.DataFrame, medians: dict[tuple[str, str], Median], other: str, stat: str
) -> dict[str, object]:
    column = "norm_sq" if stat == "norm" else stat
    found = {
        by: mann_whitney(
            *(part.loc[part.group == name, column].to_numpy() for name in (GROUPS[0], other))
        )
        for by, part in members.groupby("chosen_by")
    }
    halves = [found[h] for h in HALVES if h in found]
    superiority = float(np.mean([h.superiority for h in halves])) if halves else np.nan
    known = members.loc[(members.chosen_by != "all") & members[column].notna()]
    types = {name: known.token_id[known.group == name].nunique() for name in (GROUPS[0], other)}
    quotient: tuple[float, ...] = (np.nan,) * 3
    if not stat.startswith("cos"):
        power = 0.5 if stat == "norm" else 1.0
        quotient = ratio(medians[GROUPS[0], stat], medians[other, stat], power)
    return {
        "other": other,
        "stat": stat,
        # either half alone is a valid test; the smaller p counts twice
        "p": min([1.0, *(2 * h.p for h in halves)]) if np.isfinite(superiority) else np.nan,
        "superiority": superiority,
        "n_rocks": types[GROUPS[0]],
        "n_other": types[other],
        "p_naive": found["all"].p if "all" in found else np.nan,
        "superiority_naive": found["all"].superiority if "all" in found else np.nan,
        **dict(zip(("ratio", "ratio_low", "ratio_high"), map(float, quotient), strict=True)),
    }
