"""From rollouts and scores to the columns of the log."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rockcore.grading import graded
from rockcore.log import summaries
from rockcore.schema import TOP_ALTERNATIVES, RockError
from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts
from rockcore.training.scoring import TOPS, Judged

CURE = "Look at the steps before it in the log; a lower --lr, or --dtype float32, usually cures it"
_AT_THE_START = (
    "No update was made yet, so it comes from the models: one of them has weights that are no "
    "numbers, or --dtype is too small for it, or the teacher gives no probability at all to what "
    "the student may write"
)

CUT = ("student_cut", "teacher_cut")  # the columns of schema.METRICS for a CutMass


class NonFiniteLoss(RockError, ArithmeticError):
    """A kl that is no number: training cannot go on, the log up to here is kept."""


def token_columns(rollouts: Rollouts) -> dict[str, np.ndarray]:
    """Where each response token stands, and which it is, rollouts one after another."""
    lengths = rollouts.lengths
    return {
        "rollout_id": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        "position": np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        "token_id": rollouts.token_ids(),
    }


def occurrence_columns(step: int, rollouts: Rollouts, scored: Judged) -> dict[str, np.ndarray]:
    """The columns of schema.PROBE but the alternatives, rollouts one after another; TOKENS adds the
    weight.
    """
    step_N = np.full(sum(rollouts.lengths), step, np.int32)
    return {"step": step_N, **token_columns(rollouts), **scored.losses}


def refuse_non_finite(step: int, rollouts: Rollouts, scored: Judged) -> None:
    """Raises NonFiniteLoss, which names the first position whose kl is no number."""
    kl = scored.losses["kl"]
    bad = np.flatnonzero(scored.known & ~np.isfinite(kl))
    if len(bad):
        where = occurrence_columns(step, rollouts, scored)
        rollout, position = where["rollout_id"][bad[0]], where["position"][bad[0]]
        raise NonFiniteLoss(
            f"At step {step}, rollout {rollout}, position {position}, kl is {kl[bad[0]]} "
            f"({len(bad)} of {len(kl)} tokens)",
            "An update with it would ruin the student" if step else _AT_THE_START,
            CURE if step else "Try --dtype float32, or take another teacher",
        )


def alternative_columns(scored: Judged) -> dict[str, np.ma.MaskedArray]:
    """The alternatives in schema.PROBE and PROBE_TEACHER, each (N, k): masked, which is null in the
    log, where there are none.
    """
    columns: dict[str, np.ma.MaskedArray] = {}
    for name in TOPS:
        kind: Any = np.int32 if name.endswith("ids") else np.float32
        columns[name] = np.ma.masked_all((len(scored.losses["kl"]), TOP_ALTERNATIVES), kind)
        if scored.alternatives:
            columns[name][: len(scored.alternatives[name])] = scored.alternatives[name]
    return columns


def rollout_columns(
    step: int, rollouts: Rollouts, student: Model, grader: str = "boxed"
) -> dict[str, Any]:
    """The columns of schema.ROLLOUTS."""
    return {
        "step": [step] * len(rollouts.tasks),
        "rollout_id": range(len(rollouts.tasks)),
        "prompt": [task.prompt for task in rollouts.tasks],
        "teacher_prompt": [task.teacher_prompt for task in rollouts.tasks],
        "response": rollouts.texts,
        "answer": [task.answer for task in rollouts.tasks],
        "correct": grades(rollouts, grader),
        "truncated": [not r or r[-1] not in student.stop_ids for r in rollouts.responses],
    }


def grades(rollouts: Rollouts, grader: str = "boxed") -> list[bool | None]:
    """Whether each response is right; None where no answer is known."""
    known = [n for n, task in enumerate(rollouts.tasks) if task.answer is not None]
    answers = [rollouts.tasks[n].answer or "" for n in known]
    found = graded([rollouts.texts[n] for n in known], answers, grader)
    right = dict(zip(known, (each.right for each in found), strict=True))
    return [right.get(n) for n in range(len(rollouts.tasks))]


def step_summary(
    step: int, rollouts: Rollouts, scored: Judged, grader: str = "boxed"
) -> dict[str, Any]:
    """Means of a step, as `rockcore.log.summaries` has them. Where positions were not judged, means
    of kl over all of them are not known, which is NaN.
    """
    correct = grades(rollouts, grader)
    return {
        **summaries.step_summary(step, scored.losses["kl"], rollouts.lengths, correct),
        **({} if scored.cut is None else dict(zip(CUT, scored.cut, strict=True))),
    }


class Update(NamedTuple):
    """The update that followed a step, as schema.METRICS tells it."""

    learning_rate: float
    update_norm: float
    trained: int
    weight_sum: float


def metrics_row(
    step: int,
    rollouts: Rollouts,
    scored: Judged,
    seconds: dict[str, float],
    update: Update | None,
    grader: str = "boxed",
) -> dict[str, list]:
    """The columns of schema.METRICS, one row; `seconds` by the names of its phases."""
    row = {
        **step_summary(step, rollouts, scored, grader),
        **(dict.fromkeys(Update._fields) if update is None else update._asdict()),
        **{
            name: seconds.get(name, 0.0)
            for name in ("sample_s", "teacher_s", "student_s", "projection_s", "update_s", "log_s")
        },
    }
    return {name: [value] for name, value in row.items()}


def eval_columns(step: int, outcomes: dict[str, np.ndarray]) -> dict[str, Any]:
    """The columns of schema.EVALS from one outcome per problem, (n,) bool, for each way of
    decoding.
    """
    n = len(next(iter(outcomes.values())))
    return {
        "step": [step] * n * len(outcomes),
        "problem_id": list(range(n)) * len(outcomes),
        "decoding": [decoding for decoding in outcomes for _ in range(n)],
        "correct": np.concatenate(list(outcomes.values())),
    }
