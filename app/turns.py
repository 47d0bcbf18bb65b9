"""Whose page is drawn now: few at once, the others in a row.

Only one thread of a Python process computes at a time. Forty pages that are drawn together take it
from one another some thousand times, need half as much again, and all end late; one after another,
most end early.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE = max(2, os.cpu_count() or 2)  # more would only take the cores from one another
_MOST_S = 0.5  # that a page waits, should those whose turn it is take long
_turns = threading.BoundedSemaphore(AT_ONCE)
_here = threading.local()  # .has_turn: whether this thread has one


@contextmanager
def turn() -> Iterator[None]:
    """Draw a page when it is its turn, or has waited for long."""
    take()
    try:
        yield
    finally:
        give_up()


def take() -> None:
    """Wait for a turn."""
    _here.has_turn = _turns.acquire(timeout=_MOST_S)


def give_up() -> bool:
    """Let another draw, as while this page waits for an answer; whether it had a turn."""
    had, _here.has_turn = getattr(_here, "has_turn", False), False
    if had:
        _turns.release()
    return had
