"""Stage one of a scan: what a shard says by itself, before any threshold is known.

Two partials a shard. *Sums*: for each step and type how often it occurs, Σ loss, Σ loss², the
greatest, Σ of gradient norms and a histogram; and beside them how the losses before training lie,
from which the threshold is found. *Cells*: the same by rollout, for the score that ranks and the
halves of the rollouts on which it has to be stable, parted by type.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rockcore import schema
from rockcore.categories.places import place_counts
from rockcore.rocks.corpus import Corpus
from rockcore.scale import partial, thresholds
from rockcore.scale.parting import parted
from rockcore.scale.plan import Plan, Shard, key_of
from rockcore.scale.shard import read
from rockcore.scale.source import Source


def key(plan: Plan, shard: Shard) -> str:
    """Of what both partials depend on."""
    of_shard = (shard.address, shard.steps, shard.first, shard.after, shard.state)
    return key_of("sums", of_shard, plan.rule.column, plan.buckets, plan.last == shard.corpus)


def paths(plan: Plan, shard: Shard, out: Path) -> tuple[Path, Path]:
    """Where they lie: the sums, which are written last, and the cells."""
    name = f"{key(plan, shard)}.parquet"
    return out / "sums" / name, out / "cells" / name


def make(plan: Plan, index: int, out: Path) -> str:
    """Write both partials of a shard, unless they are there."""
    shard = plan.shards[index]
    sums, cells = paths(plan, shard, out)
    if sums.exists() and cells.exists():
        return str(sums)
    corpus, grads = read(plan, shard, grads=True)
    vocab = Source(shard.address).vocab() if shard.corpus == plan.last else None
    partial.write(cells, _cells(corpus, plan.buckets), {})
    first = corpus.losses[0]
    said = {
        "rollouts": corpus.rollouts,
        "rows": len(corpus),
        "loss": [float(loss.sum(dtype=np.float64)) for loss in corpus.losses],
        "below": int((corpus.losses[-1] < 0).sum()),
        "before": thresholds.count_bins(first) if shard.corpus == 0 else [],
    }
    partial.write(sums, [(0, _sums(plan, corpus, grads, vocab))], said)
    return str(sums)


def _sums(
    plan: Plan, corpus: Corpus, grads: tuple[np.ndarray | None, ...], vocab: pa.Table | None
) -> pa.Table:
    """One row a step and type, by step and token id."""
    v, kind, types = len(corpus.types), corpus.type, corpus.types
    n = np.bincount(kind, minlength=v)
    shared: dict[str, Any] = {"token_id": types.astype(np.int32), "n": n}
    shared["rollouts"] = np.bincount(corpus.cells.type, minlength=v)
    if vocab is None:
        shared |= {"opens": np.zeros(v, np.int64), "joins": np.zeros(v, np.int64)}
    else:
        first = np.zeros(len(corpus), bool)
        first[corpus.starts] = True
        ids = vocab["token_id"].to_numpy()
        counts = place_counts(corpus.token_id, first, ids, vocab["token"].to_pylist())
        shared |= {"opens": counts.opens[types], "joins": counts.joins[types]}
    tables = []
    for step, loss, norm in zip(corpus.steps, corpus.losses, grads, strict=True):
        wide = loss.astype(np.float64)
        most = np.full(v, -np.inf)
        np.maximum.at(most, kind, wide)
        # one that is not known leaves the sum unknown
        known = _unknown(len(loss)) if norm is None else norm.astype(np.float64)
        columns = {
            "step": np.full(v, step, np.int32),
            **shared,
            "loss_sum": np.bincount(kind, wide, v),
            "loss_sq_sum": np.bincount(kind, wide * wide, v),
            "loss_max": most,
            "grad_norm_sum": np.bincount(kind, known, v),
            "grad_norm_sq_sum": np.bincount(kind, known * known, v),
            **_histogram(kind, loss, v),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _unknown(v: int) -> np.ndarray:
    return np.full(v, np.nan)


def _histogram(kind: np.ndarray, loss: np.ndarray, v: int) -> dict[str, pa.Array]:
    """For each type the bins that are not empty, and how many losses lie in each: of most types few
    are.
    """
    bins = len(schema.KL_EDGES) + 1
    counts = np.bincount(kind.astype(np.int64) * bins + bin_of(loss), minlength=v * bins)
    filled = np.flatnonzero(counts)
    ends = pa.array(np.searchsorted(filled, np.arange(v + 1) * bins).astype(np.int32))
    values = {"bins": (filled % bins).astype(np.uint8), "in_bins": counts[filled].astype(np.int32)}
    return {name: pa.ListArray.from_arrays(ends, pa.array(v)) for name, v in values.items()}


def bin_of(loss: np.ndarray) -> np.ndarray:
    """(N,) uint8: the bin of schema.KL_EDGES of each float32.

    Its upper 16 bits tell, but for one in thirty, which lie where an edge is: a fifth of the time
    of a search.
    """
    found = _bins_by_bits()[thresholds.sortable(loss) >> 16]
    unclear = np.flatnonzero(found == _UNCLEAR)
    found[unclear] = np.searchsorted(schema.KL_EDGES, loss[unclear], side="right")
    return found


_UNCLEAR = 255


@cache
def _bins_by_bits() -> np.ndarray:
    upper = np.arange(2**16, dtype=np.uint32) << 16
    with np.errstate(invalid="ignore"):  # some of them are no number
        low, high = (
            np.searchsorted(schema.KL_EDGES, thresholds.values_of(ends), side="right")
            for ends in (upper, upper | 0xFFFF)
        )
    return np.where(low == high, low, _UNCLEAR).astype(np.uint8)


def _cells(corpus: Corpus, buckets: int) -> list[tuple[int, pa.Table]]:
    """By bucket, and in it by token id and rollout, which counts from 0 within the shard."""
    cells = corpus.cells
    columns = {
        "token_id": corpus.types[cells.type].astype(np.int32),
        "rollout": cells.rollout,
        "n": cells.n,
        **{f"loss_{c}": loss for c, loss in enumerate(cells.sums)},
    }
    return parted(columns, buckets)
