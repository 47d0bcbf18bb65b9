"""Which texts are judged together: those of similar length, as many as is fast on a device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rockcore.training.models import SMALL, Ids, Model, chunks

# bytes of float32 logits over the whole vocabulary; about six such arrays are there at one moment
WHOLE_LOGITS = 1 << 28


def longer(some: Sequence[Ids], others: Sequence[Ids]) -> list[Ids]:
    """Of a row's two prompts the one that counts."""
    return [max(a, b, key=len) for a, b in zip(some, others, strict=True)]


def groups(
    student: Model,
    teacher: Model,
    prompts: Sequence[Ids],
    responses: Sequence[Ids],
    rows: int | None = None,
) -> Iterator[list[int]]:
    """Rows that are judged together, by the `longer` prompts and the responses; `rows`: how many
    there are in all, where these are not all.
    """
    if student.micro_batch:
        return chunks(prompts, responses, math.inf, student.micro_batch)
    most = most_rows(student, teacher, len(prompts) if rows is None else rows)
    return chunks(prompts, responses, room(student, teacher), most)


def most_rows(student: Model, teacher: Model, rows: int) -> int:
    """Of so many rows those in one pass of both. Of plain small models half of them, so that a few
    short texts keep two cores busy; on how many cores these models work makes no difference, or the
    numbers would depend on it.
    """
    return max(1, -(-rows // 2)) if student.fast and teacher.fast else rows


def room(student: Model, teacher: Model) -> int:
    """Padded tokens in one pass of both."""
    return min(padded_tokens(student), padded_tokens(teacher))


def padded_tokens(model: Model) -> int:
    """Padded tokens in one pass: small models on a CPU are fastest when activations stay in the
    cache, and plain ones go side by side: with few large groups one core waits for the last. Half
    as many tokens take no more CPU time (256 ms instead of 267 a step of the built-in pair), a
    quarter take a seventh more. Of a model that cannot be asked for the logits of a few positions
    those of all padded tokens are there at once: no more than WHOLE_LOGITS bytes of them.
    """
    on_cpu = model.device.type == "cpu"
    small = 512 if model.fast else 1024
    most = small if model.size < SMALL and on_cpu else 8192
    if model.splits:
        return most
    return max(1, min(most, WHOLE_LOGITS // (4 * model.head.shape[0])))
