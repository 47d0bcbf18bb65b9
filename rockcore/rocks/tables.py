"""The tables and figures of a report: types with their course over training, groups, flows, rules
side by side.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.rocks.report import RockReport
from rockcore.schema import Texts
from rockcore.spelling import percent, visible

_LEAST_TYPES = 5  # in a bin of the band


def type_table(report: RockReport, series: Mapping[int, list[float]]) -> pd.DataFrame:
    """The types with rank, shown (visible whitespace), series (mean over the logged steps),
    interval of the change in words, type_density and occurrence_density.
    """
    tokens = report.tokens
    change = [
        "" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"
        for low, high in zip(tokens.change_low, tokens.change_high, strict=True)
    ]
    n = tokens.frequency.sum()
    return tokens.assign(
        rank=np.arange(1, len(tokens) + 1),
        shown=[visible(t) for t in tokens.token],
        series=[series.get(t, []) for t in tokens.token_id],
        interval=change,
        type_density=tokens.frequency / n,
        occurrence_density=tokens.consistent / n,
    )


def mean_series(run: Run, texts: Texts, column: str) -> dict[int, list[float]]:
    """Token id -> mean of a loss at each logged step that has the type, rounded to four digits."""
    frame = run.type_means(texts.table, column)
    wide = frame.pivot(index="token_id", columns="step", values="mean").sort_index(axis=1)
    return {
        int(token): row[~np.isnan(row)].round(4).tolist()
        for token, row in zip(wide.index, wide.to_numpy(), strict=True)
    }


RANK = "rank"  # the column of a `type_table` that is sorted by where nothing else is asked for
ASCENDING = (RANK, "shown", "token_id")  # columns that are read from small to large
SORTS = (  # the columns of a `type_table` that it may be sorted by
    *(RANK, "rock_score_ctx", "rock_score", "mean", "frequency", "share", "consistent"),
    *("persistent", "ccr", "precision", "change", "shown", "token_id"),
)


@dataclass(frozen=True)
class Pick:
    """Which rows of a table are looked at, in what order; no value of a facet means all."""

    search: str = ""  # part of a token, or a whole id
    facets: Mapping[str, Collection[str]] = field(default_factory=dict)  # column -> values
    only_set: bool = False
    sort: str = RANK  # one of SORTS; what has no value there comes last

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Those of a `type_table`."""
        keep = np.ones(len(frame), bool)
        if self.search:
            keep &= (
                frame.shown.str.contains(self.search, regex=False)
                | frame.token.str.contains(self.search, regex=False)
                | (frame.token_id.astype(str) == self.search)
            )
        for column, values in self.facets.items():
            if values:
                keep &= frame[column].isin(list(values))
        rows = frame.loc[keep & (frame.in_set | (not self.only_set))]
        ascending = self.sort in ASCENDING
        by = rows[self.sort].str.casefold() if self.sort == "shown" else rows[self.sort]
        order = by.sort_values(ascending=ascending, kind="stable", na_position="last").index
        return rows.loc[order]


def ranked_by(report: RockReport) -> str:
    """How the rows of a report are ranked, and where the set ends, in a sentence."""
    k, score = len(report.ids), report.score
    meaning = _SCORES.get(score, score)
    if report.score != report.rule.score:
        meaning += f" ({report.rule.score} needs texts that are the same before and after)"
    ends = f"the first {k} are the set" if k else "no type is in the set"
    return (
        f"Rank: by {meaning}, the highest first; {ends}. Types without a score follow by their "
        "summed loss."
    )


_SCORES = {
    "rock_score_ctx": "R_ctx, mean loss × recurring occurrences",
    "rock_score": "R, mean loss × occurrences",
    "mean_kl": "mean loss",
    "rock_score_lcb": "R from the lower end of the mean's interval",
    "mean_kl_eb": "the mean drawn towards that of all types",
    "joint": "the smaller of the shares before and after",
    "authors": "R, the five most frequent types left out",
}


def types_by(table: pd.DataFrame, column: str) -> dict[str, int]:
    """How many types of a `type_table` are of each category or class, the commonest first."""
    return {str(name): int(n) for name, n in table[column].value_counts().items()}


