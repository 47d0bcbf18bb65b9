"""Long work is done once for all who wait, gives way when nobody does, and is remembered within a
bound.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from app import work

PATIENCE_S = 10


class Ended(BaseException):
    """As Streamlit ends a script: no Exception."""


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_done", type(work._done)())
    monkeypatch.setattr(work, "_wait", lambda finished, saying: finished.wait(PATIENCE_S))


@pytest.fixture
def together() -> Iterator[Callable[..., list[threading.Thread]]]:
    """together(f, g, …) calls each in a thread of its own, as sessions do."""
    threads: list[threading.Thread] = []

    def start(*calls: Callable[[], object]) -> list[threading.Thread]:
        new = [threading.Thread(target=call) for call in calls]
        for thread in new:
            thread.start()
        threads.extend(new)
        return new

    yield start
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def until(true: Callable[[], bool]) -> None:
    """Wait for another thread to get there."""
    for _ in range(int(PATIENCE_S / 0.01)):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not get there")


def test_a_result_is_computed_once() -> None:
    calls: list[int] = []
    assert [
        work.work(("once", 1), lambda pulse: calls.append(1) or "done", "…") for _ in range(3)
    ] == ["done"] * 3
    assert calls == [1] and work.known(("once", 1)) == "done"


@pytest.mark.parametrize("nothing", [None, 0, "", [], False])
def test_a_result_that_is_nothing_is_remembered_too(nothing: object) -> None:
    calls: list[int] = []
    for _ in range(2):
        assert work.work("nothing", lambda pulse: (calls.append(1), nothing)[1], "…") is nothing
    assert calls == [1]
    assert work.known("nothing", work.MISSING) is nothing
    assert work.known("never asked", work.MISSING) is work.MISSING


def test_sessions_with_one_question_share_one_computation(together) -> None:
    calls, answers, go = [], [], threading.Event()

    def task(pulse: object) -> str:
        calls.append(1)
        assert go.wait(PATIENCE_S)
        return "done"

    together(*[lambda: answers.append(work.work("shared", task, "…"))] * 4)
    until(lambda: "shared" in work._jobs and work._jobs["shared"].waiting == 4)
    go.set()
    until(lambda: len(answers) == 4)
    assert calls == [1] and answers == ["done"] * 4 and not work._jobs


def endless(begun: threading.Event, stopped: threading.Event) -> Callable[..., str]:
    def task(pulse: Callable[[], None]) -> str:
        begun.set()
        try:
            while True:
                pulse()
        except work.Stopped:
            stopped.set()
            raise

    return task


def test_an_ended_page_stops_its_work_at_the_next_pulse_and_nothing_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def end(finished: threading.Event, saying: str) -> None:
        assert begun.wait(PATIENCE_S)
        raise Ended

    monkeypatch.setattr(work, "_wait", end)
    with pytest.raises(Ended):
        work.work("endless", endless(begun, stopped), "…")
    assert stopped.wait(PATIENCE_S)
    assert work.known("endless", work.MISSING) is work.MISSING


def test_work_goes_on_while_another_session_waits_and_stops_when_the_last_has_gone(
    monkeypatch: pytest.MonkeyPatch, together
) -> None:
    begun, stopped = threading.Event(), threading.Event()
    leave = {"first": threading.Event(), "second": threading.Event()}

    def wait(finished: threading.Event, saying: str) -> None:
        assert leave[saying].wait(PATIENCE_S)
        raise Ended

    def ask(name: str) -> None:
        with pytest.raises(Ended):
            work.work("wanted", endless(begun, stopped), name)

    monkeypatch.setattr(work, "_wait", wait)
    first, _ = together(lambda: ask("first"), lambda: ask("second"))
    until(lambda: "wanted" in work._jobs and work._jobs["wanted"].waiting == 2)
    leave["first"].set()
    first.join(PATIENCE_S)
    assert not stopped.wait(0.2), "one who left stopped the work of one who waits"
    leave["second"].set()
    assert stopped.wait(PATIENCE_S)


def test_who_asks_after_all_have_gone_gets_a_work_of_his_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not the error of the one that is being stopped."""
    begun, hold = threading.Event(), threading.Event()

    def slow_to_stop(pulse: Callable[[], None]) -> str:
        begun.set()
        hold.wait(PATIENCE_S)
        pulse()
        return "never"

    def end(finished: threading.Event, saying: str) -> None:
        assert begun.wait(PATIENCE_S)
        raise Ended

    with monkeypatch.context() as patch:
        patch.setattr(work, "_wait", end)
        with pytest.raises(Ended):
            work.work("again", slow_to_stop, "…")
    assert work.work("again", lambda pulse: "mine", "…") == "mine"
    hold.set()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), Ended(), KeyboardInterrupt()])
