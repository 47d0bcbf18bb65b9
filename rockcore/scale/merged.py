"""Stage four of a scan: from the partials of all buckets to a detection, and to its report.

`FromPartials` is a `Detection` whose sums were found elsewhere: ranking, cutoff and set are the
same code. What only single occurrences tell is not known here, and said so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rockcore import schema, stats
from rockcore.categories.places import PlaceCounts
from rockcore.log import Run
from rockcore.rocks import controls
from rockcore.rocks.conclusion import OF_GROUPS, curves, token_table
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.detection import Detection, Highs
from rockcore.rocks.empty import why_empty
from rockcore.rocks.gather import Material
from rockcore.rocks.notes import notes_on
from rockcore.rocks.report import RockReport
from rockcore.rocks.scores import Spread, TypeStats
from rockcore.scale import pairs, partial, sums
from rockcore.scale.buckets import Known
from rockcore.scale.plan import Plan
from rockcore.scale.rollouts import DRAWN, ByRollout
from rockcore.scale.thresholds import Known as KnownQuantile


@dataclass(frozen=True)
class Tallied(Corpus):
    """A corpus of which only the sums are here."""

    held: np.ndarray | None = None  # (V,) the token ids that occur
    counted: tuple[int, int] = (0, 0)  # rollouts and positions

    @property
    def types(self) -> np.ndarray:
        return np.zeros(0, np.int64) if self.held is None else self.held

    @property
    def rollouts(self) -> int:
        return self.counted[0]

    def __len__(self) -> int:
        return self.counted[1]


@dataclass(frozen=True)
class Totals:
    """What the sums of all shards say together."""

    rollouts: tuple[int, ...]  # of each corpus
    rows: tuple[int, ...]
    hard_from: float  # nats: the mean of all losses before training
    negative: int
    cells: int  # types by rollout, over the three checkpoints of a history
    before: Counter[int]  # see thresholds.count_bins
    types: pd.DataFrame  # by step and token id


def totals(plan: Plan, out: Path) -> Totals:
    """Add up the sums of all shards, in the order of the plan, whoever was ready first."""
    corpora = max(s.corpus for s in plan.shards) + 1
    rollouts, rows, first, negative = [0] * corpora, [0] * corpora, list[float](), 0
    before: Counter[int] = Counter()
    files = []
    for shard in plan.shards:
        file = sums.paths(plan, shard, out)[0]
        said = partial.said_by(file)
        rollouts[shard.corpus] += said["rollouts"]
        rows[shard.corpus] += said["rows"]
        if shard.corpus == 0:
            first.append(said["loss"][0])
            before.update(dict(said["before"]))
        if shard.corpus == plan.last:
            negative += said["below"]
        files.append(file)
    types = _added(files)
    return Totals(
        tuple(rollouts),
        tuple(rows),
        math.fsum(first) / max(rows[0], 1),
        negative,
        _cells_of_history(plan, types),
        before,
        types,
    )


_COUNTS = ("n", "rollouts", "opens", "joins")
_FLOATS = ("loss_sum", "loss_sq_sum", "grad_norm_sum", "grad_norm_sq_sum")
_BINS = len(schema.KL_EDGES) + 1


class _Adding:
    """The sums of one step, of all types: one shard after the other is added, so what is held does
    not grow with them. A shard names no type twice.
    """

    def __init__(self) -> None:
        self.of: dict[str, np.ndarray] = {}
        self.histogram = np.zeros((0, _BINS), np.int64)

    def add(self, rows: pa.Table) -> None:
        token = rows["token_id"].to_numpy()
        self._grow(int(token.max(initial=-1)) + 1)
        for name in (*_COUNTS, *_FLOATS):
            self.of[name][token] += rows[name].to_numpy()
        most = self.of["loss_max"]
        most[token] = np.maximum(most[token], rows["loss_max"].to_numpy())
        bins, counts = (rows[name].combine_chunks() for name in ("bins", "in_bins"))
        kind = np.repeat(token, bins.value_lengths().to_numpy())
        self.histogram[kind, bins.flatten().to_numpy()] += counts.flatten().to_numpy()

    def _grow(self, types: int) -> None:
        more = types - len(self.histogram)
        if more <= 0:
            return
        kinds = {**dict.fromkeys(_COUNTS, 0), **dict.fromkeys(_FLOATS, 0.0), "loss_max": -np.inf}
        for name, start in kinds.items():
            new = np.full(more, start)
            self.of[name] = np.append(self.of[name], new) if name in self.of else new
        self.histogram = np.concatenate([self.histogram, np.zeros((more, _BINS), np.int64)])

    def frame(self, step: int) -> pd.DataFrame:
        """One row a type that occurs, by token id."""
        there = np.flatnonzero(self.of["n"])
        columns = {name: values[there] for name, values in self.of.items()}
        histogram = list(self.histogram[there])
        return pd.DataFrame({"step": step, "token_id": there, **columns, "histogram": histogram})


def _added(files: Sequence[Path]) -> pd.DataFrame:
    """One row a step and type of all shards together."""
    by_step: dict[int, _Adding] = {}
    for file in files:
        rows = partial.rows_of(file)
        steps = rows["step"].to_numpy()
        for step in np.unique(steps).tolist():
            first, after = np.searchsorted(steps, [step, step + 1]).tolist()  # they ascend
            by_step.setdefault(step, _Adding()).add(rows.slice(first, after - first))
    # each lets go of what it was made of
    frames = [by_step.pop(step).frame(step) for step in sorted(by_step)]
    return pd.concat(frames, ignore_index=True)


def _cells_of_history(plan: Plan, types: pd.DataFrame) -> int:
    """As many as the sparse matrices of a `rocks.history.History` of the whole have entries."""
    last = types.token_id[types.step == plan.steps[-1]]
    by_step = [
        int(types.rollouts[(types.step == step) & types.token_id.isin(last)].sum())
        for step in plan.steps
    ]
    middle = by_step[len(by_step) // 2] if len(by_step) > 2 else by_step[-1]
    return by_step[0] + middle + by_step[-1]


class FromPartials(Detection):
    """A detection from the partials of all buckets; arrays over types follow `corpus.types`."""

    by_rollout: ByRollout  # when the set is known

    def __init__(self, plan: Plan, total: Totals, known: Known, buckets: Sequence[Path], out: Path):
        tables = [partial.rows_of(file) for file in buckets]
        rows = pa.concat_tables([table for table in tables if len(table)])
        self.rows = rows.take(np.argsort(rows["token_id"].to_numpy()))
        said = [partial.said_by(file) for file in buckets]
        self._most = max((each["most_similar"] for each in said), default=0)
        self.unmatched = sum(each["unmatched"] for each in said)
        self.total, self._plan, self._out, self.given = total, plan, out, known
        dtype = plan.meta.dtype
        super().__init__(
            self._material(plan, total),
            plan.rule,
            dtype,
            before=KnownQuantile(plan.rule.tau_quantile, known.taus[0], dtype),
        )

    def _material(self, plan: Plan, total: Totals) -> Material:
        none, ids = np.zeros(0, np.int64), self._column("token_id").astype(np.int64)
        empty = (none, none, none, ())
        corpora = [Tallied((s,), *empty, held=none, counted=(0, 0)) for s in plan.steps[:-1]]
        judged = (total.rollouts[-1], total.rows[-1])
        last = Tallied(plan.steps[-1:], *empty, held=ids, counted=judged)
        both = (last,) if plan.paired else (*corpora, last)
        return _Counted(plan.mode, plan.source, plan.steps, both, plan.lacks)

    def _column(self, name: str) -> np.ndarray:
        return self.rows[name].to_numpy()

    def _list(self, name: str) -> np.ndarray:
        """(V, 1 + 2P): of all rollouts, of each part and of its rest."""
        values = self.rows[name].combine_chunks().flatten().to_numpy()
        return values.reshape(len(self.rows), -1)

    @cached_property
    def _lists(self) -> dict[str, np.ndarray]:
        names = ("n", "kl_sum", "rollouts", "ss", "sn", "nn", "before", "consistent")
        return {n: self._list(n) for n in names if n in self.rows.column_names}

    @cached_property
    def tau(self) -> tuple[float, float]:
        return self.given.taus

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        if self.material.single:
            unknown = np.full(len(self.rows), np.nan)
            return unknown, unknown
        n, before_n = self._lists["n"][:, 0], self._column("first_n")
        q = self._column("last_high") / np.maximum(n, 1)
        high = self._column("first_high")
        p = np.divide(high, before_n, out=np.zeros(len(n)), where=before_n > 0)
        low, most = stats.frechet(p, q)
        unseen = before_n == 0
        return np.where(unseen, 0.0, low) * n, np.where(unseen, q, most) * n

    @cached_property
    def persistent(self) -> np.ndarray:
        return self._column("persistent") if self._plan.contexts else self.bounds[0]

    @cached_property
    def consistent(self) -> np.ndarray | None:
        return self._lists["consistent"][:, 0] if self._plan.contexts else None

    @cached_property
    def highs(self) -> Highs:
        said = [
            partial.said_by(pairs.path(self._plan, shard, self.tau, self._out))
            for shard in self._plan.shards
            if shard.corpus in (0, self._plan.last)
        ]
        before, after, both = (
            sum(each.get(name, 0) for each in said) for name in ("before", "after", "both")
        )
        return Highs(before, after, both if self._plan.paired else int(self.persistent.sum()))

    @property
    def negative(self) -> int:
        return self.total.negative

    @property
    def most_similar(self) -> int:
        return self._most

    def _stats(self, at: int) -> TypeStats:
        """`at`: which of the lists' numbers."""
        of = {
            name: np.ascontiguousarray(v[:, at])
            for name, v in self._lists.items()
            if at < v.shape[1]
        }
        spread = Spread(of["rollouts"], of["ss"], of["sn"], of["nn"]) if "ss" in of else None
        n = of["n"].astype(np.int64)
        return TypeStats(
            self.corpus.types, n, of["kl_sum"], spread, of.get("before"), of.get("consistent")
        )

    def type_stats(
        self, rollouts: np.ndarray | None = None, consistent: np.ndarray | None = None
    ) -> TypeStats:
        """Those of all rollouts. Raises ValueError for a mask: see `in_parts`."""
        if rollouts is not None:
            raise ValueError("Partials know the parts of the rollouts that stability asks for")
        return self._stats(0)

    def in_parts(self, parts_PB: np.ndarray) -> Iterator[tuple[TypeStats, TypeStats]]:
        """`parts_PB`: those of cutoff.parts, which every bucket has drawn for itself."""
        for p in range(len(parts_PB)):
            self.pulse()
            yield self._stats(1 + 2 * p), self._stats(2 + 2 * p)

    @cached_property
    def precision(self) -> np.ndarray:
        return np.full(len(self.rows), np.nan)

    @property
    def classes(self) -> pd.DataFrame:
        """See examined.classes_of."""
        names = [name for name in self.rows.column_names if name.startswith("change_")]
        columns = {name.removeprefix("change_"): self._column(name) for name in names}
        return pd.DataFrame(columns)


