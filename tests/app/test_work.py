"""A question is worked out once for all who ask it, gives way when nobody does, and brings nobody
to a stand.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S, wait_until

from app import memory, turns, work
from app.data import rocks, runs
from rockcore.log import sample_runs
from rockcore.rocks.rule import RockRule

HABIT = sample_runs() / "habit"
WAIT = work._wait  # as pages wait


class Ended(BaseException):
    """As Streamlit ends a script: no Exception."""


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    memory.forget()
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


def test_a_result_is_computed_once() -> None:
    calls: list[int] = []
    assert [
        work.work(("once", 1), lambda pulse: calls.append(1) or "done", "…") for _ in range(3)
    ] == ["done"] * 3
    assert calls == [1] and memory.known(("once", 1)) == "done"


@pytest.mark.parametrize("nothing", [None, 0, "", [], False])
def test_a_result_that_is_nothing_is_remembered_too(nothing: object) -> None:
    calls: list[int] = []
    for _ in range(2):
        assert work.work("nothing", lambda pulse: (calls.append(1), nothing)[1], "…") is nothing
    assert calls == [1]
    assert memory.known("nothing", memory.MISSING) is nothing
    assert memory.known("never asked", memory.MISSING) is memory.MISSING


def test_sessions_with_one_question_share_one_computation(together) -> None:
    calls, answers, go = [], [], threading.Event()

    def task(pulse: object) -> str:
        calls.append(1)
        assert go.wait(PATIENCE_S)
        return "done"

    together(*[lambda: answers.append(work.work("shared", task, "…"))] * 4)
    wait_until(lambda: "shared" in work._jobs and work._jobs["shared"].waiting == 4)
    go.set()
    wait_until(lambda: len(answers) == 4)
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


def end_page_once(begun: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Streamlit end the script that waits, as soon as its work has begun."""

    def end(finished: threading.Event, saying: str) -> None:
        assert begun.wait(PATIENCE_S)
        raise Ended

    monkeypatch.setattr(work, "_wait", end)


def test_an_ended_page_stops_its_work_at_the_next_pulse_and_nothing_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, stopped = threading.Event(), threading.Event()

    end_page_once(begun, monkeypatch)
    with pytest.raises(Ended):
        work.work("endless", endless(begun, stopped), "…")
    assert stopped.wait(PATIENCE_S)
    assert memory.known("endless", memory.MISSING) is memory.MISSING


def test_a_log_that_nobody_waits_for_any_more_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, stopped = threading.Event(), threading.Event()
    read = endless(begun, stopped)
    monkeypatch.setattr("rockcore.rocks.examined.gather", lambda run, rule, pulse: read(pulse))
    end_page_once(begun, monkeypatch)
    with pytest.raises(Ended):
        rocks.examined(runs.key(str(HABIT)), RockRule())
    assert stopped.wait(PATIENCE_S)


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
    wait_until(lambda: "wanted" in work._jobs and work._jobs["wanted"].waiting == 2)
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
    wait_until(lambda: "wrong for all" in work._jobs and work._jobs["wrong for all"].waiting == 3)
    go.set()
    wait_until(lambda: len(errors) == 3)


def test_so_many_at_once_work_and_no_more_and_the_others_follow(together) -> None:
    active, most, go, answers = [], [], threading.Event(), []

    def task(pulse: object) -> int:
        active.append(1)
        most.append(len(active))
        assert go.wait(PATIENCE_S)
        active.pop()
        return 1

    questions = turns.AT_ONCE + 3
    together(
        *[lambda i=i: answers.append(work.work(("many", i), task, "…")) for i in range(questions)]
    )
    wait_until(lambda: len(work._jobs) == questions)
    assert len(active) == turns.AT_ONCE
    go.set()
    wait_until(lambda: len(answers) == questions)
    assert max(most) <= turns.AT_ONCE and not work._at_work


def test_work_that_needs_other_work_does_not_wait_for_a_free_place(together) -> None:
    """Every place taken by one that asks for another would be a standstill."""
    answers: list[int] = []

    def outer(i: int) -> Callable[..., int]:
        return lambda pulse: 1 + work.work(("inner", i), lambda pulse: i, "…")

    together(
        *[
            lambda i=i: answers.append(work.work(("outer", i), outer(i), "…"))
            for i in range(2 * turns.AT_ONCE)
        ]
    )
    wait_until(lambda: len(answers) == 2 * turns.AT_ONCE)
    assert sorted(answers) == [1 + i for i in range(2 * turns.AT_ONCE)]
    assert memory.known(("inner", 0)) == 0


