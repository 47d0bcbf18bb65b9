"""Stage two of a scan, when the thresholds are known: which occurrences of a shard are high before
and after training, each with its context, parted by type. Where the texts differ: how many of each
type are high at one end; or, to match them, those that are high after training, and all before it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from rockcore.rocks.corpus import Corpus
from rockcore.rocks.persistence import candidates
from rockcore.scale import partial
from rockcore.scale.parting import parted
from rockcore.scale.plan import Plan, Shard, key_of
from rockcore.scale.shard import read

Taus = tuple[float, float]


def path(plan: Plan, shard: Shard, taus: Taus, out: Path) -> Path:
    rule = plan.rule
    of_shard = (shard.address, shard.steps, shard.first, shard.after, shard.state)
    asked = (rule.column, plan.buckets, plan.mode, plan.steps, taus)
    of_contexts = (rule.window, rule.excluded_contexts)
    return out / "pairs" / f"{key_of('pairs', of_shard, asked, of_contexts)}.parquet"


def make(plan: Plan, index: int, taus: Taus, out: Path) -> str:
    """Write what is high in a shard, unless that is done."""
    shard = plan.shards[index]
    to = path(plan, shard, taus, out)
    if to.exists():
        return str(to)
    corpus = read(plan, shard, only=[0, -1]).corpus
    before, after = corpus.losses[0] >= taus[0], corpus.losses[-1] >= taus[1]
    if plan.paired:
        both = before & after
        said = {"before": int(before.sum()), "after": int(after.sum()), "both": int(both.sum())}
        partial.write(to, _in_context(plan, corpus, np.flatnonzero(both)), said)
        return str(to)
    first = shard.corpus == 0
    high, name = (before, "before") if first else (after, "after")
    said = {name: int(high.sum())}
    if plan.mode == "matched":
        at = np.arange(len(corpus)) if first else np.flatnonzero(high)
        partial.write(to, _in_context(plan, corpus, at, high), said)
    else:
        count = np.bincount(corpus.type[high], minlength=len(corpus.types))
        columns = {"token_id": corpus.types.astype(np.int32), "high": count}
        partial.write(to, parted(columns, plan.buckets), said)
    return str(to)


def _in_context(
    plan: Plan, corpus: Corpus, at: np.ndarray, high: np.ndarray | None = None
) -> list[tuple[int, pa.Table]]:
    """`at` and `rollout` count from 0 within the shard."""
    found = candidates(corpus, at, plan.rule)
    columns = {
        "token_id": corpus.types[found.type].astype(np.int32),
        "at": found.at.astype(np.int64),
        "rollout": found.rollout.astype(np.int32),
        **{f"context_{i}": row.astype(np.int32) for i, row in enumerate(found.context)},
    }
    if high is not None:
        columns["high"] = high[found.at]
    return parted(columns, plan.buckets)
