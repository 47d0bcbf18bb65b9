"""What is kept stays within a bound of bytes, the least recently asked for going first."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from app import memory, work


@pytest.fixture(autouse=True)
def _forgetful() -> None:
    memory.forget()


def test_what_was_not_asked_for_the_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is in bytes: three of these arrays fit, a fourth does not."""
    array = np.zeros(100_000)
    monkeypatch.setattr(memory, "bound", lambda: int(3.5 * memory.size_of(array)))
    for i in range(3):
        memory.remember(i, array + i)
    assert memory.known(0) is not None
    memory.remember("new", array)
    assert memory.known(0) is not None and memory.known(1) is None and memory.known(2) is not None
    memory.remember("small", 1)
    assert len(memory._done) == 4
    for _ in range(5):
        memory.remember("new", array)
    assert len(memory._done) == 4, "a result remembered anew was counted twice"


def test_a_result_beyond_the_bound_is_kept_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "bound", lambda: 1_000)
    memory.remember("small", 1)
    memory.remember("large", np.zeros(1_000))
    assert memory.known("large") is not None and memory.known("small") is None


def test_the_bound_follows_the_limit_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dashboard told to take 128 MiB kept a quarter of the machine all the same."""
    monkeypatch.setenv("ROCKCORE_MEMORY", "128MiB")
    for i in range(20):
        memory.remember(i, np.zeros(2**20))
    assert len(memory._done) == 7 and memory.known(19) is not None and memory.known(0) is None


@dataclass
class Held:
    array: np.ndarray
    more: dict[str, object] = field(default_factory=dict)


def test_the_size_of_a_result_is_that_of_all_it_holds() -> None:
    array = np.zeros(50_000)
    texts = ["a long token " * 9 + str(i) for i in range(50_000)]
    frame = pd.DataFrame({"v": array, "word": texts})
    assert memory.size_of(array) == pytest.approx(array.nbytes, rel=0.01)
    assert memory.size_of(np.zeros(100_000)[::2]) == pytest.approx(array.nbytes, rel=0.01)
    assert memory.size_of(frame) > array.nbytes + sum(map(len, texts))
    for value in (Held(array), [array], (array,), {"a": array}, {"a": [(Held(array),)]}):
        assert memory.size_of(value) == pytest.approx(array.nbytes, rel=0.01)
    assert memory.size_of([array] * 9) == pytest.approx(array.nbytes, rel=0.01), (
        "one array, not nine"
    )
    held = Held(array)
    held.more["itself"] = held
    assert memory.size_of(held) == pytest.approx(array.nbytes, rel=0.01)


def test_an_answer_that_has_grown_is_weighed_again_and_drives_others_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1.6 GB that a log works out later were counted as the few bytes it had at first."""
    monkeypatch.setattr(memory, "bound", lambda: 1_000_000)

    @work.kept
    def log(run: str) -> Held:
        return Held(np.zeros(10))

    @work.kept
    def other() -> np.ndarray:
        return np.zeros(50_000)

    other()
    log("a").more["sorted"] = np.zeros(100_000)
    assert work.is_known(other), "it is not known yet that there is more"
    work.weigh(log, "a")
    assert work.is_known(log, "a") and not work.is_known(other)
