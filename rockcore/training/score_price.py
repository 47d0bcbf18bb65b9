"""What a scoring will take in memory and time, told before it starts."""

from __future__ import annotations

import time
from datetime import timedelta

from rockcore.training.clock import Clock
from rockcore.training.groups import padded_tokens
from rockcore.training.memory import in_words
from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts
from rockcore.training.scoring import judge_texts, piece_rows

# arrays (piece, V) in float32 that judging one piece takes at its peak
_PIECE_ARRAYS = 10
_WORTH_A_TRIAL = 20_000  # response tokens: below it the answer is there before the estimate
_TRIAL = 1_000


def sentences(
    student: Model, teacher: Model, rollouts: Rollouts, units: int, processes: int
) -> list[str]:
    """What there is to do and what it takes, of units that are about as large as this one."""
    tokens = sum(rollouts.lengths)
    weights = sum(
        p.numel() * p.element_size() for m in (student, teacher) for p in m.net.parameters()
    )
    beside = working_bytes(student, teacher, rollouts)
    each = " in each process" if processes > 1 else ""
    said = [
        f"{_counted(len(rollouts.lengths), 'text')} with {_counted(tokens, 'response token')}, "
        f"{_counted(units, 'time')}, on {student.device}; memory{each}: {in_words(weights)} for "
        f"both models and about {in_words(beside)} beside them"
    ]
    if tokens * units > _WORTH_A_TRIAL:
        seconds = tokens * units / _speed(student, teacher, rollouts) / processes
        said.append(f"about {timedelta(seconds=round(seconds))} on this machine")
    return said


def working_bytes(student: Model, teacher: Model, rollouts: Rollouts) -> int:
    """About the most that judging takes beside the weights: the activations of one layer for the
    rows that go through a model at once, and the arrays of one piece of the vocabulary.
    """
    rows = zip(rollouts.student_prompts, rollouts.teacher_prompts, rollouts.responses, strict=True)
    longest = max(max(len(p), len(q)) + len(r) for p, q, r in rows)
    most = 0
    for model in (student, teacher):
        config = model.net.config.get_text_config()
        D = getattr(config, "hidden_size", 0) or 0
        inner = getattr(config, "intermediate_size", 0) or 4 * D
        width = 6 * D + 3 * inner + (0 if model.splits else 2 * model.head.shape[0])
        bytes_each = next(model.net.parameters()).element_size()
        most = max(most, max(padded_tokens(model), longest) * width * bytes_each)
    piece = piece_rows(student.vocab_size, student.device) * student.vocab_size * 4
    return most + _PIECE_ARRAYS * piece


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
