"""The objective of a step: what each position weighs in it, and the gradient that follows.

Where the weights follow from the ids alone, what gets none is left out of the pass. An arm that
has to know the values first takes two passes, one without a gradient and one that learns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rockcore.config import ResolvedConfig
from rockcore.interventions import Arm, Batch, dynamic, weights
from rockcore.log import Run, RunWriter
from rockcore.rocks.gather import NothingToCompare
from rockcore.training.ahead import Ahead
from rockcore.training.clock import Clock
from rockcore.training.columns import refuse_non_finite
from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts, derived_seed
from rockcore.training.scoring import Judged, Learning, judge_texts


@dataclass(frozen=True)
class Fresh:
    """The fresh rollouts of a step, judged and weighed."""

    rollouts: Rollouts
    scored: Judged
    weight: np.ndarray  # (N,) float32: the factors that the loss used, or would use

    @property
    def trained(self) -> int:
        """Tokens with a weight above 0."""
        return int((self.weight > 0).sum())

    @property
    def weight_sum(self) -> float:
        return float(self.weight.sum(dtype=np.float64))


@dataclass
class Objective:
    """sum_t w_t kl_t over its normaliser, for the arm of one run."""

    config: ResolvedConfig
    arm: Arm
    student: Model
    teacher: Model
    by_type: np.ndarray | None = None  # (V,) of the arm dynamic, once it has moved a weight
    moved_at: int = 0  # the milestone since which they hold

    def judge(
        self,
        step: int,
        rollouts: Rollouts,
        clock: Clock,
        learn: bool,
        whole: bool,
        ahead: Ahead | None = None,
    ) -> Fresh:
        """Judge the rollouts of a step; to `learn`, leave the gradient in the student. `whole`: all
        positions are to be judged, also those that get no weight. `ahead`: what the teacher has
        read of them. Raises NonFiniteLoss.
        """
        two_passes = learn and bool(self.arm.needs)
        if learn and not two_passes:
            weight = self._weights(step, batch_of(rollouts), clock)
            scored = self._learn(rollouts, weight, clock, whole, ahead)
            refuse_non_finite(step, rollouts, scored)
            return Fresh(rollouts, scored, weight)
        scored = judge_texts(self.student, self.teacher, rollouts, clock, read=ahead)
        refuse_non_finite(step, rollouts, scored)
        weight = self._weights(step, batch_of(rollouts, scored), clock)
        if two_passes:
            self._learn(rollouts, weight, clock, False, ahead)
        return Fresh(rollouts, scored, weight)

    def follow(self, step: int, writer: RunWriter) -> None:
        """At a milestone whose fixed texts are scored: in the arm dynamic, let the weights of the
        types follow what these texts say, and log them.
        """
        if self.arm.name != "dynamic" or step == 0 or step % self.config.probe_every:
            return  # at a step where a run was stopped, one that goes on weighs nothing anew
        run = Run(writer.path, writer.meta)
        if self.by_type is None:
            self.by_type = np.ones(self.student.vocab_size, np.float32)
        try:
            found = dynamic.moved(run, self.moved_at, step, self.by_type)
        except NothingToCompare:  # no fixed text holds a token, which the run has said at its start
            return
        self.moved_at, self.by_type = step, found.weight
        columns = {str(name): values.to_numpy() for name, values in found.table.items()}
        writer.append("weights", step, columns)

    def read_back(self, writer: RunWriter) -> None:
        """Take the weights of a run that goes on from its log."""
        if self.arm.name == "dynamic":
            run = Run(writer.path, writer.meta)
            self.moved_at, self.by_type = dynamic.weight_of(run, self.student.vocab_size)

    def _weights(self, step: int, batch: Batch, clock: Clock) -> np.ndarray:
        with clock.phase("update_s"):
            seed = derived_seed(self.config.seed, f"arm {self.arm.name}", step)
            return weights(self.arm, batch, seed, self.by_type)

    def _learn(
        self,
        rollouts: Rollouts,
        weight: np.ndarray,
        clock: Clock,
        whole: bool,
        ahead: Ahead | None,
    ) -> Judged:
        divided = torch.from_numpy(normalised(weight, self.config.normaliser))
        learning = Learning(divided.to(self.student.device), whole)
        return judge_texts(self.student, self.teacher, rollouts, clock, learning, read=ahead)


def batch_of(rollouts: Rollouts, scored: Judged | None = None) -> Batch:
    """The positions of some rollouts, with the values that are known."""
    known = {} if scored is None else scored.losses
    names = ("kl", "student_entropy", "student_logp", "teacher_logp")
    values = {name: known[name] for name in names if name in known}
    return Batch(rollouts.token_ids(), np.array(rollouts.lengths, np.int64), **values)


def normalised(weight: np.ndarray, normaliser: str) -> np.ndarray:
    """(N,) float32: the weights over the number of tokens, or over their sum; 0 where all are 0."""
    total = len(weight) if normaliser == "tokens" else weight.sum(dtype=np.float64)
    # divided in float64: 1/N is then the nearest float32 to it
    return (weight.astype(np.float64) / (total or 1.0)).astype(np.float32)