def test_a_machine_without_threads_to_spare_says_so_and_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(work.threading, "Thread", Refused)
        for _ in range(turns.AT_ONCE + 1):
            with pytest.raises(RuntimeError, match="new thread"):
                work.work("asked", lambda pulse: 1, "")
    assert work.work("asked", lambda pulse: 2, "") == 2


def test_works_that_need_the_same_share_it(together) -> None:
    calls, answers, go = Counter(), [], threading.Event()

    def inner(pulse: object) -> str:
        calls["inner"] += 1
        assert go.wait(PATIENCE_S)
        return "shared"

    def outer(i: int) -> Callable[..., str]:
        return lambda pulse: f"{i} {work.work('inner', inner, '…')}"

    together(
        *[lambda i=i: answers.append(work.work(("outer", i), outer(i), "…")) for i in range(4)]
    )
    wait_until(lambda: "inner" in work._jobs and work._jobs["inner"].waiting == 4)
    go.set()
    wait_until(lambda: len(answers) == 4)
    assert calls["inner"] == 1 and sorted(answers) == [f"{i} shared" for i in range(4)]
    assert not work._at_work and not work._jobs


def test_who_leaves_does_not_stop_what_another_work_needs(
    monkeypatch: pytest.MonkeyPatch, together
) -> None:
    """The first session's work does the inner one; the second waits for that."""
    leave, go, stopped, answers = threading.Event(), threading.Event(), threading.Event(), []

    def wait(finished: threading.Event, saying: str) -> None:
        if saying != "leaves":
            finished.wait(PATIENCE_S)
            return
        assert leave.wait(PATIENCE_S)
        raise Ended

    def inner(pulse: Callable[[], None]) -> str:
        while not go.wait(0.01):
            pulse()
        return "inner"

    def first(pulse: Callable[[], None]) -> str:
        found = work.work("inner", inner, "…")
        try:
            pulse()
        except work.Stopped:
            stopped.set()
            raise
        return found

    def ask_and_leave() -> None:
        with pytest.raises(Ended):
            work.work("first", first, "leaves")

    monkeypatch.setattr(work, "_wait", wait)
    together(ask_and_leave)
    wait_until(lambda: "inner" in work._jobs)
    second = lambda pulse: f"second {work.work('inner', inner, '')}"  # noqa: E731
    together(lambda: answers.append(work.work("second", second, "stays")))
    wait_until(lambda: work._jobs["inner"].waiting == 2)
    leave.set()
    wait_until(lambda: "first" not in work._jobs)
    go.set()
    wait_until(lambda: answers == ["second inner"])
    assert stopped.wait(PATIENCE_S), "nobody waited for the first any more"


def test_a_work_that_only_a_left_one_needs_is_stopped_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, stopped = threading.Event(), threading.Event()

    end_page_once(begun, monkeypatch)
    with pytest.raises(Ended):
        work.work("outer", lambda p: work.work("inner", endless(begun, stopped), "…"), "…")
    assert stopped.wait(PATIENCE_S)
    wait_until(lambda: not work._jobs and not work._at_work)


def test_a_kept_question_is_answered_once_for_all(together) -> None:
    calls, answers, go = [], [], threading.Event()

    @work.kept
    def double(n: int, plus: int = 0) -> int:
        calls.append((n, plus))
        assert go.wait(PATIENCE_S)
        return 2 * n + plus

    together(*[lambda i=i: answers.append(double(i % 2, plus=1)) for i in range(8)])
    wait_until(lambda: len(work._jobs) == 2 and sum(j.waiting for j in work._jobs.values()) == 8)
    go.set()
    wait_until(lambda: len(answers) == 8)
    assert sorted(calls) == [(0, 1), (1, 1)] and sorted(answers) == [1] * 4 + [3] * 4
    assert double(1, plus=1) == 3 and len(calls) == 2


def test_an_error_of_a_kept_question_reaches_all_who_wait_and_is_not_kept(together) -> None:
    calls, errors, go = [], [], threading.Event()

    @work.kept
    def refuse() -> None:
        calls.append(1)
        assert go.wait(PATIENCE_S)
        raise ValueError("no")

    def ask() -> None:
        try:
            refuse()
        except ValueError as e:
            errors.append(e)

    together(ask, ask, ask)
    wait_until(lambda: any(job.waiting == 3 for job in work._jobs.values()))
    go.set()
    wait_until(lambda: len(errors) == 3)
    assert calls == [1]
    with pytest.raises(ValueError, match="no"):
        refuse()
    assert calls == [1, 1]