def test_an_error_of_the_work_is_raised_where_it_was_asked_for_and_not_remembered(
    error: BaseException,
) -> None:
    calls: list[int] = []

    def task(pulse: object) -> str:
        calls.append(1)
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            work.work("wrong", task, "…")
    assert calls == [1, 1]


def test_an_error_reaches_every_session_that_waits(together) -> None:
    go, errors = threading.Event(), []

    def task(pulse: object) -> str:
        assert go.wait(PATIENCE_S)
        raise Ended

    def ask() -> None:
        try:
            work.work("wrong for all", task, "…")
        except Ended as e:
            errors.append(e)

    together(ask, ask, ask)
    until(lambda: "wrong for all" in work._jobs and work._jobs["wrong for all"].waiting == 3)
    go.set()
    until(lambda: len(errors) == 3)


def test_so_many_at_once_work_and_no_more_and_the_others_follow(together) -> None:
    active, most, go, answers = [], [], threading.Event(), []

    def task(pulse: object) -> int:
        active.append(1)
        most.append(len(active))
        assert go.wait(PATIENCE_S)
        active.pop()
        return 1

    questions = work.AT_ONCE + 3
    together(
        *[lambda i=i: answers.append(work.work(("many", i), task, "…")) for i in range(questions)]
    )
    until(lambda: len(work._jobs) == questions)
    assert len(active) == work.AT_ONCE
    go.set()
    until(lambda: len(answers) == questions)
    assert max(most) <= work.AT_ONCE and not work._at_work


def test_work_that_needs_other_work_does_not_wait_for_a_free_place(together) -> None:
    """Every place taken by one that asks for another would be a standstill."""
    answers: list[int] = []

    def outer(i: int) -> Callable[..., int]:
        return lambda pulse: 1 + work.work(("inner", i), lambda pulse: i, "…")

    together(
        *[
            lambda i=i: answers.append(work.work(("outer", i), outer(i), "…"))
            for i in range(2 * work.AT_ONCE)
        ]
    )
    until(lambda: len(answers) == 2 * work.AT_ONCE)
    assert sorted(answers) == [1 + i for i in range(2 * work.AT_ONCE)]
    assert work.known(("inner", 0)) == 0


def test_what_was_not_asked_for_the_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is in bytes: three of these arrays fit, a fourth does not."""
    array = np.zeros(100_000)
    monkeypatch.setattr(work, "MOST_BYTES", int(3.5 * work.size_of(array)))
    for i in range(3):
        work.remember(i, array + i)
    assert work.known(0) is not None
    work.remember("new", array)
    assert work.known(0) is not None and work.known(1) is None and work.known(2) is not None
    work.remember("small", 1)
    assert len(work._done) == 4
    for _ in range(5):
        work.remember("new", array)
    assert len(work._done) == 4, "a result remembered anew was counted twice"


def test_a_result_beyond_the_bound_is_kept_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MOST_BYTES", 1_000)
    work.remember("small", 1)
    work.remember("large", np.zeros(1_000))
    assert work.known("large") is not None and work.known("small") is None


@dataclass
class Held:
    array: np.ndarray
    more: dict[str, object] = field(default_factory=dict)


def test_the_size_of_a_result_is_that_of_all_it_holds() -> None:
    array = np.zeros(50_000)
    texts = ["a long token " * 9 + str(i) for i in range(50_000)]
    frame = pd.DataFrame({"v": array, "word": texts})
    assert work.size_of(array) == pytest.approx(array.nbytes, rel=0.01)
    assert work.size_of(np.zeros(100_000)[::2]) == pytest.approx(array.nbytes, rel=0.01)
    assert work.size_of(frame) > array.nbytes + sum(map(len, texts))
    for value in (Held(array), [array], (array,), {"a": array}, {"a": [(Held(array),)]}):
        assert work.size_of(value) == pytest.approx(array.nbytes, rel=0.01)
    assert work.size_of([array] * 9) == pytest.approx(array.nbytes, rel=0.01), "one array, not nine"
    held = Held(array)
    held.more["itself"] = held
    assert work.size_of(held) == pytest.approx(array.nbytes, rel=0.01)


def test_a_machine_without_threads_to_spare_says_so_and_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(work.threading, "Thread", Refused)
        for _ in range(work.AT_ONCE + 1):
            with pytest.raises(RuntimeError, match="new thread"):
                work.work("asked", lambda pulse: 1, "")
    assert work.work("asked", lambda pulse: 2, "") == 2
