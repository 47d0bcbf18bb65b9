"""Long work that gives way: when a person moves on, what was being computed for the old setting
stops at once.

Streamlit lets a script finish what it is doing before it looks at the next event, unless the script
writes to the page. So the work runs in a thread, the script writes now and then, and when Streamlit
ends it there, the work is told to stop.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import streamlit as st

T = TypeVar("T")
_PATIENCE_S = 0.15  # so much is not worth a word
_REMEMBERED = 48

_done: OrderedDict[Hashable, Any] = OrderedDict()
_lock = threading.Lock()


class Stopped(Exception):
    """Raised inside the work, by its pulse."""


def known(key: Hashable) -> Any | None:
    """The result of a work done before, or None."""
    with _lock:
        if key in _done:
            _done.move_to_end(key)
        return _done.get(key)


def work(key: Hashable, task: Callable[[Callable[[], None]], T], saying: str) -> T:
    """The result of `task(pulse)`, from memory if it is there; otherwise computed while the page
    says `saying`.

    `task` has to call `pulse` often. Its errors are raised here; what is interrupted is not
    remembered.
    """
    if (before := known(key)) is not None:
        return before
    stop, finished, outcome = threading.Event(), threading.Event(), {}

    def pulse() -> None:
        if stop.is_set():
            raise Stopped

    def run() -> None:
        try:
            outcome["result"] = task(pulse)
        except Stopped:
            pass
        except Exception as e:  # handed to the script that waits
            outcome["error"] = e
        finished.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        _wait(finished, saying)
    finally:
        stop.set()
    if "error" in outcome:
        raise outcome["error"]
    return remember(key, outcome["result"])


def remember(key: Hashable, result: T) -> T:
    """Keep a result, and forget the one that was not asked for the longest."""
    with _lock:
        _done[key] = result
        while len(_done) > _REMEMBERED:
            _done.popitem(last=False)
    return result


def _wait(finished: threading.Event, saying: str) -> None:
    if finished.wait(_PATIENCE_S):
        return
    slot, dots = st.empty(), 0
    while not finished.wait(0.1):
        dots += 1
        slot.caption(
            f"{saying} {'·' * (1 + dots % 3)}"
        )  # here Streamlit ends a script that is out of date
    slot.empty()
