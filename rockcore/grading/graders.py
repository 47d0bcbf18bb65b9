"""The graders by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import NamedTuple

from rockcore.grading import mathematics
from rockcore.grading.boxed import final_answer, same
from rockcore.schema import RockError


class BadGrader(RockError, ImportError):
    """A grader that is not there."""


class Grade(NamedTuple):
    right: bool
    found: bool  # whether the response holds anything that could be the answer


def graded(responses: Sequence[str], answers: Sequence[str], grader: str = "boxed") -> list[Grade]:
    """Each response against the answer that is known. Raises BadGrader."""
    if grader not in GRADERS:
        raise BadGrader(
            f"There is no grader {ascii(grader)[:80]}",
            f"Answers are compared by one of {', '.join(GRADERS)}",
            "Give --grader one of them",
        )
    return GRADERS[grader](responses, answers)


def grade(response: str, answer: str, grader: str = "boxed") -> bool:
    """Whether one response is right."""
    return graded([response], [answer], grader)[0].right


def check(grader: str) -> None:
    """Raises BadGrader where the package of a grader is not installed."""
    if grader == "math-verify" and find_spec("math_verify") is None:
        raise BadGrader(
            "--grader math-verify, and math-verify is not installed",
            "It compares answers as mathematics does, and is a package of its own",
            'python -m pip install -e ".[math]", or leave --grader away',
        )


def _boxed(responses: Sequence[str], answers: Sequence[str]) -> list[Grade]:
    found = [final_answer(response) for response in responses]
    return [
        Grade(text is not None and same(text, answer), text is not None)
        for text, answer in zip(found, answers, strict=True)
    ]


def _math_verify(responses: Sequence[str], answers: Sequence[str]) -> list[Grade]:
    simple = _boxed(responses, answers)
    open_ = [n for n, grade in enumerate(simple) if not grade.right]
    pairs = [(responses[n], answers[n]) for n in open_]
    for n, (right, found) in zip(open_, mathematics.compared(pairs), strict=True):
        simple[n] = Grade(right, found or simple[n].found)
    return simple


GRADERS: dict[str, Callable[[Sequence[str], Sequence[str]], list[Grade]]] = {
    "boxed": _boxed,
    "math-verify": _math_verify,
}
