"""A work that cannot be stopped, beside something that can."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


def beside(work: Callable[[], T], pulse: Callable[[], None]) -> T:
    """The answer of a work that cannot be stopped, with `pulse` called all along. Where it raises,
    nobody waits any more, and the work comes to its end alone.
    """
    pool = ThreadPoolExecutor(1)
    try:
        job = pool.submit(work)
        while not job.done():
            wait([job], _LOOK_S)
            pulse()
        return job.result()
    finally:
        pool.shutdown(wait=False)


_LOOK_S = 0.2
