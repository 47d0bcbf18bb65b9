"""The positions of some rollouts and what is known of them: what a weight is chosen from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rockcore.rocks.corpus import Corpus, Rows


@dataclass(frozen=True)
class Batch:
    """N positions of B rollouts, one rollout after another, in the convention of the log: a value
    sits at the index of the token it judges. A rollout may be empty.

    What is None is not known. All in nats.
    """

    token_id: np.ndarray  # (N,) the token that stands there
    lengths: np.ndarray  # (B,)
    kl: np.ndarray | None = None  # (N,)
    student_entropy: np.ndarray | None = None
    student_logp: np.ndarray | None = None
    teacher_logp: np.ndarray | None = None

    @classmethod
    def of(cls, corpus: Corpus) -> Batch:
        """The occurrences of a detection, with their loss at the last checkpoint as kl."""
        return cls(corpus.token_id, corpus.lengths, corpus.losses[-1])

    def __len__(self) -> int:
        return len(self.token_id)

    @cached_property
    def rows(self) -> Rows:
        return Rows(self.lengths)

    @property
    def rollout(self) -> np.ndarray:
        """(N,) index of the rollout, ascending."""
        return self.rows.rollout
