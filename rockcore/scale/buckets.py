"""Stage three of a scan, the one shuffle: for the types of a bucket, what all shards say of them.

The cells of a type are added in the order of the rollouts, as a detection on the whole log adds
them, and its contexts are compared by the same code: every number is the same to the last bit,
wherever the shards were cut. So are the halves of the rollouts on which a set has to be stable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rockcore.rocks import cutoff, recurrence
from rockcore.rocks.change import classify, unknown_change
from rockcore.rocks.context import agreements_needed, similar_sums
from rockcore.rocks.corpus import Cells
from rockcore.rocks.history import History, sums_of
from rockcore.rocks.kept_in_parts import kept_in_parts
from rockcore.rocks.persistence import Candidates
from rockcore.rocks.recurrence import Consistency
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


@dataclass(frozen=True)
class Held:
    """What a bucket has of one corpus: the cells of its types, in the order of the rollouts."""

    types: np.ndarray  # (V,) token ids, ascending
    cells: Cells
    rollouts: int  # of the whole corpus


def draws_that_fit(draws: int, rollouts: Sequence[int]) -> int:
    """How many bootstrap samples there are to be: none where they would not fit into memory."""
    return draws if draws * max(rollouts, default=0) <= _MOST_WEIGHTS else 0


def named(plan: Plan, known: Known, out: Path) -> str:
    """What the partials of all buckets are called, by all that they depend on."""
    files = [str(p.name) for s in plan.shards for p in _files(plan, s, known.taus, out)]
    return key_of("types", files, plan.rule.to_json(), plan.mode, plan.steps, known, plan.buckets)


def path(name: str, bucket: int, out: Path, what: str = "types") -> Path:
    """`what`: types, or the kept occurrences, a row group each shard."""
    return out / what / f"{name}-{bucket:04d}.parquet"


def _files(plan: Plan, shard: Any, taus: pairs.Taus, out: Path) -> list[Path]:
    cells = sums.paths(plan, shard, out)[1]
    return [cells] if plan.mode == "single" else [cells, pairs.path(plan, shard, taus, out)]


def make(plan: Plan, bucket: int, known: Known, out: Path) -> str:
    """Write what is known of the types of a bucket, unless that is done."""
    name = named(plan, known, out)
    to, kept = path(name, bucket, out), path(name, bucket, out, "kept")
    if to.exists() and (kept.exists() or not plan.contexts):
        return str(to)
    corpora = [_held(plan, c, bucket, known, out) for c in range(len(known.rollouts))]
    types = corpora[-1].types
    columns: dict[str, Any] = {"token_id": types.astype(np.int32)}
    if not len(types):
        if plan.contexts:
            partial.write(kept, [_placed(types, types)], {})
        partial.write(to, [(0, pa.table(columns))], {"most_similar": 0, "unmatched": 0})
        return str(to)
    columns |= _scores(plan, corpora, known)
    most, unmatched = 0, 0
    if plan.contexts:
        found, starts = _candidates(plan, bucket, types, known, out)
        if plan.mode == "matched":
            found, unmatched = _matched(plan, bucket, found, types, known, out)
        persistent, whole = _persistent(plan, found, types, known)
        columns, most = columns | persistent, int(whole.similar.max(initial=0))
        partial.write(kept, _by_shard(found, whole.kept, types, starts), {})
    elif plan.mode == "bounds":
        columns |= _high(plan, bucket, corpora, known, out)
    classes = _classes(plan, corpora, known)
    columns |= {f"change_{name}": classes[name].to_numpy() for name in classes}
    partial.write(to, [(0, pa.table(columns))], {"most_similar": most, "unmatched": unmatched})
    return str(to)


def _held(plan: Plan, corpus: int, bucket: int, known: Known, out: Path) -> Held:
    tables, before = [], 0
    for shard in plan.of_corpus(corpus):
        said, file = sums.paths(plan, shard, out)
        rows = partial.rows_of(file, bucket)
        rollout = rows["rollout"].to_numpy() + np.int32(before)
        tables.append(rows.set_column(1, "rollout", pa.array(rollout)))
        before += partial.said_by(said)["rollouts"]
    rows = pa.concat_tables(tables).combine_chunks()
    types, kind = _types_of(rows["token_id"].to_numpy())
    order, ends = _by_type(kind, len(types))
    losses = tuple(
        rows[f"loss_{c}"].to_numpy()[order] for c in range(len(plan.of_corpus(corpus)[0].steps))
    )
    rollout, n = (rows[name].to_numpy()[order] for name in ("rollout", "n"))
    return Held(types, Cells(ends, rollout, n, losses), known.rollouts[corpus])


def _types_of(token_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(V,) the ids that occur, ascending, and (N,) int32 the place of each in them."""
    there = np.bincount(token_id) > 0 if len(token_id) else np.zeros(0, bool)
    return np.flatnonzero(there), (np.cumsum(there) - 1).astype(np.int32)[token_id]


