"""Stage three of a scan, the one shuffle: for the types of a bucket, what all shards say of them.

The cells of a type are added in the order of the rollouts, as a detection on the whole log adds
them, and its contexts are compared by the same code: every number is the same to the last bit,
wherever the shards were cut. So are the halves of the rollouts on which a set has to be stable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from rockcore.rocks import cutoff, recurrence
from rockcore.rocks.change import classify, unknown_change
from rockcore.rocks.history import History, Sums
from rockcore.rocks.persistence import Candidates
from rockcore.rocks.scores import NEED_SPREAD, ranking_score
from rockcore.scale import pairs, partial, sums
from rockcore.scale.plan import Plan, key_of

_MOST_WEIGHTS = 2**28  # of a bootstrap over rollouts, 4 bytes each; beyond, no classes


@dataclass(frozen=True)
class Known:
    """What all shards together say, and every bucket has to know."""

    taus: pairs.Taus
    hard_from: float
    draws: int  # of the bootstrap behind the classes; 0: without classes
    rollouts: tuple[int, ...]  # of each corpus


class Cells(NamedTuple):
    """As rocks.corpus.Cells, of one bucket and corpus: in the order of rollouts."""

    token_id: np.ndarray
    rollout: np.ndarray  # of the whole corpus
    n: np.ndarray
    sums: list[np.ndarray]


def draws_that_fit(draws: int, rollouts: Sequence[int]) -> int:
    """How many bootstrap samples there are to be: none where they would not fit into memory."""
    return draws if draws * max(rollouts, default=0) <= _MOST_WEIGHTS else 0


def path(plan: Plan, bucket: int, known: Known, out: Path) -> Path:
    files = [str(p.name) for s in plan.shards for p in _files(plan, s, known.taus, out)]
    of = (plan.rule.to_json(), plan.mode, plan.steps, known, bucket, plan.buckets)
    return out / "types" / f"{key_of('types', files, of)}.parquet"


def _files(plan: Plan, shard: Any, taus: pairs.Taus, out: Path) -> list[Path]:
    cells = sums.paths(plan, shard, out)[1]
    return [cells] if plan.mode == "single" else [cells, pairs.path(plan, shard, taus, out)]


def make(plan: Plan, bucket: int, known: Known, out: Path) -> str:
    """Write what is known of the types of a bucket, unless that is done."""
    to = path(plan, bucket, known, out)
    if to.exists():
        return str(to)
    corpora = [_cells(plan, corpus, bucket, out) for corpus in range(len(known.rollouts))]
    types = np.unique(corpora[-1].token_id)
    columns: dict[str, Any] = {"token_id": types.astype(np.int32)}
    if not len(types):
        partial.write(to, [(0, pa.table(columns))], {"most_similar": 0})
        return str(to)
    columns |= _scores(plan, corpora, types, known)
    most = 0
    if plan.mode == "paired":
        persistent, most = _persistent(plan, bucket, types, known, out)
        columns |= persistent
    elif plan.mode == "bounds":
        columns |= _high(plan, bucket, types, known, out)
    classes = _classes(plan, corpora, types, known)
    columns |= {f"change_{name}": classes[name].to_numpy() for name in classes}
    partial.write(to, [(0, pa.table(columns))], {"most_similar": most})
    return str(to)


def _cells(plan: Plan, corpus: int, bucket: int, out: Path) -> Cells:
    tables, before = [], 0
    for shard in plan.of_corpus(corpus):
        said, file = sums.paths(plan, shard, out)
        rows = partial.rows_of(file, bucket)
        rollout = rows["rollout"].to_numpy().astype(np.int64) + before
        tables.append(rows.set_column(1, "rollout", pa.array(rollout)))
        before += partial.said_by(said)["rollouts"]
    rows = pa.concat_tables(tables)
    of = {name: rows[name].to_numpy() for name in rows.column_names}
    losses = [of[f"loss_{c}"] for c in range(len(plan.of_corpus(corpus)[0].steps))]
    return Cells(of["token_id"], of["rollout"], of["n"], losses)


def parts_of(plan: Plan, known: Known) -> np.ndarray:
    """(P, B) bool: the parts of the rollouts that a detection compares; none of one rollout."""
    rollouts = known.rollouts[plan.last]
    return cutoff.parts(rollouts, plan.rule) if rollouts > 1 else np.zeros((0, rollouts), bool)


def _scores(
    plan: Plan, corpora: list[Cells], types: np.ndarray, known: Known
) -> dict[str, pa.Array]:
    """For each type lists of 1 + 2P numbers: of all rollouts, of each part and of its rest."""
    cells, v = corpora[-1], len(types)
    kind = np.searchsorted(types, cells.token_id)
    score = ranking_score(plan.rule.score, plan.mode)
    masks: list[Any] = [slice(None)]
    for part in parts_of(plan, known):
        inside = part[cells.rollout]
        masks += [inside, ~inside]
    found: dict[str, list[np.ndarray]] = {}
    for mask in masks:
        of, n, loss = kind[mask], cells.n[mask], cells.sums[-1][mask]
        sums_of: dict[str, Any] = {"n": np.bincount(of, n, v), "kl_sum": np.bincount(of, loss, v)}
        if score in NEED_SPREAD:
            sums_of["rollouts"] = np.bincount(of, None, v).astype(np.float64)
            sums_of["ss"], sums_of["sn"] = (np.bincount(of, loss * w, v) for w in (loss, n))
            sums_of["nn"] = np.bincount(of, n.astype(np.float64) ** 2, v)
        if score == "joint":
            sums_of["before"] = _before(corpora, types, of, mask)
        for name, values in sums_of.items():
            found.setdefault(name, []).append(values)
    return {name: _listed(values) for name, values in found.items()}


def _before(corpora: list[Cells], types: np.ndarray, kind: np.ndarray, mask: Any) -> np.ndarray:
    """(V,) the summed loss before training; of texts of its own, that of all of them."""
    if len(corpora) == 1:
        return np.bincount(kind, corpora[0].sums[0][mask], len(types))
    first = corpora[0]
    shared = np.isin(first.token_id, types)
    at = np.searchsorted(types, first.token_id[shared])
    return np.bincount(at, first.sums[0][shared], len(types))


def _listed(values: list[np.ndarray]) -> pa.Array:
    flat = pa.array(np.stack(values, axis=1).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, len(values))


def _persistent(
    plan: Plan, bucket: int, types: np.ndarray, known: Known, out: Path
) -> tuple[dict[str, pa.Array], int]:
    """How many occurrences of each type are persistent, and consistent in all rollouts, in each
    part and in its rest; and how many are similar to one at most.
    """
    rule, v = plan.rule, len(types)
    found = _candidates(plan, bucket, types, known, out)
    whole = recurrence.consistency(found, rule)
    kept = [whole.kept]
    if rule.score == "rock_score_ctx" and len(parts := parts_of(plan, known)):
        for pair in recurrence.kept_in_parts(found, parts, rule):
            kept += pair
    counts = [np.bincount(found.type[mask], minlength=v) for mask in kept]
    columns = {
        "persistent": pa.array(np.bincount(found.type, minlength=v)),
        "consistent": _listed(counts),
    }
    return columns, int(whole.similar.max(initial=0))


def _candidates(plan: Plan, bucket: int, types: np.ndarray, known: Known, out: Path) -> Candidates:
    tables, rollouts, rows = [], 0, 0
    for shard in plan.of_corpus(0):
        table = partial.rows_of(pairs.path(plan, shard, known.taus, out), bucket)
        at = table["at"].to_numpy() + rows
        rollout = table["rollout"].to_numpy().astype(np.int64) + rollouts
        table = table.set_column(1, "at", pa.array(at))
        tables.append(table.set_column(2, "rollout", pa.array(rollout)))
        said = partial.said_by(sums.paths(plan, shard, out)[0])
        rollouts, rows = rollouts + said["rollouts"], rows + said["rows"]
    table = pa.concat_tables(tables)
    context = np.stack(
        [table[f"context_{i}"].to_numpy() for i in range(2 * plan.rule.window)]
    ).astype(np.int64)
    kind = np.searchsorted(types, table["token_id"].to_numpy())
    return Candidates(table["at"].to_numpy(), kind, table["rollout"].to_numpy(), context)


def _high(
    plan: Plan, bucket: int, types: np.ndarray, known: Known, out: Path
) -> dict[str, np.ndarray]:
    """(V,) occurrences at the first checkpoint and the last, and those that are high there."""
    columns: dict[str, np.ndarray] = {}
    for name, corpus in (("first", 0), ("last", plan.last)):
        files = [pairs.path(plan, s, known.taus, out) for s in plan.of_corpus(corpus)]
        rows = pa.concat_tables([partial.rows_of(file, bucket) for file in files])
        columns[f"{name}_high"] = _of_types(rows["token_id"], rows["high"], types)
    first = _cells(plan, 0, bucket, out)
    columns["first_n"] = _of_types(first.token_id, first.n, types)
    return columns


def _of_types(token_id: Any, counts: Any, types: np.ndarray) -> np.ndarray:
    of, values = np.asarray(token_id), np.asarray(counts)
    shared = np.isin(of, types)
    return np.bincount(np.searchsorted(types, of[shared]), values[shared], len(types))


def _classes(plan: Plan, corpora: list[Cells], types: np.ndarray, known: Known) -> pd.DataFrame:
    found = [
        _matrix(cells, c, rollouts, types)
        for cells, rollouts in zip(corpora, known.rollouts, strict=True)
        for c in range(len(cells.sums))
    ]
    middle = found[len(found) // 2] if len(found) > 2 else found[-1]
    history = History(types, (found[0], middle, found[-1]), plan.paired, known.hard_from)
    if plan.mode == "single" or not known.draws:
        return unknown_change(history)
    return classify(history, plan.rule.seed, known.draws)


def _matrix(cells: Cells, checkpoint: int, rollouts: int, types: np.ndarray) -> Sums:
    from scipy.sparse import csc_matrix

    shared = np.isin(cells.token_id, types)
    at = (cells.rollout[shared], np.searchsorted(types, cells.token_id[shared]))
    n, loss = (
        csc_matrix((values[shared].astype(np.float32), at), (rollouts, len(types)))
        for values in (cells.n, cells.sums[checkpoint])
    )
    return Sums(n, loss)
