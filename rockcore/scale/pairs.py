"""Stage two of a scan, when the thresholds are known: which occurrences of a shard are high before
and after training, each with its context, parted by type; where the texts differ, how many of each
type are high at one end.
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
    said = {"before": int(before.sum()), "after": int(after.sum())}
    if plan.paired:
        said["both"] = int((before & after).sum())
        found = np.flatnonzero(before & after)
        partial.write(to, _persistent(plan, corpus, found), said)
    else:
        high = np.bincount(corpus.type[before if shard.corpus == 0 else after])
        high = np.pad(high, (0, len(corpus.types) - len(high)))
        columns = {"token_id": corpus.types.astype(np.int32), "high": high}
        partial.write(to, parted(columns, plan.buckets), said)
    return str(to)


def _persistent(plan: Plan, corpus: Corpus, at: np.ndarray) -> list[tuple[int, pa.Table]]:
    """`at` and `rollout` count from 0 within the shard."""
    found = candidates(corpus, at, plan.rule)
    columns = {
        "token_id": corpus.types[found.type].astype(np.int32),
        "at": found.at.astype(np.int64),
        "rollout": found.rollout.astype(np.int32),
        **{f"context_{i}": row.astype(np.int32) for i, row in enumerate(found.context)},
    }
    return parted(columns, plan.buckets)