def _by_type(kind: np.ndarray, types: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) places by type, those of a type as they follow each other and so in the order of the
    rollouts, and (V + 1,) where each type begins: a sort by counting.
    """
    from scipy.sparse import csr_matrix

    entries = np.arange(len(kind), dtype=np.int32)
    one_row = np.array([0, len(kind)], np.int32)
    turned = csr_matrix((entries, kind, one_row), (1, max(types, 1))).tocsc()
    return turned.data, turned.indptr[: types + 1]


def parts_of(plan: Plan, known: Known) -> np.ndarray:
    """(P, B) bool: the parts of the rollouts that a detection compares; none of one rollout."""
    rollouts = known.rollouts[plan.last]
    return cutoff.parts(rollouts, plan.rule) if rollouts > 1 else np.zeros((0, rollouts), bool)


def _scores(plan: Plan, corpora: list[Held], known: Known) -> dict[str, pa.Array]:
    """For each type lists of 1 + 2P numbers: of all rollouts, of each part and of its rest."""
    held, score = corpora[-1], ranking_score(plan.rule.score, plan.mode)
    n, last = held.cells.n, held.cells.sums[-1]
    values: dict[str, np.ndarray] = {"n": n.astype(np.int64), "kl_sum": last}
    if score in NEED_SPREAD:
        wide = n.astype(np.float64)
        values |= {"rollouts": np.ones(len(n)), "ss": last**2, "sn": last * wide, "nn": wide**2}
    if score == "joint" and len(corpora) == 1:
        values["before"] = held.cells.sums[0]
    masks = np.ones((1, held.rollouts), bool)
    if len(parts := parts_of(plan, known)):
        both = np.stack([parts, ~parts], axis=1).reshape(-1, held.rollouts)
        masks = np.concatenate([masks, both])
    found = {name: _totals(held, each, masks) for name, each in values.items()}
    if score == "joint" and len(corpora) > 1:
        found["before"] = np.repeat(_before(corpora)[:, None], len(masks), axis=1)
    return {name: _listed(each) for name, each in found.items()}


_AT_ONCE = 2**23  # weights of rollouts, 8 bytes each


def _totals(held: Held, values_C: np.ndarray, masks_PB: np.ndarray) -> np.ndarray:
    """(V, P), some masks at a time."""
    some = max(1, _AT_ONCE // max(1, held.rollouts))
    blocks = (masks_PB[i : i + some] for i in range(0, len(masks_PB), some))
    return np.concatenate([held.cells.totals(values_C, block) for block in blocks], axis=1)


def _before(corpora: list[Held]) -> np.ndarray:
    """(V,) the summed loss of all texts before training, where these are others."""
    first, types = corpora[0], corpora[-1].types
    total = np.bincount(first.cells.type, first.cells.sums[0], len(first.types))
    return _of_types(first.types, total, types)


def _listed(values_VP: np.ndarray) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values_VP).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values_VP.shape[1])


def _persistent(
    plan: Plan, found: Candidates, types: np.ndarray, known: Known
) -> tuple[dict[str, pa.Array], Consistency]:
    """How many occurrences of each type are persistent, and consistent in all rollouts, in each
    part and in its rest.
    """
    rule, v = plan.rule, len(types)
    whole = recurrence.consistency(found, rule)
    kept = [whole.kept]
    if rule.score == "rock_score_ctx" and len(parts := parts_of(plan, known)):
        for pair in kept_in_parts(found, parts, rule, whole=whole):
            kept += pair
    counts = [np.bincount(found.type[mask], minlength=v) for mask in kept]
    columns = {
        "persistent": pa.array(np.bincount(found.type, minlength=v)),
        "consistent": _listed(np.stack(counts, axis=1)),
    }
    return columns, whole


def _by_shard(
    found: Candidates, kept: np.ndarray, types: np.ndarray, starts: np.ndarray
) -> list[tuple[int, pa.Table]]:
    """The kept occurrences, which count from the first row of their shard."""
    at, token = found.at[kept], types[found.type[kept]]
    ends = np.append(np.searchsorted(at, starts), len(at))
    pieces = zip(ends, ends[1:], strict=False)
    return [(s, _placed(token[i:j], at[i:j] - starts[s])[1]) for s, (i, j) in enumerate(pieces)]


def _placed(token: np.ndarray, at: np.ndarray) -> tuple[int, pa.Table]:
    return 0, pa.table({"token_id": token.astype(np.int32), "at": at.astype(np.int32)})


def _candidates(
    plan: Plan, bucket: int, types: np.ndarray, known: Known, out: Path
) -> tuple[Candidates, np.ndarray]:
    """The persistent occurrences of all shards, and at which row of the whole each shard starts."""
    tables, rollouts, rows, starts = [], 0, 0, list[int]()
    for shard in plan.of_corpus(plan.last):
        table = partial.rows_of(pairs.path(plan, shard, known.taus, out), bucket)
        starts.append(rows)
        at = table["at"].to_numpy() + rows
        rollout = table["rollout"].to_numpy().astype(np.int64) + rollouts
        table = table.set_column(1, "at", pa.array(at))
        tables.append(table.set_column(2, "rollout", pa.array(rollout)))
        said = partial.said_by(sums.paths(plan, shard, out)[0])
        rollouts, rows = rollouts + said["rollouts"], rows + said["rows"]
    table = pa.concat_tables(tables)
    kind = np.searchsorted(types, table["token_id"].to_numpy())
    at, rollout = table["at"].to_numpy(), table["rollout"].to_numpy()
    return Candidates(at, kind, rollout, _contexts(plan, table)), np.array(starts)


def _contexts(plan: Plan, table: pa.Table) -> np.ndarray:
    columns = [table[f"context_{i}"].to_numpy() for i in range(2 * plan.rule.window)]
    return np.stack(columns).astype(np.int64)


def _matched(
    plan: Plan, bucket: int, found: Candidates, types: np.ndarray, known: Known, out: Path
) -> tuple[Candidates, int]:
    """Of the occurrences that are high after training those that count as persistent, and how many
    had no similar context before: see persistence.matched, whose sums these are, of some types.
    """
    asked = types[np.unique(found.type)]
    tables = []
    for shard in plan.of_corpus(0):
        rows = partial.rows_of(pairs.path(plan, shard, known.taus, out), bucket)
        tables.append(rows.filter(pa.array(np.isin(rows["token_id"].to_numpy(), asked))))
    before = pa.concat_tables(tables)
    kind = np.searchsorted(types, before["token_id"].to_numpy())
    later = np.append(np.zeros(len(before), bool), np.ones(len(found.at), bool))
    was_high = np.append(before["high"].to_numpy(), np.zeros(len(found.at), bool))
    seen, high = similar_sums(
        np.append(kind, found.type),
        np.concatenate([_contexts(plan, before), found.context], axis=1),
        agreements_needed(plan.rule.gamma, plan.rule.window),
        np.stack([~later, was_high]).astype(np.int64),
        later,
    )
    seen, high = seen[later], high[later]
    return found.of((seen > 0) & (2 * high >= seen)), int((seen == 0).sum())


def _high(
    plan: Plan, bucket: int, corpora: list[Held], known: Known, out: Path
) -> dict[str, np.ndarray]:
    """(V,) occurrences at the first checkpoint and the last, and those that are high there."""
    columns: dict[str, np.ndarray] = {}
    types, first = corpora[-1].types, corpora[0]
    for name, corpus in (("first", 0), ("last", plan.last)):
        files = [pairs.path(plan, s, known.taus, out) for s in plan.of_corpus(corpus)]
        rows = pa.concat_tables([partial.rows_of(file, bucket) for file in files])
        columns[f"{name}_high"] = _of_types(rows["token_id"], rows["high"], types)
    n = np.bincount(first.cells.type, first.cells.n, len(first.types))
    columns["first_n"] = _of_types(first.types, n, types)
    return columns


def _of_types(token_id: Any, counts: Any, types: np.ndarray) -> np.ndarray:
    of, values = np.asarray(token_id), np.asarray(counts)
    shared = np.isin(of, types)
    return np.bincount(np.searchsorted(types, of[shared]), values[shared], len(types))


def _classes(plan: Plan, corpora: list[Held], known: Known) -> pd.DataFrame:
    types = corpora[-1].types
    found = [
        sums for held in corpora for sums in sums_of(held.cells, held.types, held.rollouts, types)
    ]
    history = History.of_checkpoints(types, found, plan.paired, known.hard_from)
    if plan.mode == "single" or not known.draws:
        return unknown_change(history)
    return classify(history, plan.rule.seed, known.draws)
