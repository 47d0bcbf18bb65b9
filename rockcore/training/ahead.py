"""The teacher reads what is written while the student still writes the rest: on a core of its own,
where the student's writing, one small operation after another, keeps only one busy.

Rows are judged in groups by length, and short ones end first: a group is known to be whole as soon
as every row that is still being written must be longer. So the groups are those that are judged
later, and no number changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from rockcore.training import groups
from rockcore.training.llama import Wrote
from rockcore.training.models import Ids, Model


class Ahead:
    """What the teacher has read, or is reading, by group of rows."""

    def __init__(self, student: Model, teacher: Model):
        self.student, self.teacher = student, teacher
        self._written: dict[int, Ids] = {}
        self._read: dict[tuple[int, ...], Future[Tensor]] = {}
        self._pool = ThreadPoolExecutor(1)

    def begin(self, student_prompts: Sequence[Ids], teacher_prompts: Sequence[Ids]) -> Wrote:
        """Answers to these prompts are about to be written; returns what is to be told of them."""
        self.teacher_prompts = teacher_prompts
        self.prompts = groups.longer(student_prompts, teacher_prompts)
        self._writing = set(range(len(self.prompts)))
        return self._wrote

    def _wrote(self, responses: dict[int, Ids]) -> None:
        """Some rows have ended at once; all others that are being written go on."""
        self._written |= responses
        self._writing -= responses.keys()
        written = 1 + max(map(len, responses.values()))
        if not self._writing:
            return  # they are judged right away
        least = min(len(self.prompts[r]) for r in self._writing) + written
        for rows in self._whole(least):
            if tuple(rows) not in self._read:
                self._read[tuple(rows)] = self._pool.submit(self._features, rows)

    def _whole(self, least: int) -> list[list[int]]:
        """The groups to which no row of `least` tokens or more can come."""
        sizes = {r: len(self.prompts[r]) + len(ids) for r, ids in self._written.items()}
        rows = [r for r in sorted(sizes) if sizes[r] < least]
        prompts, responses = ([x[r] for r in rows] for x in (self.prompts, self._written))
        # the shortest row that may still come stands for all of them
        *whole, _ = groups.groups(
            self.student,
            self.teacher,
            [*prompts, [0] * least],
            [*responses, []],
            len(self.prompts),
        )
        return [[rows[i] for i in group] for group in whole]

    def _features(self, rows: list[int]) -> Tensor:
        with torch.no_grad():
            responses = [self._written[r] for r in rows]
            return self.teacher.features([self.teacher_prompts[r] for r in rows], responses)

    def of(self, rows: list[int]) -> Tensor | None:
        """The teacher's features of these rows; None where it has not begun to read them."""
        reading = self._read.get(tuple(rows))
        return None if reading is None or reading.cancel() else reading.result()


def reader(student: Model, teacher: Model) -> Ahead | None:
    """For rollouts that are about to be written; None where there is no lane to spare."""
    return Ahead(student, teacher) if student.lanes > 1 else None
