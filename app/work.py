"""Long work that gives way: when nobody waits for it any more, what was being computed stops at
once.

Streamlit lets a script finish what it is doing before it looks at the next event, unless the script
writes to the page. So the work runs in a thread, the script writes now and then, and when Streamlit
ends it there, the script no longer counts among those who wait. Sessions that ask the same wait for
one and the same work; it is told to stop when the last of them has gone.

Results are kept while together they take at most `MOST_BYTES`, the least recently asked for going
first. A result larger than that is kept alone: otherwise each rerun would compute it anew.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import streamlit as st

T = TypeVar("T")
_PATIENCE_S = 0.15  # so much is not worth a word
MOST_BYTES = 512 * 2**20
AT_ONCE = max(2, os.cpu_count() or 2)  # more would only take the cores from one another
MISSING: Any = object()  # what `known` answers for what is not known, as None may be a result


class Stopped(Exception):
    """Raised inside the work, by its pulse."""


class _Result(NamedTuple):
    value: Any
    bytes: int


@dataclass
class _Job:
    key: Hashable
    task: Callable[[Callable[[], None]], Any]
    waiting: int = 0  # scripts
    stop: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)
    value: Any = MISSING
    error: BaseException | None = None

    def pulse(self) -> None:
        if self.stop.is_set():
            raise Stopped


_lock = threading.Lock()  # over all that follows
_done: OrderedDict[Hashable, _Result] = OrderedDict()
_jobs: dict[Hashable, _Job] = {}  # that somebody waits for
_queue: deque[_Job] = deque()
_at_work = 0
_here = threading.local()  # .job: what this thread works on


def known(key: Hashable, default: Any = None) -> Any:
    """The result of a work done before, or `default`; give MISSING where None may be a result."""
    with _lock:
        return _found(key, default)


def work(key: Hashable, task: Callable[[Callable[[], None]], T], message: str) -> T:
    """The result of `task(pulse)`, from memory if it is there; otherwise computed while the page
    says `message`.

    `task` has to call `pulse` often. Its errors, whatever they are, are raised in every script that
    waits; what is interrupted is not remembered. Work asked for by a work is done in its thread.
    """
    outer: _Job | None = getattr(_here, "job", None)
    with _lock:
        before = _found(key, MISSING)
        if before is not MISSING:
            return before
        if outer is None:
            job = _joined(key, task)
    if outer is not None:
        return remember(key, task(outer.pulse))
    try:
        _wait(job.finished, message)
    finally:
        _leave(job)
    if job.error is not None:
        raise job.error
    return job.value


def remember(key: Hashable, result: T) -> T:
    """Keep a result, and forget those not asked for the longest until all fit MOST_BYTES."""
    size = size_of(result)
    with _lock:
        _done.pop(key, None)
        _done[key] = _Result(result, size)
        total = sum(r.bytes for r in _done.values())
        while total > MOST_BYTES and len(_done) > 1:
            total -= _done.popitem(last=False)[1].bytes
    return result


def size_of(value: Any) -> int:
    """Bytes that a result takes, each object in it counted once: frames with their texts, arrays
    with what they show of a larger one, containers and objects with all that they hold.

    What an object computes later, at the first question, is not foreseen: remember it again then.
    """
    total, seen, todo = 0, set(), [value]
    while todo:
        at = todo.pop()
        if id(at) in seen or isinstance(at, type) or callable(at):
            continue
        seen.add(id(at))
        total += max(sys.getsizeof(at), getattr(at, "nbytes", 0))
        todo += _parts(at)
    return total


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return value
    if hasattr(value, "nbytes") or hasattr(value, "memory_usage"):
        return ()  # an array, a frame, a table: it has told its size
    slots = [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
    return [*getattr(value, "__dict__", {}).values(), *slots]


def _found(key: Hashable, default: Any) -> Any:
    if key not in _done:
        return default
    _done.move_to_end(key)
    return _done[key].value


def _joined(key: Hashable, task: Callable[[Callable[[], None]], Any]) -> _Job:
    """The job of this key, which one script more waits for now. Under the lock."""
    job = _jobs.get(key)
    if job is None:
        job = _jobs[key] = _Job(key, task)
        _queue.append(job)
        _start_next()
    job.waiting += 1
    return job


def _leave(job: _Job) -> None:
    """One script less waits: it has what it wanted, or it was ended."""
    with _lock:
        job.waiting -= 1
        if job.waiting:
            return
        job.stop.set()
        if _jobs.get(job.key) is job:  # who asks from now on begins anew
            del _jobs[job.key]
        if job in _queue:
            _queue.remove(job)


def _start_next() -> None:
    """Put waiting jobs to work, as many as may run at once. Under the lock."""
    global _at_work
    while _queue and _at_work < AT_ONCE:
        job = _queue.popleft()
        try:
            threading.Thread(target=_run, args=(job,), daemon=True).start()
        except BaseException as e:  # the machine has no more threads: nobody may wait for it
            _end(job, e)
        else:
            _at_work += 1


def _end(job: _Job, error: BaseException | None) -> None:
    """Let those go who wait for it, and let the next who asks begin anew. Under the lock."""
    job.error = error
    if _jobs.get(job.key) is job:
        del _jobs[job.key]
    job.finished.set()


def _run(job: _Job) -> None:
    global _at_work
    _here.job = job
    error: BaseException | None = None
    try:
        job.pulse()
        job.value = remember(job.key, job.task(job.pulse))
    except BaseException as e:  # handed to the scripts that wait: without it they would for ever
        error = e
    finally:
        with _lock:
            _at_work -= 1
            _end(job, error)
            _start_next()


def _wait(finished: threading.Event, message: str) -> None:
    if finished.wait(_PATIENCE_S):
        return
    slot, dots = st.empty(), 0
    while not finished.wait(0.1):
        dots += 1
        slot.caption(
            f"{message} {'·' * (1 + dots % 3)}"
        )  # here Streamlit ends a script that is out of date
    slot.empty()
