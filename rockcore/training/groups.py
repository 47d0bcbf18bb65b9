"""Which texts are judged together: those of similar length, as many as is fast on a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rockcore.training.models import SMALL, Ids, Model, chunks

# bytes of float32 logits over the whole vocabulary; about six such arrays are there at one moment
WHOLE_LOGITS = 1 << 28


def longer(some: Sequence[Ids], others: Sequence[Ids]) -> list[Ids]:
    """Of a row's two prompts the one that counts."""
    return [max(a, b, key=len) for a, b in zip(some, others, strict=True)]


def groups(
    student: Model, teacher: Model, prompts: Sequence[Ids], responses: Sequence[Ids]
) -> Iterator[list[int]]:
    """Rows that are judged together, by the `longer` prompts and the responses."""
    return chunks(prompts, responses, room(student, teacher), student.micro_batch)


def room(student: Model, teacher: Model) -> int:
    """Padded tokens in one pass of both."""
    return min(padded_tokens(student), padded_tokens(teacher))


def padded_tokens(model: Model) -> int:
    """Padded tokens in one pass: small models on a CPU are fastest when activations stay in the
    cache. Of a model that cannot be asked for the logits of a few positions those of all padded
    tokens are there at once: no more than WHOLE_LOGITS bytes of them.
    """
    on_cpu = model.device.type == "cpu"
    most = 1024 if model.size < SMALL and on_cpu else 8192
    if model.splits:
        return most
    return max(1, min(most, WHOLE_LOGITS // (4 * model.head.shape[0])))
