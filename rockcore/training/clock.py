"""How long the phases of a step take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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

    def _now(self) -> float:
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.synchronize(
                self.device
            )  # otherwise a phase ends when its kernels are queued, not when they are done
        return time.perf_counter()
