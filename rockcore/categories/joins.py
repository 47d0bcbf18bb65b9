"""Where a hyphen stands: between the parts of a word or of a sentence it is no operator, though it
looks like one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rockcore.categories.pieces import text_of_piece

_HYPHEN, _SPACED = 1, 2
# of each edge of a text in two bits: nothing of a word, a letter or digit, two letters or more
_END, _BEGIN, _BEHIND_SPACE = 2, 4, 6


def join_marks(texts: Iterable[str]) -> np.ndarray:
    """What each text can be to a hyphen beside it, and whether it is one, (V,) uint8 of bits."""

    def mark(piece: str) -> int:
        text = text_of_piece(piece)
        bare = text[1:] if text.startswith(" ") else ""
        is_hyphen = _HYPHEN if text == "-" else _SPACED if text == " -" else 0
        ends = _word(text[-1:-3:-1]) << _END
        return is_hyphen | ends | _word(text[:2]) << _BEGIN | _word(bare[:2]) << _BEHIND_SPACE

    return np.array([mark(text) for text in texts], np.uint8)


def _word(edge: str) -> int:
    return 0 if not edge[:1].isalnum() else 2 if len(edge) == 2 and edge.isalpha() else 1


def joins_of(token_id_N: np.ndarray, starts_N: np.ndarray, marks_V: np.ndarray) -> np.ndarray:
    """Whether each position is a hyphen that joins, (N,) bool, for responses one after the other.

    `starts_N` (bool) marks each response's first token; `marks_V` is `join_marks` of the
    vocabulary. "-" joins letters or digits of which one side is more than a single letter
    ("well-known", "e-mail", "COVID-19", but not "x-1"), " -" two words ("yes - and no").
    """
    marks_N = marks_V[token_id_N]
    found_N = np.zeros(len(marks_N), bool)
    if len(marks_N) < 3:
        return found_N
    before, own, after = marks_N[:-2], marks_N[1:-1], marks_N[2:]
    ends, begins, spaced = (
        (x >> at) & 3 for x, at in ((before, _END), (after, _BEGIN), (after, _BEHIND_SPACE))
    )
    tight = (own & 3 == _HYPHEN) & (np.minimum(ends, begins) > 0) & (np.maximum(ends, begins) > 1)
    wide = (own & 3 == _SPACED) & (ends > 1) & (spaced > 1)
    found_N[1:-1] = (tight | wide) & ~starts_N[1:-1] & ~starts_N[2:]
    return found_N


def joins(tokens: Sequence[str]) -> np.ndarray:
    """Whether each token of one response is such a hyphen, (T,) bool."""
    ids = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    token_id_T = np.array([ids[token] for token in tokens], np.int64)
    return joins_of(token_id_T, np.arange(len(tokens)) == 0, join_marks(ids))
