"""What a student writes on its tasks, with the prompts that both models read before it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from rockcore.schema import Prompt
from rockcore.training.ahead import Ahead
from rockcore.training.models import Ids, Model, encode_all


@dataclass(frozen=True)
class Rollouts:
    """What the student wrote on some tasks: R rollouts, N response tokens in all."""

    tasks: Sequence[Prompt]
    student_prompts: Sequence[Ids]
    teacher_prompts: Sequence[Ids]
    responses: Sequence[Ids]
    texts: Sequence[str]  # the responses as text

    @property
    def lengths(self) -> list[int]:
        return [len(r) for r in self.responses]

    def __getitem__(self, rows: slice) -> Rollouts:
        return Rollouts(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def of(self, rows: Sequence[int]) -> Rollouts:
        """Some of them, in this order."""
        return Rollouts(**{f.name: [getattr(self, f.name)[r] for r in rows] for f in fields(self)})

    def __add__(self, other: Rollouts) -> Rollouts:
        """These, then the others."""
        return Rollouts(
            **{f.name: [*getattr(self, f.name), *getattr(other, f.name)] for f in fields(self)}
        )

    def token_ids(self) -> np.ndarray:
        return np.fromiter((token for r in self.responses for token in r), dtype=np.int32)


def sample(
    student: Model,
    teacher: Model,
    tasks: Sequence[Prompt],
    max_new_tokens: int,
    temperature: float,
    seed: int,
    ahead: Ahead | None = None,
) -> Rollouts:
    """Let the student answer the tasks; the teacher's prompt may differ, the response positions are
    the same. `ahead`: lets the teacher read what is written meanwhile.
    """
    prompts = encode_all(student, tasks, teacher=False)
    privileged = encode_all(teacher, tasks, teacher=True)
    wrote = None if ahead is None else ahead.begin(prompts, privileged)
    responses = student.sample(prompts, max_new_tokens, temperature, seed, wrote)
    texts = [student.decode(r) for r in responses]
    return Rollouts(tasks, prompts, privileged, responses, texts)


def rollouts_of(
    student: Model, teacher: Model, tasks: Sequence[Prompt], responses: Sequence[Ids]
) -> Rollouts:
    """Responses that are there already, with the prompts that each model reads before them."""
    prompts = encode_all(student, tasks, teacher=False), encode_all(teacher, tasks, teacher=True)
    return Rollouts(tasks, *prompts, responses, [student.decode(r) for r in responses])


def derived_seed(seed: int, purpose: str, step: int) -> int:
    """An independent seed for every purpose and step: nothing of a random stream has to be saved to
    go on with a run.
    """
    return int(
        np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), step]).generate_state(1)[0]
    )