def test_a_page_that_is_ended_in_a_kept_question_leaves_it_to_the_next_who_waits(together) -> None:
    """What ends one person's page is no answer to another's question."""
    calls, answers, go = [], [], threading.Event()

    @work.kept
    def ask() -> str:
        calls.append(1)
        if len(calls) == 1:
            assert go.wait(PATIENCE_S)
            raise Ended
        return "answer"

    def ended() -> None:
        with pytest.raises(Ended):
            ask()

    together(ended)
    wait_until(lambda: calls == [1])
    together(*[lambda: answers.append(ask())] * 3)
    wait_until(lambda: any(job.waiting == 4 for job in work._jobs.values()))
    go.set()
    wait_until(lambda: answers == ["answer"] * 3)
    assert calls == [1, 1] and not work._jobs


def test_a_question_that_needs_its_own_answer_is_refused() -> None:
    @work.kept
    def circle() -> int:
        return circle()

    with pytest.raises(RuntimeError, match="its own answer"):
        circle()
    with pytest.raises(RuntimeError, match="its own answer"):
        work.work("self", lambda pulse: work.work("self", lambda pulse: 1, "…"), "…")


GRAPHS = st.lists(
    st.tuples(
        st.lists(st.integers(1, 6), max_size=3, unique=True),  # how far before it lies what it asks
        st.sampled_from(["kept", "work"]),
    ),
    min_size=2,
    max_size=10,
)


@settings(max_examples=25)
@given(graph=GRAPHS, asked=st.lists(st.integers(0, 9), min_size=4, max_size=12))
def test_questions_that_ask_others_are_answered_once_each_in_whatever_order(
    graph: list[tuple[list[int], str]], asked: list[int]
) -> None:
    """Whoever asks what, of whatever kind: nobody waits for ever, and each is worked out once."""
    memory.forget()
    calls: Counter[int] = Counter()

    def value(n: int) -> int:
        return 1 + sum(value(n - back) for back in graph[n][0] if n - back >= 0)

    def solve(n: int) -> int:
        calls[n] += 1
        return 1 + sum(ask(n - back) for back in graph[n][0] if n - back >= 0)

    solve_kept = work.kept(solve)

    def ask(n: int) -> int:
        if graph[n][1] == "kept":
            return solve_kept(n)
        return work.work(("solve", n), lambda pulse: solve(n), "…")

    wanted, answers = [n % len(graph) for n in asked], {}
    threads = [
        threading.Thread(target=lambda i=i, n=n: answers.update({i: ask(n)}))
        for i, n in enumerate(wanted)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert [answers[i] for i in range(len(wanted))] == [value(n) for n in wanted]
    assert set(calls.values()) == {1}
    wait_until(lambda: not work._jobs and not work._at_work)


def test_few_pages_are_drawn_at_once(together) -> None:
    drawn, most, answers, go = [], [], [], threading.Event()

    def draw() -> None:
        with turns.turn():
            drawn.append(1)
            most.append(len(drawn))
            assert go.wait(PATIENCE_S)
            drawn.pop()
        answers.append(1)

    with pytest.MonkeyPatch.context() as patient:
        patient.setattr(turns, "_MOST_S", PATIENCE_S)
        together(*[draw] * (turns.AT_ONCE + 3))
        wait_until(lambda: len(drawn) == turns.AT_ONCE)
        go.set()
        wait_until(lambda: len(answers) == turns.AT_ONCE + 3)
    assert max(most) == turns.AT_ONCE


def test_a_page_is_drawn_though_those_whose_turn_it_is_do_not_end(together) -> None:
    go, answers = threading.Event(), []

    def hold() -> None:
        with turns.turn():
            assert go.wait(PATIENCE_S)

    def draw() -> None:
        with turns.turn():
            answers.append(1)

    together(*[hold] * turns.AT_ONCE)
    wait_until(lambda: turns._turns._value == 0)
    together(draw)
    wait_until(lambda: answers == [1])
    go.set()


def test_a_page_that_waits_for_a_work_hands_on_its_turn(
    monkeypatch: pytest.MonkeyPatch, together
) -> None:
    go, answers = threading.Event(), []
    monkeypatch.setattr(work, "_wait", WAIT)
    monkeypatch.setattr(turns, "_MOST_S", PATIENCE_S)

    def wait() -> None:
        with turns.turn():
            answers.append(work.work("long", lambda pulse: go.wait(PATIENCE_S), "…"))

    def draw() -> None:
        with turns.turn():
            answers.append("drawn")

    together(*[wait] * turns.AT_ONCE)
    wait_until(lambda: "long" in work._jobs and work._jobs["long"].waiting == turns.AT_ONCE)
    together(draw)
    wait_until(lambda: answers == ["drawn"])
    go.set()
    wait_until(lambda: len(answers) == 1 + turns.AT_ONCE)
    assert turns._turns._value == turns.AT_ONCE
