"""How many workers of a scan there are room for: they and the process that puts together what they
found take no more than the memory limit, see `rockcore.memory`.
"""

from __future__ import annotations

from typing import NamedTuple

from rockcore import memory, schema
from rockcore.memory import TooLittleMemory
from rockcore.scale.plan import Plan
from rockcore.scale.source import Source

# bytes, measured at 10 million positions of 50,000 types in shards of one to five million
_FOR_PROCESS, _FOR_WORKER = 200_000_000, 350_000_000
_FOR_POSITION, _FOR_TYPE = 180, 10_000
_SMALL = 50_000  # positions; shards below it are more files than numbers


class Room(NamedTuple):
    """What there is room for."""

    workers: int
    bytes_each: int  # what one of them may take


def room_for(workers: int, plan: Plan) -> Room:
    """As many of so many workers as the limit has room for, and what each may take of it; one
    where nobody has set a limit. Raises TooLittleMemory where one is set that has room for none.
    """
    vocab = schema.TABLES["vocab"]
    types = Source(plan.shards[0].address).footer(vocab.file(), vocab).num_rows
    rows = max(*(shard.rows for shard in plan.shards), plan.rows // plan.buckets)
    merge, need = _FOR_PROCESS + _FOR_TYPE * types, _FOR_WORKER + _FOR_POSITION * rows
    left = memory.limit() - merge
    fit = min(workers, left // need)
    if fit >= 1:
        return Room(fit, left // fit)
    if not memory.is_set():
        return Room(1, max(left, memory.LEAST))
    fewer = (left - _FOR_WORKER) // _FOR_POSITION // 10_000 * 10_000
    smaller = f"--shard-rows {fewer}, or " if fewer >= _SMALL else ""
    raise TooLittleMemory(
        f"A scan in shards of {rows:,} positions takes about {need / 1e9:.1f} GB for a worker, "
        f"and {merge / 1e9:.1f} GB to put together what is found of {types:,} types",
        f"It may take {memory.limit() / 1e9:.1f} GB",
        f"Give {smaller}more memory: --memory {-(-(need + merge) // 10**8) / 10:.1f}GB",
    )
