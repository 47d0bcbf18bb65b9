"""The vocabulary of a model as a log keeps it: every id with its own text."""

from __future__ import annotations

from collections.abc import Sequence, Set

from rockcore.categories import BYTES


def vocab_columns(pieces: Sequence[str | None], special: Set[int]) -> dict[str, list]:
    """The columns of schema.VOCAB, from the tokenizer's piece of each id (None for an id it has
    not) and its special ids: spaces and line breaks kept.
    """
    # a byte-level alphabet writes a space as Ġ, SentencePiece as ▁; a large SentencePiece
    # vocabulary has the letter Ġ too
    openings = [p[:1] for p in pieces if p is not None]
    byte_level = openings.count("Ġ") > openings.count("▁")
    texts = [
        f"<unused {i}>" if p is None else p if i in special else piece_text(p, byte_level)
        for i, p in enumerate(pieces)
    ]
    ids = range(len(pieces))
    return {"token_id": list(ids), "token": texts, "special": [i in special for i in ids]}


def piece_text(piece: str, byte_level: bool) -> str:
    r"""The text of a tokenizer's piece; bytes that are no text by themselves are written \xNN."""
    if byte_level:
        if all(c in BYTES for c in piece):
            return bytes(BYTES[c] for c in piece).decode("utf-8", errors="backslashreplace")
        return piece
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)]).decode("utf-8", errors="backslashreplace")
    return piece.replace("▁", " ")
