"""The vocabulary of a model as a log keeps it: every id with its own text."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, NamedTuple

from rockcore.categories import BYTES


class WordMarks(NamedTuple):
    """How a vocabulary marks where words begin and end; empty where it does not."""

    ends: str = ""  # the end of a piece that ends a word: </w>
    goes_on: str = ""  # the beginning of a piece within a word: ##; all others begin one


_UNMARKED = WordMarks()


def is_of_tokenizers(e: BaseException) -> bool:
    """Whether the library tokenizers may raise this over a bad file: a bare Exception, and where
    its own code fails a panic, whose class cannot be imported.
    """
    return type(e) is Exception or type(e).__name__ == "PanicException"


def marks_of(model: Any) -> WordMarks:
    """The marks of words in the vocabulary of a `tokenizers` model; none of what is no such one."""
    return WordMarks(
        getattr(model, "end_of_word_suffix", None) or "",
        getattr(model, "continuing_subword_prefix", None) or "",
    )


def vocab_columns(
    pieces: Sequence[str | None], special: Set[int], marks: WordMarks = _UNMARKED
) -> dict[str, list]:
    """The columns of schema.VOCAB, from the tokenizer's piece of each id (None for an id it has
    not) and its special ids: spaces and line breaks kept.
    """
    # a byte-level alphabet writes a space as Ġ, SentencePiece as ▁; a large SentencePiece
    # vocabulary has the letter Ġ too
    openings = [p[:1] for p in pieces if p is not None]
    byte_level = openings.count("Ġ") > openings.count("▁")
    texts = [
        f"<unused {i}>" if p is None else p if i in special else piece_text(p, byte_level, marks)
        for i, p in enumerate(pieces)
    ]
    ids = range(len(pieces))
    return {"token_id": list(ids), "token": texts, "special": [i in special for i in ids]}


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
