"""Long work gives way: it stops when the page that waits for it is ended, and is not remembered
half-done.
"""

from __future__ import annotations

import threading

import pytest

from app import work


class Ended(BaseException):
    """As Streamlit ends a script: no Exception."""


def test_a_result_is_computed_once() -> None:
    calls: list[int] = []
    assert [
        work.work(("once", 1), lambda pulse: calls.append(1) or "done", "…") for _ in range(3)
    ] == ["done"] * 3
    assert calls == [1] and work.known(("once", 1)) == "done"


def test_an_ended_page_stops_its_work_at_the_next_pulse_and_nothing_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def task(pulse: object) -> str:
        begun.set()
        try:
            while True:
                pulse()  # pyright: ignore[reportCallIssue]
        except work.Stopped:
            stopped.set()
            raise

    def end(finished: threading.Event, saying: str) -> None:
        assert begun.wait(10)
        raise Ended

    monkeypatch.setattr(work, "_wait", end)
    with pytest.raises(Ended):
        work.work("endless", task, "…")
    assert stopped.wait(10)
    assert work.known("endless") is None


def test_an_error_of_the_work_is_raised_where_it_was_asked_for_and_not_remembered() -> None:
    def task(pulse: object) -> str:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            work.work("wrong", task, "…")


def test_what_was_not_asked_for_the_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_done", type(work._done)())
    for i in range(work._REMEMBERED):
        work.remember(i, i)
    work.known(0)
    work.remember("new", 1)
    assert work.known(0) == 0 and work.known(1) is None and len(work._done) == work._REMEMBERED
