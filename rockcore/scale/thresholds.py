"""The exact quantile of the losses before training, from counts of shards.

A float32 turned into an integer that sorts as it does, its upper 16 bits name one of 65,536 bins.
The counts of all shards say in which bins the two values lie that a quantile stands between; the
counts of the lower 16 bits of these bins alone, which a second look at that one column gives, say
which they are. No order of shards and no number of them changes a bit of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from rockcore import stats
from rockcore.rocks.thresholds import Quantiles
from rockcore.scale import partial
from rockcore.scale.plan import Plan, key_of
from rockcore.scale.shard import read


def sortable(loss: np.ndarray) -> np.ndarray:
    """(N,) uint32 in the order of the values, which are float32."""
    # adding 0 turns -0 into 0: the two are equal
    bits = (loss.astype(np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000))


def values_of(sortable_N: np.ndarray) -> np.ndarray:
    """(N,) float32: what `sortable` was made of."""
    bits = sortable_N.astype(np.uint32)
    return np.where(bits >> 31, bits ^ np.uint32(0x80000000), ~bits).view(np.float32)


def count_bins(loss: np.ndarray) -> list[tuple[int, int]]:
    """Each bin that is not empty, with how many losses lie in it."""
    counts = np.bincount(sortable(loss) >> 16)
    return [(int(b), int(counts[b])) for b in np.flatnonzero(counts)]


def _ends(n: int, share: float) -> tuple[int, int, float]:
    """The places of the two values that a quantile stands between, and how far towards the
    second.
    """
    place = (n - 1) * share
    low = int(np.floor(place))
    return low, min(low + 1, n - 1), place - low


def bins_of(counts: Counter[int], share: float) -> list[int]:
    """The bins, one or two, that hold the values which a quantile stands between."""
    bins = sorted(counts)
    upto = np.cumsum([counts[b] for b in bins])
    low, high, _ = _ends(int(upto[-1]), share)
    places = np.searchsorted(upto, [low, high], side="right")
    return sorted({bins[int(i)] for i in places})


def exact(counts: Counter[int], inside: Counter[int], share: float) -> float:
    """The quantile. `counts` by bin; `inside`, by sortable integer, of the bins of `bins_of`."""
    low, high, towards = _ends(sum(counts.values()), share)
    values: list[float] = []
    for place in (low, high):
        for b in sorted(counts):
            if place < counts[b]:
                break
            place -= counts[b]
        for value in sorted(v for v in inside if v >> 16 == b):
            if place < inside[value]:
                values.append(float(values_of(np.array([value]))[0]))
                break
            place -= inside[value]
    # of two values the quantile at `towards` is what numpy works out of all of them
    return stats.quantiles(np.array(values, np.float32), [towards])[0]


def path(plan: Plan, index: int, bins: list[int], out: Path) -> Path:
    shard = plan.shards[index]
    of_shard = (shard.address, shard.steps, shard.first, shard.after, shard.state)
    return out / "before" / f"{key_of('before', of_shard, plan.rule.column, bins)}.parquet"


def make(plan: Plan, index: int, bins: list[int], out: Path) -> str:
    """Count the losses of a shard within some bins, unless that is done."""
    to = path(plan, index, bins, out)
    if not to.exists():
        values = sortable(read(plan, plan.shards[index], only=[0]).corpus.losses[0])
        found, n = np.unique(values[np.isin(values >> 16, bins)], return_counts=True)
        partial.write(to, [(0, pa.table({"value": found, "n": n}))], {})
    return str(to)


def counted(files: Iterable[Path]) -> Counter[int]:
    """What the shards counted within the bins, together."""
    found: Counter[int] = Counter()
    for file in files:
        rows = partial.rows_of(file)
        for value, n in zip(rows["value"].to_pylist(), rows["n"].to_pylist(), strict=True):
            found[value] += n
    return found


class Known(Quantiles):
    """The one quantile that a scan has worked out, for `rocks.thresholds.taus`."""

    def __init__(self, share: float, value: float, dtype: str):
        super().__init__(np.zeros(0, np.float32), dtype)
        self._known[share] = value
