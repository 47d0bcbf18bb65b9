"""Several processes that share one piece of work, as `accelerate launch` or `torchrun` start them:
one a GPU, each told its number by the environment. Alone, a process is the first of one.

Results travel as files, so all that is said between them is small; it goes over gloo, which is
there with and without a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from rockcore.schema import RockError

T = TypeVar("T")
# the launcher ends all of them when one fails; who waits for a slow one is not to give up before
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """Which process of how many this is."""

    rank: int = 0
    world: int = 1
    local: int = 0  # its number on this machine

    @property
    def first(self) -> bool:
        """Whether this is the one that locks, writes the log and speaks."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The GPU of this process, where "cuda" leaves open which."""
        return f"cuda:{self.local}" if name == "cuda" and self.world > 1 else name

    def told(self, value: T) -> T:
        """What the first process says, in all of them."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def any(self, flag: bool) -> bool:
        """Whether one of them says so; returns when all have come this far."""
        if self.world == 1:
            return flag
        flags = torch.tensor([int(flag)])
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags.item())


class BadLaunch(RockError, ValueError):
    """The environment tells of a launch that cannot be."""


def _number(name: str, default: int) -> int:
    said = os.environ.get(name, str(default))
    if not said.isascii() or not said.isdigit():
        raise BadLaunch(
            f"The environment has {name}={ascii(said)[:80]}",
            "A launcher such as accelerate puts a number there: which process this is, and of how "
            "many",
            f"Unset {name} for one process, or start with accelerate launch",
        )
    return int(said)


@contextmanager
def launched() -> Iterator[Ranks]:
    """The processes of this launch, connected within the block. Raises BadLaunch."""
    rank, world, local = (
        _number(name, default)
        for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    if world == 1:
        yield Ranks()
        return
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Ranks(rank, world, local)
    finally:
        dist.destroy_process_group()