class _Counted(Material):
    """The losses before training are with the shards."""

    def before(self) -> np.ndarray:
        return np.zeros(0, np.float32)


_NOT_DRAWN = (
    "Not drawn: where a window finds a place depends on all that were placed before it, in every "
    "shard. Open the log itself for it."
)


def report(run: Run, found: FromPartials, fingerprint: str) -> RockReport:
    """What is known of the rule's set from partials alone. `run`: of which the vocabulary is."""
    cut, rule, meta, n = found.cutoff, found.rule, run.meta, len(found.corpus)
    classes, places = found.classes, _places(found)
    types = int(found.stats.n[found.in_set].sum())
    kept = None if found.consistent is None else int(found.consistent[found.in_set].sum())
    return RockReport(
        run=str(run.path),
        name=meta.name,
        fingerprint=fingerprint,
        tokenizer_hash=meta.tokenizer_hash,
        estimator=meta.estimator,
        mode=found.material.mode,
        source=found.material.source,
        steps=found.material.steps,
        rule=replace(rule, tau_pre=found.tau[0], tau_post=found.tau[1], top_k=cut.k, tau_rock=None),
        asked=rule,
        chosen_by=cut.chosen_by,
        knee=cut.knee,
        hard_from=found.given.hard_from,
        occurrences=_occurrences(found),
        coverage=cut.covered,
        covered_elsewhere=cut.covered_elsewhere,
        stability=cut.stability,
        density={
            "type": types / max(n, 1),
            "occurrence": None if kept is None else kept / max(n, 1),
        },
        tokens=token_table(run, found, classes, places),
        rollouts=found.by_rollout.rollouts,
        curves=curves(cut),
        groups=pd.DataFrame(columns=OF_GROUPS),
        control=_control(found),
        notes=notes_on(found),
        why_empty=why_empty(found),
        enough=cut.enough,
    )


