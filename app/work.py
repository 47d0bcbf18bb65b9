"""Questions that all sessions share: whoever asks first works it out, and who asks the same
meanwhile waits for that one answer.

`kept` is for what takes a moment, and is worked out where it is asked for. `work` is for what takes
long, and gives way: when nobody waits for it any more, it stops at once. Streamlit lets a script
finish what it is doing before it looks at the next event, unless the script writes to the page. So
such work runs in a thread, the script writes now and then, and when Streamlit ends it there, the
script no longer counts among those who wait.

A question may ask others, as long as none leads back to itself. Who waits for another's answer
holds no place among the few that work, so that no number of questions can bring them to a stand.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import streamlit as st

from app import turns
from app.memory import MISSING, known, remember

P = ParamSpec("P")
T = TypeVar("T")
Pulse = Callable[[], None]
_PATIENCE_S = 0.15  # so much is not worth a word
_LOOK_S = 0.05  # how soon a work that waits for another sees that nobody waits for it


class Stopped(Exception):
    """Raised inside the work, by its pulse."""


@dataclass(eq=False)
class _Job:
    key: Hashable
    task: Callable[[Pulse], Any]
    outer: _Job | None = None  # in whose thread, and for which, it is done
    waiting: int = 0  # scripts, and works that asked for it
    thread: int = 0  # which works on it
    stop: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)
    value: Any = MISSING
    error: BaseException | None = None
    given_up: bool = False  # not for a fault of its own: who still waits asks anew

    def pulse(self) -> None:
        if self.unwanted():
            with _lock:
                if not self.unwanted():
                    return  # somebody came
                _drop(self)
            raise Stopped

    def unwanted(self) -> bool:
        """Whether nobody waits for it but a work that is unwanted itself."""
        alone = self.outer is not None and self.waiting <= 1 and self.outer.unwanted()
        return self.stop.is_set() or alone


_lock = threading.Lock()  # over all that follows
_jobs: dict[Hashable, _Job] = {}  # that somebody waits for
_queue: deque[_Job] = deque()
_at_work = 0
_here = threading.local()  # .job: what this thread works on


def work(key: Hashable, task: Callable[[Pulse], T], message: str) -> T:
    """The answer of `task(pulse)`, from memory if it is there; otherwise computed while the page
    says `message`.

    `task` has to call `pulse` often. Its errors, whatever they are, are raised in every script that
    waits; what is interrupted is not remembered. Work asked for by a work is done in its thread,
    unless another does it already.
    """
    return _answer(key, task, message, here=getattr(_here, "job", None) is not None)


def kept(question: Callable[P, T]) -> Callable[P, T]:
    """A question whose answers are kept by its arguments. One session works an answer out, in its
    own thread; an error is raised in all that wait for it, and is not kept.
    """

    @wraps(question)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        key = (question, args, tuple(sorted(kwargs.items())))
        return _answer(key, lambda pulse: question(*args, **kwargs), "Reading the log", here=True)

    return asked


def kept_saying(message: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """As `kept`, for a question that takes long: worked out beside the page, which says so."""

    def of(question: Callable[P, T]) -> Callable[P, T]:
        @wraps(question)
        def asked(*args: P.args, **kwargs: P.kwargs) -> T:
            key = (question, args, tuple(sorted(kwargs.items())))
            return work(key, lambda pulse: question(*args, **kwargs), message)

        return asked

    return of


def ahead(task: Callable[[], None]) -> None:
    """Do in this thread, beside all pages, what asks questions that they are likely to ask: who
    asks one of them meanwhile waits for its answer.
    """
    global _at_work
    with _lock:
        _at_work += 1
    _here.job = _Job("ahead", lambda pulse: task(), waiting=1, thread=threading.get_ident())
    try:
        task()
    finally:
        _here.job = None
        with _lock:
            _at_work -= 1
            _start_next()


def pulse() -> None:
    """For what is asked by `kept_saying`: stop it here, in its thread, when nobody waits for it any
    more.
    """
    job: _Job | None = getattr(_here, "job", None)
    if job is not None:
        job.pulse()


def is_known(question: Callable[..., Any], *args: Any) -> bool:
    """Whether the answer of a question that is kept is there at once."""
    return known((_inner(question), args, ()), MISSING) is not MISSING


def weigh(question: Callable[..., Any], *args: Any) -> None:
    """Count again what a kept answer takes, because it has worked out more of itself."""
    key = (_inner(question), args, ())
    if (answer := known(key, MISSING)) is not MISSING:
        remember(key, answer)


def _inner(question: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(question, "__wrapped__", question)


def _answer(key: Hashable, task: Callable[[Pulse], T], message: str, here: bool) -> T:
    while True:
        if (before := known(key, MISSING)) is not MISSING:
            return before
        with _lock:
            if (before := known(key, MISSING)) is not MISSING:  # it was just finished
                return before
            job, mine = _joined(key, task, here)
        if mine:
            return _work_here(job)
        try:
            _wait_for(job, message)
        finally:
            _leave(job)
        if job.given_up:
            continue
        if job.error is not None:
            raise job.error
        return job.value


def _joined(key: Hashable, task: Callable[[Pulse], Any], here: bool) -> tuple[_Job, bool]:
    """The job of this key, which one more waits for now, and whether that one is to do it. Under
    the lock.
    """
    job, mine = _jobs.get(key), False
    if job is None:
        job = _jobs[key] = _Job(key, task)
        mine = here
        if mine:
            job.outer, job.thread = getattr(_here, "job", None), threading.get_ident()
        else:
            _queue.append(job)
            _start_next()
    elif job.thread == threading.get_ident():
        raise RuntimeError(f"{key!r:.200} needs its own answer, and would wait for it for ever")
    job.waiting += 1
    return job, mine


def _work_here(job: _Job) -> Any:
    """Do a job in this thread. What ends this script is no error of the job."""
    inside = job.outer is not None
    if inside:
        _here.job = job
    error: BaseException | None = None
    try:
        job.value = remember(job.key, job.task(job.pulse))
        return job.value
    except BaseException as e:
        error = e
        raise
    finally:
        if inside:
            _here.job = job.outer
        with _lock:
            job.waiting -= 1
            job.given_up = error is not None and not isinstance(error, Exception)
            _end(job, error)


def _wait_for(job: _Job, message: str) -> None:
    """Until the job is finished. A work that waits lets another have its place."""
    global _at_work
    outer: _Job | None = getattr(_here, "job", None)
    if outer is None:
        _wait(job.finished, message)
        return
    with _lock:
        _at_work -= 1
        _start_next()
    try:
        while not job.finished.wait(_LOOK_S):
            outer.pulse()
    finally:
        with _lock:
            _at_work += 1


def _leave(job: _Job) -> None:
    """One less waits: it has what it wanted, or it was ended."""
    with _lock:
        job.waiting -= 1
        if not job.waiting:
            job.stop.set()
            _drop(job)


def _drop(job: _Job) -> None:
    """Who asks from now on begins anew. Under the lock."""
    if _jobs.get(job.key) is job:
        del _jobs[job.key]
    if job in _queue:
        _queue.remove(job)


def _start_next() -> None:
    """Put waiting jobs to work, as many as may run at once. Under the lock."""
    global _at_work
    while _queue and _at_work < turns.AT_ONCE:
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
    job.given_up = job.given_up or isinstance(error, Stopped)
    _drop(job)
    job.finished.set()


def _run(job: _Job) -> None:
    global _at_work
    _here.job, job.thread = job, threading.get_ident()
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
    slot, dots, had = st.empty(), 0, turns.give_up()
    while not finished.wait(0.1):
        dots += 1
        slot.caption(
            f"{message} {'·' * (1 + dots % 3)}"
        )  # here Streamlit ends a script that is out of date
    if had:
        turns.take()
    slot.empty()
