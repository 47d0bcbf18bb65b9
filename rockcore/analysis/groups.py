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
from rockcore.analysis.group_statistics import Median, known_median, mann_whitney, ratio
from rockcore.analysis.spreads import Spread, spread_between, spread_of_logarithms
from rockcore.schema import FOLDS

GROUPS = ("rocks", "rare, high KL", "others")
HALVES = {"even": np.arange(FOLDS) % 2 == 0, "odd": np.arange(FOLDS) % 2 == 1}
STATS = ("norm", "norm_equal", "cos_balanced", "cos_global", "kl")


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

    def spread(self, stat: str, naive: bool) -> Spread:
        """How a stat spreads by group: cosines from -1 to 1, all else on a logarithmic axis."""
        members = self.members.loc[(self.members.chosen_by == "all") == naive]
        values = {name: members[stat][members.group == name].to_numpy(float) for name in GROUPS}
        if stat.startswith("cos"):
            return spread_between(values, -1.0, 1.0)
        return spread_of_logarithms(values)

    def naive_values(self, group: str, stat: str) -> int:
        """How many types of a group, chosen by all rollouts, have a naive value."""
        own = self.members.loc[(self.members.chosen_by == "all") & (self.members.group == group)]
        return int(own[stat].notna().sum())


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
    medians = {
        (name, stat): _median(crossed, {h: chosen[h][g] for h in HALVES}, stat)
        for g, name in enumerate(GROUPS)
        for stat in STATS
    }
    rows = [
        _counted(g, chosen, crossed) | _in_numbers(g, chosen["all"][g], medians, naive)
        for g in range(len(GROUPS))
    ]
    tests = [_test(members, medians, other, stat) for other in GROUPS[1:] for stat in STATS]
    return Comparison(pd.DataFrame(rows), pd.DataFrame(tests), members, n_equal)


def _counted(
    g: int, chosen: dict[str, list[np.ndarray]], crossed: dict[str, _Measured]
) -> dict[str, Any]:
    """How many types of a group are chosen and measured."""
    squared = np.concatenate([crossed[h].values["norm_sq"][chosen[h][g]] for h in HALVES])
    return {
        "group": GROUPS[g],
        "types": int(chosen["all"][g].sum()),
        "measured": int(np.isfinite(squared).sum()),
        "negative": int((squared <= 0).sum()),
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


def _median(measured: dict[str, _Measured], chosen: dict[str, np.ndarray], stat: str) -> Median:
    """The mean of both halves' medians."""
    source = "norm_sq" if stat == "norm" else stat
    return Median.of(
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
            *(part.loc[part.group == name, column].to_numpy() for name in ("rocks", other))
        )
        for by, part in members.groupby("chosen_by")
    }
    halves = [found[h] for h in HALVES if h in found]
    quotient: tuple[float, ...] = (np.nan,) * 3
    if not stat.startswith("cos"):
        power = 0.5 if stat == "norm" else 1.0
        quotient = ratio(medians["rocks", stat], medians[other, stat], power)
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
        **dict(zip(("ratio", "ratio_low", "ratio_high"), map(float, quotient), strict=True)),
    }