def _control(found: FromPartials) -> dict[str, Any]:
    """As of a detection: see conclusion."""
    rule, drawn = found.rule, found.by_rollout.control
    if found.consistent is None and rule.controls != "authors":
        return {"kind": rule.controls, "how": controls.NO_ROCKS, "n": 0}
    if rule.controls not in DRAWN:
        return {"kind": rule.controls, "how": _NOT_DRAWN, "n": 0}
    of = controls.Types(found.in_set, found.next_in_rank)
    n = len(drawn["loss"])
    return {
        "kind": rule.controls,
        "how": controls.how_drawn(rule.controls, of),
        "seed": rule.seed,
        "n": n,
        "short": max(0, found.by_rollout.rocks - n),
        "mean": float(drawn["loss"].mean(dtype=np.float64)) if n else None,
        "types": of.next.tolist() if rule.controls == "authors" else [],
        "rollout_id": drawn["rollout_id"].tolist(),
        "position": drawn["position"].tolist(),
    }


def _places(found: FromPartials) -> Any:
    types = found.total.types
    last = types.loc[types.step == found.material.steps[-1]]  # by token id
    return PlaceCounts(*(last[name].to_numpy() for name in ("n", "opens", "joins"))).usual


def _occurrences(found: FromPartials) -> dict[str, int | None]:
    names = ("persistent", "persistent_low", "persistent_high", "consistent", "in_set")
    counts: dict[str, int | None] = {"scored": len(found.corpus), **dict.fromkeys(names)}
    if found.material.single:
        return counts
    if found.consistent is None:
        low, high = (float(ends.sum()) for ends in found.bounds)
        low, high = math.floor(low + 1e-6), math.ceil(high - 1e-6)
        return {**counts, "persistent_low": low, "persistent_high": high}
    del counts["persistent_low"], counts["persistent_high"]
    consistent = found.consistent
    in_set = int(consistent[found.in_set].sum())
    persistent = int(found.persistent.sum())
    return counts | {
        "persistent": persistent,
        "consistent": int(consistent.sum()),
        "in_set": in_set,
    }