class Densities(NamedTuple):
    """How dense each rollout is with rocks."""

    frame: pd.DataFrame  # rollout_id, type, occurrence (absent where unknown)
    medians: dict[str, float]
    most: float


def densities(report: RockReport) -> Densities:
    """Per rollout: share of its tokens that are of a rock type (type), and that are kept rock
    occurrences (occurrence).
    """
    counts = report.rollouts
    shares = {n: counts[n] / counts.tokens for n in ("type", "occurrence") if n in counts}
    frame = pd.DataFrame({"rollout_id": counts.rollout_id, **shares})
    medians = {name: float(share.median()) for name, share in shares.items()}
    most = max((float(s.max()) for s in shares.values() if s.notna().any()), default=0.0)
    return Densities(frame, medians, most)


class Flow(NamedTuple):
    """Types by whether they are hard at one checkpoint and at the next."""

    places: list[str]  # first, middle (where there is one), last
    hard: list[int]  # at each place
    easy: list[int]
    links: list[tuple[int, bool, bool, int]]  # from place, hard there, hard at the next, types


def flow(report: RockReport) -> Flow:
    """How many types are hard from checkpoint to checkpoint. Raises ValueError for a single one."""
    if len(report.steps) < 2:
        raise ValueError("One checkpoint has no next one to flow to")
    places = ["first", "middle", "last"] if len(report.steps) > 2 else ["first", "last"]
    hard_PV = [(report.tokens[f"mean_{p}"] >= report.hard_from).to_numpy() for p in places]
    links = [
        (i, before, after, int(((hard_PV[i] == before) & (hard_PV[i + 1] == after)).sum()))
        for i in range(len(places) - 1)
        for before in (True, False)
        for after in (True, False)
    ]
    counts = [int(hard.sum()) for hard in hard_PV]
    return Flow(places, counts, [len(report.tokens) - n for n in counts], links)


def frequency_band(tokens: pd.DataFrame) -> pd.DataFrame:
    """The mean loss of the types in each doubling of frequency: frequency, low, median, high (10,
    50 and 90 %). Only types whose mean is above 0; bins of fewer than 5 types are left out.
    """
    above = tokens.loc[tokens["mean"] > 0]
    bins = np.floor(np.log2(above.frequency.to_numpy(dtype=float)))
    means = above.groupby(bins)["mean"]
    shares = {"low": 0.1, "median": 0.5, "high": 0.9}
    rows = pd.DataFrame({name: means.quantile(q) for name, q in shares.items()})
    rows = rows.loc[means.size() >= _LEAST_TYPES]
    rows.insert(0, "frequency", 2.0 ** (rows.index.to_numpy() + 0.5))
    return rows.reset_index(drop=True)


def side_by_side(reports: Mapping[str, RockReport]) -> pd.DataFrame:
    """One row a rule: rule, K, coverage, stability, high, recurring, densities, and the Jaccard
    index of its set with that of the first rule.
    """
    mine = set(next(iter(reports.values())).ids)
    return pd.DataFrame([{"rule": name} | _row(r, mine) for name, r in reports.items()])


def _row(report: RockReport, mine: set[int]) -> dict[str, object]:
    ids, n, density = set(report.ids), report.occurrences, report.density
    return {
        "K": len(ids),
        "coverage": percent(report.coverage) if ids else "–",
        "stability": _in_words(report) if ids else "no stable set" if report.unstable else "–",
        "high": _counted(n["persistent"]),
        "recurring": _counted(n["consistent"]),
        "type density": _share(density["type"]),
        "occurrence density": _share(density["occurrence"]),
        "J with this": f"{len(ids & mine) / len(ids | mine):.2f}" if ids | mine else "–",
    }


def _in_words(report: RockReport) -> str:
    value = report.stability
    if math.isnan(value.value):
        return "unknown"
    splits = f"middle 95 % of {report.rule.draws} splits"
    return f"{value.value:.2f} ({splits} {value.low:.2f}–{value.high:.2f})"


def _counted(n: int | None) -> str:
    return "unknown" if n is None else f"{n:,}"


def _share(value: float | None) -> str:
    return "unknown" if value is None else percent(value)
