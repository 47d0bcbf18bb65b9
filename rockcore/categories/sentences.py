"""Which tokens open a sentence, told from the texts of the tokens before them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from rockcore.categories.pieces import text_of_piece

# what may stand between a full stop and the next word, on either side of a token's edge: it leaves
# open what came before. $ and \ are here for "$x = 3.$ So" and "\]": that a formula opens a
# sentence hurts nothing, for x is no discourse marker
_AROUND = r"""[\s*_#>\-–—"'“”‘’„«»「」『』()\[\]{}（）【】$\\`~|•·]"""
_TAG = r"<[^<>\s]+>"  # <think>, <|im_start|>
# of the text backwards: forwards, each of 100,000 line breaks would be a beginning to try
_ENDS = re.compile(rf"{_AROUND}*?[\n\r.!?:…。！？：｡؟।]")
_BETWEEN = re.compile(rf"{_AROUND}*|{_TAG}")
_BREAKS = re.compile(rf"{_AROUND}*?[\n\r]")
PLAIN, ENDS, BETWEEN, BREAKS = range(4)


def sentence_marks(texts: Iterable[str]) -> np.ndarray:
    r"""What each text does to sentences, (V,) int8: PLAIN, ENDS one, stands BETWEEN, or BREAKS the
    line and goes on.

    A line break, or any of . ! ? : and their kin, ends a sentence where only brackets, quotes,
    markdown and math delimiters follow. A token of these alone, a tag, or an empty one is between.
    "\nBut" breaks: it opens a sentence by itself. A colon ends too: "Step 2: Now, …". So does every
    full stop, that of "3.5" and of "e.g." as well.
    """

    def mark(text: str) -> int:
        if not text[-1:].isalnum() and _ENDS.match(text[::-1]):
            return ENDS
        return BETWEEN if _BETWEEN.fullmatch(text) else BREAKS if _BREAKS.match(text) else PLAIN

    return np.array([mark(text_of_piece(text)) for text in texts], np.int8)


def sentence_starts_of(
    token_id_N: np.ndarray, starts_N: np.ndarray, marks_V: np.ndarray
) -> np.ndarray:
    """Whether each position opens a sentence, (N,) bool, for responses one after the other.

    `starts_N` (bool) marks each response's first token; `marks_V` is `sentence_marks` of the
    vocabulary. A position opens a sentence if it is first, or if what stands before it, BETWEEN
    left aside, ENDS one or is nothing.
    """
    marks_N = marks_V[token_id_N]
    before_N = np.full_like(marks_N, BETWEEN)
    before_N[1:] = marks_N[:-1]
    opens_N = starts_N | (before_N == ENDS)
    # the last position that settles the matter, and in the lowest bit how: one running maximum
    # carries both
    settled_N = np.where(starts_N | (before_N != BETWEEN), 2 * np.arange(len(marks_N)) + opens_N, 1)
    return (np.maximum.accumulate(settled_N) & 1).astype(bool) | (marks_N == BREAKS)


def sentence_starts(tokens: Sequence[str]) -> np.ndarray:
    """Whether each token of one response opens a sentence, (T,) bool; see `sentence_starts_of`."""
    ids = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    token_id_T = np.array([ids[token] for token in tokens], np.int64)
    return sentence_starts_of(token_id_T, np.arange(len(tokens)) == 0, sentence_marks(ids))
