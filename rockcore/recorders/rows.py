"""What any trainer hands over, one rollout after another, becomes the files of our log: a step at a
time, however many batches it was trained in. Numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rockcore import schema
from rockcore.grading import grade
from rockcore.log import RunWriter
from rockcore.log.files import Columns
from rockcore.log.lock import Lock
from rockcore.log.summaries import step_summary
from rockcore.schema import RockError, RunMeta

# what a trainer may know of a token beside its id; what it does not know is null
VALUES = (
    "kl",
    "sampled_loss",
    "student_logp",
    "teacher_logp",
    "student_entropy",
    "teacher_entropy",
    "grad_norm",
    "proj_grad_norm",
)


class CannotRecord(RockError, ValueError):
    """A trainer whose tokens cannot be recorded, or whose numbers are not what they are called."""


def refuse_weight(weight: float) -> None:
    """Raises CannotRecord for what is no factor."""
    if not (np.isfinite(weight) and weight >= 0):
        raise CannotRecord(f"weight = {weight}", "It is a factor, from 0 on", "Give 0, or 0.5")


@dataclass(frozen=True)
class Recorded:
    """One rollout as it was trained on: T response tokens."""

    prompt: str
    response: str
    token_ids: np.ndarray  # (T,)
    weight: np.ndarray  # (T,) the factors that the loss used
    values: Mapping[str, np.ndarray] = field(default_factory=dict)  # of VALUES, (T,); NaN: unknown
    answer: str | None = None
    truncated: bool | None = None

    def __post_init__(self) -> None:
        """Raises CannotRecord for values of another length, or of a name that the log lacks."""
        strange = sorted(set(self.values) - set(VALUES))
        if strange:
            raise CannotRecord(
                f"A rollout with values called {', '.join(ascii(n)[:40] for n in strange)}",
                f"The log knows {', '.join(VALUES)}",
                "Call them by these names, where they mean the same",
            )
        lengths = {name: len(x) for name, x in self.values.items()} | {"weight": len(self.weight)}
        wrong = {name: n for name, n in lengths.items() if n != len(self.token_ids)}
        if wrong:
            name, n = next(iter(wrong.items()))
            raise CannotRecord(
                f"A rollout of {len(self.token_ids)} tokens with {n} values of {name}",
                "A value belongs to the token at its index",
                "Cut prompt and padding off both, or neither",
            )


@dataclass(frozen=True)
class Update:
    """The update that followed a step, as far as the trainer tells; None is unknown."""

    learning_rate: float | None = None
    update_norm: float | None = None  # of the gradient, before it was clipped
    seconds: Mapping[str, float] = field(default_factory=dict)  # by the names of schema.PHASES


class Recording:
    """Gathers the rollouts of a step and writes them when it is over."""

    def __init__(self, writer: RunWriter):
        self.writer = writer
        self._rollouts: list[Recorded] = []

    @classmethod
    def begin(cls, path: Path, meta: RunMeta, vocab: Columns, lock: Lock | None) -> Recording:
        """Start a run; raises RunExists or LogWriteError."""
        return cls(RunWriter.create(path, meta, vocab, lock))

    def add(self, rollouts: Sequence[Recorded]) -> None:
        """More rollouts of the step that is under way. One without a token is left out."""
        self._rollouts += [rollout for rollout in rollouts if len(rollout.token_ids)]

    def finish_step(self, step: int, update: Update | None = None) -> None:
        """Write what was gathered as the step whose student wrote it; nothing, where nothing was.

        Raises LogWriteError. The last file of a step is that of its metrics.
        """
        rollouts, self._rollouts = self._rollouts, []
        if not rollouts:
            return
        self.writer.append("rollouts", step, rollout_columns(step, rollouts))
        self.writer.append("tokens", step, token_columns(step, rollouts))
        self.writer.append("metrics", step, metrics_row(step, rollouts, update or Update()))

    def close(self, status: str, reason: str = "") -> None:
        """Say in run.json how it ended; raises LogWriteError."""
        self.writer.save_meta(status=status, reason=reason)


def token_columns(step: int, rollouts: Sequence[Recorded]) -> dict[str, np.ndarray]:
    """The columns of schema.TOKENS that some rollout has; NaN where another lacks them."""
    lengths = [len(r.token_ids) for r in rollouts]
    known = [name for name in VALUES if any(name in r.values for r in rollouts)]
    columns = {
        name: np.concatenate(
            [
                np.asarray(r.values.get(name, np.full(n, np.nan)), np.float32)
                for r, n in zip(rollouts, lengths, strict=True)
            ]
        )
        for name in known
    }
    return {
        "step": np.full(sum(lengths), step, np.int32),
        "rollout_id": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        "position": np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        "token_id": np.concatenate([np.asarray(r.token_ids, np.int32) for r in rollouts]),
        "weight": np.concatenate([np.asarray(r.weight, np.float32) for r in rollouts]),
        **columns,
    }


def rollout_columns(step: int, rollouts: Sequence[Recorded]) -> dict[str, Any]:
    """The columns of schema.ROLLOUTS. The trainers recorded here show both models one prompt."""
    return {
        "step": [step] * len(rollouts),
        "rollout_id": range(len(rollouts)),
        "prompt": [r.prompt for r in rollouts],
        "teacher_prompt": [r.prompt for r in rollouts],
        "response": [r.response for r in rollouts],
        "answer": [r.answer for r in rollouts],
        "correct": [grades(r) for r in rollouts],
        "truncated": [r.truncated for r in rollouts],
    }


def grades(rollout: Recorded) -> bool | None:
    """Whether a response is right; None where no answer is known."""
    return None if rollout.answer is None else grade(rollout.response, rollout.answer)


def metrics_row(step: int, rollouts: Sequence[Recorded], update: Update) -> dict[str, list]:
    """The columns of schema.METRICS, one row; what the trainer does not tell is null or NaN."""
    lengths = [len(r.token_ids) for r in rollouts]
    kl = [r.values.get("kl", np.full(n, np.nan)) for r, n in zip(rollouts, lengths, strict=True)]
    weight = np.concatenate([r.weight for r in rollouts])
    row = {
        **step_summary(step, np.concatenate(kl), lengths, [grades(r) for r in rollouts]),
        "learning_rate": update.learning_rate,
        "update_norm": update.update_norm,
        "trained": float((weight > 0).sum()),
        "weight_sum": float(weight.sum(dtype=np.float64)),
        **{name: update.seconds.get(name) for name in schema.PHASES},
    }
    return {name: [value] for name, value in row.items() if value is not None}


def begun(**fields: Any) -> dict[str, Any]:
    """Fields of a RunMeta that begins now, by this version of the program."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"started": now, "code_version": version("rock-token-explorer"), **fields}
