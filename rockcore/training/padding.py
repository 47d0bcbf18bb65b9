"""One tokenizer, two paddings: models of one family often have more rows in their head than their
tokenizer has tokens, and not equally many. Here is decided which ids a pair shares.

What the shared ids leave out is never predicted, never sampled and gets no gradient from the head;
both distributions are renormalised, and the probability that was cut off is logged. Refused is a
pair of which one model lacks ordinary tokens of the tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rockcore.schema import RockError, tokenizer_hash


class VocabularyMismatch(RockError, ValueError):
    """Student and teacher do not predict over the same vocabulary."""


class CutMass(NamedTuple):
    """Mean probability on the ids that were cut off, before both were restricted."""

    student: float
    teacher: float


class ChosenBy:
    """A logits processor of transformers: `pick` says which id of the first V comes next, and that
    one alone is left. Prompts are padded to `longest` on their left.
    """

    def __init__(self, pick: Callable[[Tensor, Tensor, int], Tensor], longest: int, V: int):
        self.pick, self.longest, self.V = pick, longest, V
        self.rows_B: Tensor | None = (
            None  # one tensor, by which a pick knows that they are the same
        )

    def __call__(self, ids_BT: Tensor, logits_BV: Tensor) -> Tensor:
        if self.rows_B is None:
            self.rows_B = torch.arange(len(ids_BT), device=ids_BT.device)
        chosen_B = self.pick(logits_BV[:, : self.V], self.rows_B, ids_BT.shape[1] - self.longest)
        return torch.full_like(logits_BV, -torch.inf).scatter_(1, chosen_B[:, None], 0.0)


def refuse_other_tokens(student: Any, teacher: Any) -> None:
    """Raises VocabularyMismatch, which names tokens that differ, unless both models' tokenizers
    give the same ids to the same tokens.
    """
    own, others = (dict(model.tokenizer.get_vocab()) for model in (student, teacher))
    if tokenizer_hash(own) == tokenizer_hash(others):
        return
    differing = sorted(
        (token for token in own.keys() | others.keys() if own.get(token) != others.get(token)),
        key=lambda token: (own.get(token, others.get(token, 0)), token),
    )
    examples = ", ".join(
        f"{ascii(token)[:80]} ({own.get(token, 'none')} against {others.get(token, 'none')})"
        for token in differing[:3]
    )
    raise VocabularyMismatch(
        f"The tokenizers of {student.name} ({len(own)} tokens) and {teacher.name} "
        f"({len(others)} tokens) differ in {len(differing)} tokens, e.g. {examples}",
        "A divergence needs both models to mean the same token by the same id",
        "Take a pair from one model family, or retrain one of them with the other's tokenizer; a "
        "token that only one of them adds may come from tokenizer_class in its "
        "tokenizer_config.json",
    )


def shared_ids(tokenizer: Any, rows: dict[str, int]) -> int | None:
    """How many ids both models predict over, given the rows of each one's head by name; None where
    these are equal, and nothing has to be left out.

    The ids of a tokenizer may have gaps: it has those up to its largest. Raises VocabularyMismatch
    if a model lacks one that is no added token.
    """
    if len(set(rows.values())) == 1:
        return None
    vocabulary = tokenizer.get_vocab()
    shared = min(max(vocabulary.values()) + 1, *rows.values())
    lost = [
        token
        for token, i in vocabulary.items()
        if i >= shared and i not in tokenizer.added_tokens_decoder
    ]
    if lost:
        sizes = ", ".join(f"{name} predicts over {n} ids" for name, n in rows.items())
        raise VocabularyMismatch(
            f"{sizes}, and the tokenizer has {len(lost)} tokens beyond the smaller one, e.g. "
            f"{lost[0]!r}",
            "Only one of the two can say them, and cutting them would change what the other means",
            "Take a pair from one model family, or resize the smaller model and train the new rows",
        )
    return shared


def mass_beyond(logits: Tensor, shared: int) -> Tensor:
    """Probability on the ids from `shared` on: logits (P, V) to (P,)."""
    beyond = torch.logsumexp(logits[:, shared:].float(), 1)
    return (beyond - torch.logsumexp(logits.float(), 1)).exp()
