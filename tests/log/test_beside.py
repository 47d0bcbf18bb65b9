"""Two works side by side end together: with both answers, or with the first that goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from patience import PATIENCE_S

from rockcore.log.beside import together


class Stop(Exception):
    pass


def stop() -> None:
    raise Stop


def nothing() -> None:
    pass


def endless(ended: threading.Event) -> Callable[[Callable[[], None]], None]:
    def work(pulse: Callable[[], None]) -> None:
        try:
            while True:
                pulse()
        finally:
            ended.set()

    return work


def test_both_are_at_work_at_once_and_both_answer():
    both = threading.Barrier(2, timeout=PATIENCE_S)
    assert together(lambda: (1, both.wait()), lambda _: (2, both.wait()), nothing)[0][0] == 1


def test_an_error_of_what_is_here_stops_the_other_too():
    ended = threading.Event()
    with pytest.raises(Stop):
        together(stop, endless(ended), nothing)
    assert ended.wait(PATIENCE_S)


def test_a_pulse_that_raises_stops_what_is_waited_for():
    ended = threading.Event()
    with pytest.raises(Stop):
        together(nothing, endless(ended), stop)
    assert ended.wait(PATIENCE_S)


def test_an_error_of_the_other_is_raised_here():
    with pytest.raises(Stop):
        together(nothing, lambda _: stop(), nothing)


def test_the_pulse_is_called_in_the_thread_that_gave_it():
    threads, go = set(), threading.Event()

    def pulse() -> None:
        threads.add(threading.get_ident())
        go.set()

    together(nothing, lambda _: go.wait(PATIENCE_S), pulse)
    assert threads == {threading.get_ident()}
