"""The vocabulary of a model as a log keeps it: every id with its own text."""

from __future__ import annotations

from typing import Any, NamedTuple

from rockcore.categories import BYTES
from rockcore.training.models import Model


def vocabulary_columns(model: Model) -> dict[str, list]:
    """The columns of schema.VOCAB: every id with its own text, spaces and line breaks kept."""
    ids = list(range(model.vocab_size))
    known = set(model.tokenizer.get_vocab().values())  # they may have gaps
    pieces = [model.tokenizer.convert_ids_to_tokens(i) if i in known else None for i in ids]
    # all_special_ids has those with a role (end, padding); reserved ones and control tokens are
    # only marked so
    marked = {i for i, token in model.tokenizer.added_tokens_decoder.items() if token.special}
    special = set(model.tokenizer.all_special_ids) | marked
    # a byte-level alphabet writes a space as Ġ, SentencePiece as ▁; a large SentencePiece
    # vocabulary has the letter Ġ too
    openings = [p[:1] for p in pieces if p is not None]
    byte_level = openings.count("Ġ") > openings.count("▁")
    marks = _marks_of_words(model.tokenizer)
    texts = [
        f"<unused {i}>" if p is None else p if i in special else piece_text(p, byte_level, marks)
        for i, p in enumerate(pieces)
    ]
    return {"token_id": ids, "token": texts, "special": [i in special for i in ids]}


class WordMarks(NamedTuple):
    """How a vocabulary marks where words begin and end; empty where it does not."""

    ends: str = ""  # the end of a piece that ends a word: </w>
    goes_on: str = ""  # the beginning of a piece within a word: ##; all others begin one


_UNMARKED = WordMarks()


def _marks_of_words(tokenizer: Any) -> WordMarks:
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    return WordMarks(
        getattr(model, "end_of_word_suffix", None) or "",
        getattr(model, "continuing_subword_prefix", None) or "",
    )


def piece_text(piece: str, byte_level: bool, marks: WordMarks = _UNMARKED) -> str:
    r"""The text of a tokenizer's piece, a space in the place of a mark of words; bytes that are no
    text by themselves are written \xNN.
    """
    if marks.ends and piece.endswith(marks.ends):
        return piece_text(piece.removesuffix(marks.ends), byte_level) + " "
    if marks.goes_on:
        inside = piece.startswith(marks.goes_on) and piece != marks.goes_on
        rest = piece.removeprefix(marks.goes_on) if inside else f" {piece}"
        return piece_text(rest, byte_level)
    if byte_level:
        if all(c in BYTES for c in piece):
            return bytes(BYTES[c] for c in piece).decode("utf-8", errors="backslashreplace")
        return piece
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)]).decode("utf-8", errors="backslashreplace")
    return piece.replace("▁", " ")
