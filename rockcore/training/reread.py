"""What the teacher has read of texts that are judged again and again, as the fixed texts of a run
are under every checkpoint: it stands still, so its features of them do too.
"""

from __future__ import annotations

from threading import Lock
from typing import Protocol

import torch
from torch import Tensor

from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts

KEPT = 1 << 28  # bytes of features; what is beyond them is read anew each time


class Read(Protocol):
    """What may know the teacher's features beforehand."""

    def of(self, rows: list[int]) -> Tensor | None:
        """Of the rollouts `rows`, which are read as one group; None where they are to be read."""
        ...


def features_of(teacher: Model, texts: Rollouts, rows: list[int]) -> Tensor:
    """What the teacher reads of the rollouts `rows`."""
    prompts = [texts.teacher_prompts[r] for r in rows]
    return teacher.features(prompts, [texts.responses[r] for r in rows])


class Reread:
    """The teacher's features of some texts, by group of rows; read when they are first asked for,
    the same to the bit from then on.
    """

    def __init__(self, teacher: Model, texts: Rollouts):
        self.teacher, self.texts = teacher, texts
        self._read: dict[tuple[int, ...], Tensor] = {}
        self._bytes, self._lock = 0, Lock()

    def of(self, rows: list[int]) -> Tensor:
        there = self._read.get(tuple(rows))
        if there is not None:
            return there
        with torch.no_grad():
            found = features_of(self.teacher, self.texts, rows)
        with self._lock:  # lanes ask at once
            if self._bytes + found.nbytes <= KEPT:
                self._bytes += found.nbytes
                self._read[tuple(rows)] = found
        return found


def kept_bytes(teacher: Model, tokens: int) -> int:
    """How much of texts of so many tokens is kept."""
    width = teacher.width if teacher.splits else teacher.vocab_size
    return min(KEPT, tokens * width * next(teacher.net.parameters()).element_size())
