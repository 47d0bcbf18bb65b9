"""The vocabulary of a loaded model, for the log."""

from __future__ import annotations

from rockcore.log.vocabulary import piece_text, vocab_columns
from rockcore.training.models import Model

__all__ = ["piece_text", "vocabulary_columns"]


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
    return vocab_columns(pieces, set(model.tokenizer.all_special_ids) | marked)
