"""Damaged runs: whatever befalls a run on disk, what is asked of it is answered as before, or
refused in words, or touches nothing but what was damaged.

300 seeded trials over the library, the command line and, for some, all pages. The long campaign is
tests/campaigns/fuzz.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pandas as pd
import pytest
from fuzzing import trials
from fuzzing.answers import Question, Refusal, Unordered, difference
from fuzzing.asked import complaint, formula, not_for_terminals
from fuzzing.damage import Effect
from fuzzing.watch import Worker

from rockcore.log import Run
from rockcore.schema import DamagedRun

TRIALS, CHUNKS = 300, 20
# what is heavy is tried once
NUMBERS = list(islice((n for n in count() if n < 100 or not trials.is_heavy(n)), TRIALS))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no FIFOs, devices and limits")


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("fuzz"))
    yield worker
    worker.close()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_damaged_run_is_refused_in_words_or_answers_as_before(chunk: int, worker: Worker) -> None:
    for i, number in enumerate(NUMBERS[chunk::CHUNKS]):
        found = worker.ask(number, with_pages=i == 0 and chunk % 5 > 0)
        assert not found["failures"], (
            f"{found}\nagain: python tests/campaigns/fuzz.py --seed {number} --count 1 "
            "--pages-every 1"
        )


# The judge himself.


def judged(found: object, was: object, effect: Effect, touched: set[str]) -> list[str]:
    result = trials.Result(0, "")
    question = Question("metrics", ("metrics/*",), lambda run: None)
    trials._judged(question, found, was, effect, touched, result)
    return result.failures


REFUSED = Refusal("DamagedRun", "This is so. It cannot be. Do that.")
METRICS = {"metrics/step=000000.parquet"}


@pytest.mark.parametrize(
    ("found", "effect", "touched", "fails"),
    [
        (1.0, Effect.SAME, METRICS, False),
        (2.0, Effect.SAME, METRICS, True),
        (2.0, Effect.KEPT, METRICS, True),
        (2.0, Effect.ANY, METRICS, False),
        (2.0, Effect.ANY, {"vocab.parquet"}, True),
        (2.0, Effect.ANY, {"run.json"}, False),
        (REFUSED, Effect.SAME, METRICS, True),
        (REFUSED, Effect.KEPT, METRICS, False),
    ],
)
def test_a_number_that_changes_without_a_word_is_seen(found, effect, touched, fails) -> None:
    assert bool(judged(found, 1.0, effect, touched)) is fails


def test_an_exception_that_is_no_error_of_ours_is_a_failure(monkeypatch) -> None:
    def broken(self: Run) -> None:
        raise KeyError("step")

    monkeypatch.setattr(Run, "evals", broken)
    result = trials.Result(0, "")
    question = Question("evals", (), lambda run: run.evals())
    assert trials._ask(question, Run(Path(), None), result) is trials.FAILED  # pyright: ignore
    assert "KeyError" in result.failures[0]


def test_a_trial_that_does_not_end_is_a_failure(worker: Worker, monkeypatch) -> None:
    monkeypatch.setattr("fuzzing.watch.PATIENCE_S", 0)
    lost = Worker(worker.folder)
    found = lost.ask(0)
    lost.close()
    assert found["outcome"] == "FAILED" and "was killed" in found["failures"][0]


def test_answers_are_compared_by_value() -> None:
    frame = pd.DataFrame({"step": [0, 1], "kl": [0.5, float("nan")]})
    assert not difference(frame, frame.assign(note="x")[["note", "kl", "step"]])
    assert not difference(Unordered(frame), Unordered(frame[::-1]))
    assert difference(frame, frame[::-1])
    assert difference(Unordered(frame), Unordered(frame.assign(kl=0.5)))
    assert not difference({"a": [1.0, None]}, {"a": [1.0 + 1e-9, None]})
    assert difference([1, 2], [1, 3]) and difference([1], [1, 2])


def test_what_a_message_and_a_terminal_may_not_hold_is_seen() -> None:
    assert not complaint(str(DamagedRun("This is so", "It cannot be", "Do that")))
    assert complaint("This is so.") and complaint(str(DamagedRun("a" * 2000, "b", "c")))
    assert not_for_terminals("a\x1b[2Jb") and not_for_terminals("a\u202eb")
    assert not not_for_terminals("Zürich\n\t🙂")
    assert formula("a,b\n=1+1,2\n") and not formula("a,b\n-1.5,2\n")
