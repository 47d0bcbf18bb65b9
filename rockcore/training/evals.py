"""Graded answers: one outcome per problem, so that students can be compared problem by problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from rockcore import grading
from rockcore.schema import Prompt
from rockcore.training.lanes import Wait, side_by_side
from rockcore.training.models import Ids, Model, encode_all

_AT_ONCE = 128  # answers that are written together


class Outcome(NamedTuple):
    right: np.ndarray  # (n,) bool, by task
    found: int  # how many responses hold anything that could be an answer


def graded(
    model: Model,
    tasks: Sequence[Prompt],
    max_new_tokens: int,
    temperatures: Mapping[str, float],
    seed: int,
    grader: str = "boxed",
) -> dict[str, Outcome]:
    """Whether the model answers each task correctly, by decoding, of which each has a temperature;
    0 is greedy. Tasks need an answer. What is written together is so on a lane of its own.
    """
    prompts, answers = encode_all(model, tasks, teacher=False), [t.answer or "" for t in tasks]
    batches = [(t, i) for t in temperatures.values() for i in range(0, len(tasks), _AT_ONCE)]

    def written(batch: tuple[float, int], wait: Wait) -> list[Ids]:
        temperature, i = batch
        part = prompts[i : i + _AT_ONCE]
        return model.sample(part, max_new_tokens, temperature, seed + i)

    responses = iter(sum(side_by_side(written, batches, model.lanes), []))
    outcomes: dict[str, Outcome] = {}
    for decoding in temperatures:
        texts = [model.decode(response) for response in islice(responses, len(tasks))]
        grades = grading.graded(texts, answers, grader)
        right = np.array([grade.right for grade in grades], dtype=bool)
        outcomes[decoding] = Outcome(right, sum(grade.found for grade in grades))
    return outcomes


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
