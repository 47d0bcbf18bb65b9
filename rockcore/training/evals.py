"""Graded answers: one outcome per problem, so that students can be compared problem by problem."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rockcore.grading import grade
from rockcore.schema import Prompt
from rockcore.training.models import Model, encode_all


def graded(
    model: Model,
    tasks: Sequence[Prompt],
    max_new_tokens: int,
    temperature: float,
    seed: int,
    batch: int = 128,
) -> np.ndarray:
    """Whether the model answers each task correctly, (n,) bool; temperature 0 is greedy. Tasks need
    an answer.
    """
    outcome: list[bool] = []
    for i in range(0, len(tasks), batch):
        part = tasks[i : i + batch]
        responses = model.sample(
            encode_all(model, part, teacher=False), max_new_tokens, temperature, seed + i
        )
        outcome += [
            grade(model.decode(r), task.answer or "")
            for r, task in zip(responses, part, strict=True)
        ]
    return np.array(outcome, dtype=bool)
