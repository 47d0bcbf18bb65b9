"""How long the phases of a step take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

WHOLE = "whole"  # of a piece of work: its phases and what is between them


class Clock:
    """Seconds spent in named phases of a step."""

    def __init__(self, device: torch.device | None = None):
        self.seconds: dict[str, float] = {}
        self.device = device

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = self._now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - start

    @contextmanager
    def shared(self) -> Iterator[Callable[[], Clock]]:
        """Gives a clock for each of the pieces of work that go on side by side meanwhile; of the
        time that goes by each phase gets its share of theirs.
        """
        clocks: list[Clock] = []

        def another() -> Clock:
            clocks.append(type(self)(self.device))
            return clocks[-1]

        start = self._now()
        yield another
        went_by = self._now() - start
        worked = sum(clock.seconds.get(WHOLE, 0.0) for clock in clocks) or 1.0
        for clock in clocks:
            for name, seconds in clock.seconds.items():
                if name != WHOLE:
                    share = went_by * seconds / worked
                    self.seconds[name] = self.seconds.get(name, 0.0) + share

    def _now(self) -> float:
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.synchronize(
                self.device
            )  # otherwise a phase ends when its kernels are queued, not when they are done
        return time.perf_counter()
