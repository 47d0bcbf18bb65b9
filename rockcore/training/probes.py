"""The fixed texts of a session: written once, rescored at every checkpoint, with the gradients that
are logged beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rockcore.config import ResolvedConfig, SessionConfig
from rockcore.log import Run, RunWriter
from rockcore.schema import DamagedRun, Prompt
from rockcore.tasks import Tasks
from rockcore.training import exact_gradients, gradient_sums, models
from rockcore.training.clock import Clock
from rockcore.training.columns import (
    alternative_columns,
    occurrence_columns,
    refuse_non_finite,
    rollout_columns,
    token_columns,
)
from rockcore.training.models import Model
from rockcore.training.reread import Reread
from rockcore.training.rollouts import Rollouts, derived_seed, rollouts_of, sample
from rockcore.training.scoring import Alternatives, Judged, judge_texts

# probe texts that are sampled together: a large model has a cache of keys and values for each
_AT_ONCE = 128


@dataclass
class Probes:
    """Writes, reads back and rescores the probe sets of one run."""

    config: ResolvedConfig
    tasks: Tasks
    student: Model
    teacher: Model
    writer: RunWriter
    _read: Reread | None = field(default=None, init=False)  # of the set that was rescored last

    def write(self, probe_set: str, step: int) -> Rollouts | None:
        """The texts of a probe set, written by the student of this step, and behind them the
        further ones whose gradients are summed.
        """
        tasks, more = self.tasks.probes[probe_set], self.tasks.summed.get(probe_set, [])
        if not tasks:
            return None
        rollouts = self._written(tasks, f"probe {probe_set}")
        self.writer.write_probe_rollouts(probe_set, self._columns(step, rollouts))
        if not more:
            return rollouts
        further = self._written(more, f"summed {probe_set}")
        if probe_set == "first":  # a run that goes on needs them again; final ones are written anew
            self.writer.write_summed_texts(token_columns(further))
        return rollouts + further

    def _columns(self, step: int, rollouts: Rollouts) -> dict[str, Any]:
        return rollout_columns(step, rollouts, self.student, self.config.grader)

    def _written(self, tasks: Sequence[Prompt], purpose: str) -> Rollouts:
        """What the student answers, a batch at a time."""
        config, responses = self.config, []
        for start in range(0, len(tasks), _AT_ONCE):
            prompts = models.encode_all(
                self.student, tasks[start : start + _AT_ONCE], teacher=False
            )
            seed = derived_seed(config.seed, purpose, start)
            responses += self.student.sample(
                prompts, config.max_new_tokens, config.temperature, seed
            )
        return rollouts_of(self.student, self.teacher, tasks, responses)

    def read_back(self) -> Rollouts | None:
        """The first student's texts of a run that goes on: their writer is gone, their prompts and
        tokens are in the log. Raises DamagedRun if some of them are not.
        """
        run = Run.open(self.config.out)
        texts = run.rollouts(probe_set="first").sort_values("rollout_id")
        # a log keeps a conversation as one text: its turns are in the prompts file
        turns = {(p.prompt, p.teacher_prompt): p for p in self.tasks.probes["first"]}
        tasks = [
            turns.get((p, q), Prompt(p, q, None))
            for p, q in zip(texts.prompt, texts.teacher_prompt, strict=True)
        ]
        if not tasks:
            return None
        rollouts = rollouts_of(self.student, self.teacher, tasks, run.probe_ids("first"))
        more, ids = self.tasks.summed.get("first", []), run.summed_ids()
        if len(ids) != len(more):
            raise DamagedRun(
                f"{run.path} has {len(ids)} of {len(more)} further texts of the first student "
                "(gradients/first/texts.parquet)",
                "Their gradients are summed all along the training, so they have to stay the same",
                "Copy the file from a backup, or start a new run in another folder",
            )
        return rollouts + rollouts_of(self.student, self.teacher, more, ids) if more else rollouts

    def rescore(self, probe_set: str, step: int, texts: Rollouts, sums: bool = True) -> None:
        """Log the texts of a probe set under the student of this step, with the `sums` of their
        gradients and of those of the further texts behind them; alternatives are kept of the first
        texts only, or they would fill the log.
        """
        tops = Alternatives(sum(texts.lengths[: self.config.probes]))
        own = self._own(probe_set, texts)
        added = None
        if sums and self.config.gradients != "off":
            added = gradient_sums.sums_of(self.student, texts)
        watchers = [tops] if added is None else [tops, added]
        judged = own if added is None else texts
        if self._read is None or self._read.texts is not texts:
            self._read = Reread(self.teacher, texts)
        pair = self.student, self.teacher
        scored = judge_texts(*pair, judged, Clock(), watchers=watchers, read=self._read)
        refuse_non_finite(step, judged, scored)
        n = sum(own.lengths)
        losses = {name: x[:n] for name, x in scored.losses.items()}
        of_own = Judged(losses, scored.known[:n], tops.arrays())
        columns = {**occurrence_columns(step, own, of_own), **alternative_columns(of_own)}
        self.writer.append_probe(probe_set, step, columns)
        if added is not None:
            self.writer.append_gradients(probe_set, step, added.columns(step, scored))

    def log_exact(self, probe_set: str, step: int, texts: Rollouts) -> None:
        """Exact gradients of a random sample of the positions of a probe set, beside the closed
        forms of the same ones.
        """
        texts = self._own(probe_set, texts)
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

    def _own(self, probe_set: str, texts: Rollouts) -> Rollouts:
        """The texts of the set itself, without the further ones behind them."""
        return texts[: len(self.tasks.probes[probe_set])]

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
    sets = [len(tasks.probes[s]) + len(m) for s, m in tasks.summed.items() if tasks.probes[s]]
    wanted = {
        "held-out": (asked.held_out, len(tasks.held_out)),
        "probes": (asked.probes, len(tasks.probes["first"])),
        "final-probes": (asked.final_probes, len(tasks.probes["final"])),
        "gradient-texts": (asked.gradient_texts, min(sets, default=0)),
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
