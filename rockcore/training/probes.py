"""The fixed texts of a session: written once, rescored at every checkpoint, with the gradients that
are logged beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rockcore.config import ResolvedConfig, SessionConfig
from rockcore.log import Run, RunWriter
from rockcore.schema import Prompt
from rockcore.tasks import Tasks
from rockcore.training import exact_gradients, gradient_sums, models
from rockcore.training.clock import Clock
from rockcore.training.columns import (
    alternative_columns,
    occurrence_columns,
    refuse_non_finite,
    rollout_columns,
)
from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts, derived_seed, rollouts_of, sample
from rockcore.training.scoring import Alternatives, judge_texts

# probe texts that are sampled together: a large model has a cache of keys and values for each
_AT_ONCE = 128


@dataclass(frozen=True)
class Probes:
    """Writes, reads back and rescores the probe sets of one run."""

    config: ResolvedConfig
    tasks: Tasks
    student: Model
    teacher: Model
    writer: RunWriter

    def write(self, probe_set: str, step: int) -> Rollouts | None:
        """The texts of a probe set, written by the student of this step, a batch at a time."""
        config, tasks = self.config, self.tasks.probes[probe_set]
        if not tasks:
            return None
        responses = []
        for start in range(0, len(tasks), _AT_ONCE):
            prompts = models.encode_all(
                self.student, tasks[start : start + _AT_ONCE], teacher=False
            )
            seed = derived_seed(config.seed, f"probe {probe_set}", start)
            responses += self.student.sample(
                prompts, config.max_new_tokens, config.temperature, seed
            )
        rollouts = rollouts_of(self.student, self.teacher, tasks, responses)
        self.writer.write_probe_rollouts(probe_set, rollout_columns(step, rollouts, self.student))
        return rollouts

    def read_back(self) -> Rollouts | None:
        """The first probe set of a run that goes on: its writer is gone, its prompts and tokens are
        in the log.
        """
        run = Run.open(self.config.out)
        texts = run.rollouts(probe_set="first").sort_values("rollout_id")
        tasks = [
            Prompt(p, q, None) for p, q in zip(texts.prompt, texts.teacher_prompt, strict=True)
        ]
        if not tasks:
            return None
        return rollouts_of(self.student, self.teacher, tasks, run.probe_ids("first"))

    def rescore(self, probe_set: str, step: int, texts: Rollouts, sums: bool = True) -> None:
        """Log the texts of a probe set under the student of this step, with the `sums` of their
        gradients; alternatives are kept of the first texts only, or they would fill the log.
        """
        tops = Alternatives(sum(texts.lengths[: self.config.probes]))
        added = None
        if sums and self.config.gradients != "off":
            added = gradient_sums.sums_of(self.student, texts)
        watchers = [tops] if added is None else [tops, added]
        scored = judge_texts(self.student, self.teacher, texts, Clock(), watchers=watchers)
        refuse_non_finite(step, texts, scored)
        scored = replace(scored, alternatives=tops.arrays())
        columns = {**occurrence_columns(step, texts, scored), **alternative_columns(scored)}
        self.writer.append_probe(probe_set, step, columns)
        if added is not None:
            self.writer.append_gradients(probe_set, step, added.columns(step, scored))

    def log_exact(self, probe_set: str, step: int, texts: Rollouts) -> None:
        """Exact gradients of a random sample of the positions of a probe set, beside the closed
        forms of the same ones.
        """
        at = exact_gradients.exact_sample(
            texts, self.config.exact_positions, derived_seed(self.config.seed, "exact", step)
        )
        columns = occurrence_columns(
            step, texts, judge_texts(self.student, self.teacher, texts, Clock())
        )
        norms = exact_gradients.exact_norms(self.student, self.teacher, texts, at)
        self.writer.write_exact(
            probe_set,
            {**{name: values[at] for name, values in columns.items()}, "exact_norm": norms},
        )

    def exact_price(self, texts: Rollouts | None) -> str:
        """What the exact gradients will cost, as a sentence."""
        return exact_gradients.exact_price(
            self.student, self.teacher, texts or self.try_out(), self.config.exact_positions
        )

    def try_out(self) -> Rollouts:
        """A few responses to try things on; nothing of them is logged."""
        return sample(
            self.student,
            self.teacher,
            self.tasks.known[:3],
            self.config.max_new_tokens,
            self.config.temperature,
            seed=0,
        )


def shortfalls(asked: SessionConfig, tasks: Tasks) -> list[str]:
    """A sentence for each number of prompts that was asked for and cannot be had."""
    wanted = {
        "held-out": (asked.held_out, len(tasks.held_out)),
        "probes": (asked.probes, len(tasks.probes["first"])),
        "final-probes": (asked.final_probes, len(tasks.probes["final"])),
    }
    return [
        f"--{name} {n}: the prompts give {there}, "
        + (
            "a fifth of them at most, with an answer"
            if name == "held-out"
            else "each is answered once"
        )
        for name, (n, there) in wanted.items()
        if n is not None and there < n
    ]
