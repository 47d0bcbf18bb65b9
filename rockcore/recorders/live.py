"""Models that another trainer is training, in the roles of ours: they answer the probe prompts and
are judged on them, between two of its steps and without a trace in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from rockcore.log import RunWriter
from rockcore.schema import Prompt
from rockcore.training import chat, trial
from rockcore.training.clock import Clock
from rockcore.training.columns import (
    alternative_columns,
    occurrence_columns,
    refuse_non_finite,
    rollout_columns,
)
from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts, derived_seed, sample
from rockcore.training.scoring import Alternatives, judge_texts

_AT_ONCE = 32  # prompts that are answered together


@contextmanager
def at_rest(*models: Model) -> Iterator[None]:
    """Within it the models sample purely and drop nothing out; then they are as they were."""
    before = [(m.net, m.net.training, m.net.generation_config) for m in models]
    try:
        for model in models:
            model.net.eval()
            model.net.generation_config = _pure(model)
        yield
    finally:
        for net, training, generation in before:
            net.train(training)
            net.generation_config = generation


class LiveProbes:
    """Prompts that the student answers once; the answers are rescored as it learns."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        student: Model,
        teacher: Model,
        writer: RunWriter,
        max_new_tokens: int,
        temperature: float,
        seed: int,
    ):
        self.prompts, self.student, self.teacher = prompts, student, teacher
        self.writer, self.max_new_tokens = writer, max_new_tokens
        self.temperature, self.seed = temperature, seed

    def write(self, probe_set: str, step: int) -> Rollouts:
        """The student of this step answers all prompts. Raises BadResponse, LogWriteError."""
        with at_rest(self.student, self.teacher):
            texts = sum(
                (
                    self._answers(start, probe_set)
                    for start in range(0, len(self.prompts), _AT_ONCE)
                ),
                Rollouts([], [], [], [], []),
            )
        self.writer.write_probe_rollouts(probe_set, rollout_columns(step, texts, self.student))
        return texts

    def _answers(self, start: int, probe_set: str) -> Rollouts:
        tasks = self.prompts[start : start + _AT_ONCE]
        seed = derived_seed(self.seed, f"probe {probe_set}", start)
        models = self.student, self.teacher
        return sample(*models, tasks, self.max_new_tokens, self.temperature, seed)

    def rescore(self, probe_set: str, step: int, texts: Rollouts) -> None:
        """Log the texts under the student of this step. Raises NonFiniteLoss, LogWriteError."""
        tops = Alternatives(sum(texts.lengths))
        with at_rest(self.student, self.teacher), torch.no_grad():
            scored = judge_texts(self.student, self.teacher, texts, Clock(), watchers=[tops])
        refuse_non_finite(step, texts, scored)
        judged = type(scored)(scored.losses, scored.known, tops.arrays())
        columns = {**occurrence_columns(step, texts, judged), **alternative_columns(judged)}
        self.writer.append_probe(probe_set, step, columns)


def live_model(name: str, net: Any, tokenizer: Any, ends: Sequence[int], half: bool) -> Model:
    """A network in memory in our roles; `half`: its trainer computes in bfloat16 from float32
    weights.
    """
    was_training = net.training
    try:
        projects = trial.projects(net.eval())
    finally:
        net.train(was_training)
    appended = chat.appended_ids(tokenizer)
    return Model(name, net, tokenizer, frozenset(ends), None, projects, half, appended=appended)


def _pure(model: Model) -> Any:
    """Penalties, top-k or a temperature of a checkpoint would bias what is sampled."""
    ends, tokenizer = sorted(model.stop_ids), model.tokenizer
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return type(model.net.generation_config)(
        eos_token_id=ends, pad_token_id=pad, bos_token_id=tokenizer.bos_token_id
    )
