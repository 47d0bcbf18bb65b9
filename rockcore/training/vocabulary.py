"""The vocabulary of a model as a log keeps it: every id with its own text."""

from __future__ import annotations

from rockcore.log.vocabulary import marks_of, vocab_columns
from rockcore.training.models import Model


def vocabulary_columns(model: Model) -> dict[str, list]:
    """The columns of schema.VOCAB: every id with its own text, spaces and line breaks kept."""
    known = set(model.tokenizer.get_vocab().values())  # they may have gaps
    pieces = [
        model.tokenizer.convert_ids_to_tokens(i) if i in known else None
        for i in range(model.vocab_size)
    ]
    # all_special_ids has those with a role (end, padding); reserved ones and control tokens are
    # only marked so
    marked = {i for i, token in model.tokenizer.added_tokens_decoder.items() if token.special}
    special = set(model.tokenizer.all_special_ids) | marked
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    return vocab_columns(pieces, special, marks_of(getattr(backend, "model", None)))
