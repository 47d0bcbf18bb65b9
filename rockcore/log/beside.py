"""A work that cannot be stopped, or another work, beside something that can."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def beside(work: Callable[[], T], pulse: Callable[[], None]) -> T:
    """The answer of a work that cannot be stopped, with `pulse` called all along. Where it raises,
    nobody waits any more, and the work comes to its end alone.
    """
    return together(lambda: None, lambda _: work(), pulse)[1]


def together(
    here: Callable[[], S], there: Callable[[Callable[[], None]], T], pulse: Callable[[], None]
) -> tuple[S, T]:
    """The answers of two works side by side, `here` in this thread and `there` in another, on a
    second core where much of both is numpy. `there` is given a pulse of its own, which stops it
    when what is here has raised; `pulse` is called here alone, and nobody waits for it then.
    """
    stopped, pool = Event(), ThreadPoolExecutor(1)

    def go_on() -> None:
        if stopped.is_set():
            raise CancelledError

    try:
        job = pool.submit(there, go_on)
        mine = here()
        while not job.done():
            wait([job], _LOOK_S)
            pulse()
        return mine, job.result()
    finally:
        stopped.set()
        pool.shutdown(wait=False)


_LOOK_S = 0.2
