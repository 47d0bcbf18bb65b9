"""What a scoring will take in memory and time, told before it starts."""

from __future__ import annotations

import time
from datetime import timedelta

from rockcore.training import memory
from rockcore.training.clock import Clock
from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts
from rockcore.training.scoring import judge_texts, padded_tokens

_WORTH_A_TRIAL = 20_000  # response tokens: below it the answer is there before the estimate
_TRIAL = 1_000


def sentences(
    student: Model, teacher: Model, rollouts: Rollouts, units: int, processes: int
) -> list[str]:
    """What there is to do and what it takes, of units that are about as large as this one."""
    tokens = sum(rollouts.lengths)
    weights = sum(p.nbytes for model in (student, teacher) for p in model.net.parameters())
    beside = working_bytes(student, teacher, rollouts)
    each = " in each process" if processes > 1 else ""
    said = [
        f"{_counted(len(rollouts.lengths), 'text')} with {_counted(tokens, 'response token')}, "
        f"{_counted(units, 'time')}, on {student.device}; memory{each}: "
        f"{memory.in_words(weights)} for both models and about {memory.in_words(beside)} "
        f"beside them{_free(student, beside)}"
    ]
    if tokens * units > _WORTH_A_TRIAL:
        seconds = tokens * units / _speed(student, teacher, rollouts) / processes
        said.append(f"about {timedelta(seconds=round(seconds))} on this machine")
    return said


def _free(student: Model, needed: int) -> str:
    """What there is of memory; the models have theirs already."""
    free = memory.free_memory(student.device)
    if free is None:
        return ""
    if needed <= free:
        return f"; {memory.in_words(free)} are free"
    return f"; only {memory.in_words(free)} ARE FREE, it will likely not fit: try --dtype bfloat16"


def working_bytes(student: Model, teacher: Model, rollouts: Rollouts) -> int:
    """About the most that judging takes beside the weights: the activations of one layer for the
    rows that go through a model at once, and what is computed from a piece of the predictions.
    """
    rows = zip(rollouts.student_prompts, rollouts.teacher_prompts, rollouts.responses, strict=True)
    longest = max(max(len(p), len(q)) + len(r) for p, q, r in rows)
    most = 0
    for model in (student, teacher):
        inner = getattr(model.net.config.get_text_config(), "intermediate_size", 0)
        width = 6 * model.width + 3 * (inner if isinstance(inner, int) else 4 * model.width)
        each = width + (0 if model.splits else 2 * model.head.shape[0])
        size = next(model.net.parameters()).element_size()
        most = max(most, max(padded_tokens(model), longest) * each * size)
    return most + memory.of_pieces(student, sum(rollouts.lengths))


def _speed(student: Model, teacher: Model, rollouts: Rollouts) -> float:
    """Response tokens a second, tried on some texts from the middle by length."""
    order = sorted(range(len(rollouts.lengths)), key=lambda r: rollouts.lengths[r])
    chosen: list[int] = []
    for row in order[len(order) // 2 :]:
        chosen.append(row)
        if sum(rollouts.lengths[r] for r in chosen) >= _TRIAL:
            break
    texts = rollouts.of(chosen)
    start = time.perf_counter()
    judge_texts(student, teacher, texts, Clock(student.device))
    return sum(texts.lengths) / (time.perf_counter() - start)


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
