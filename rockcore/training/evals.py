"""Graded answers: one outcome per problem, so that students can be compared problem by problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rockcore import grading
from rockcore.schema import Prompt
from rockcore.training.models import Model, encode_all


class Outcome(NamedTuple):
    right: np.ndarray  # (n,) bool, by task
    found: int  # how many responses hold anything that could be an answer


def graded(
    model: Model,
    tasks: Sequence[Prompt],
    max_new_tokens: int,
    temperature: float,
    seed: int,
    batch: int = 128,
    grader: str = "boxed",
) -> Outcome:
    """Whether the model answers each task correctly; temperature 0 is greedy. Tasks need an
    answer.
    """
    outcome: list[grading.Grade] = []
    for i in range(0, len(tasks), batch):
        part = tasks[i : i + batch]
        responses = model.sample(
            encode_all(model, part, teacher=False), max_new_tokens, temperature, seed + i
        )
        texts, answers = [model.decode(r) for r in responses], [task.answer or "" for task in part]
        outcome += grading.graded(texts, answers, grader)
    return Outcome(
        np.array([grade.right for grade in outcome], dtype=bool),
        sum(grade.found for grade in outcome),
    )


def unmatchable(tasks: Sequence[Prompt], grader: str) -> str | None:
    """A sentence where no held-out answer can be matched by any response, for the warning."""
    answers = [task.answer or "" for task in tasks]
    boxes = [f"\\boxed{{{grading.known(answer)}}}" for answer in answers]
    if any(grade.right for grade in grading.graded(boxes, answers, grader)):
        return None
    return (
        f"None of the {len(tasks)} held-out answers can be matched, not even by itself in a box "
        f"(grader {grader}; the first: {ascii(answers[0])[:80]}): accuracy will be 0"
    )


def without_answers(outcomes: Mapping[str, Outcome], grader: str) -> str | None:
    """A sentence where no graded response holds anything that could be an answer."""
    if not outcomes or any(outcome.found for outcome in outcomes.values()):
        return None
    total = sum(len(outcome.right) for outcome in outcomes.values())
    others = " or --grader math-verify, which looks for numbers too" if grader == "boxed" else ""
    return (
        f"None of {total} graded responses holds an answer (\\boxed{{…}} or #### …): accuracy is 0 "
        f"whatever they say. Ask for it in the prompts, raise --max-new-tokens{others}"
    )
