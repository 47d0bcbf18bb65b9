"""Where a token type mostly stands, from its occurrences: a type has no place of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rockcore.categories.joins import join_marks, joins_of
from rockcore.categories.sentences import sentence_marks, sentence_starts_of


class Places(NamedTuple):
    """Of each id, (V,) bool."""

    opens: np.ndarray  # at least half of its occurrences open a sentence
    joins: np.ndarray  # or are hyphens that join


class PlaceCounts(NamedTuple):
    """Of each id, (V,): how often it occurs, and stands where. Those of two lots of responses add
    up.
    """

    n: np.ndarray
    opens: np.ndarray
    joins: np.ndarray

    @property
    def usual(self) -> Places:
        return Places(2 * self.opens >= self.n, 2 * self.joins >= self.n)


def usual_places(
    token_id_N: np.ndarray,
    starts_N: np.ndarray,
    known_ids: np.ndarray,
    texts: Iterable[str],
    pulse: Callable[[], None] = lambda: None,
) -> Places:
    """Of responses one after the other, whose first tokens `starts_N` (bool) marks, and of a
    vocabulary of `known_ids` with their `texts`. `pulse` is called all along, and stops the work by
    raising.
    """
    return place_counts(token_id_N, starts_N, known_ids, texts, pulse).usual


def place_counts(
    token_id_N: np.ndarray,
    starts_N: np.ndarray,
    known_ids: np.ndarray,
    texts: Iterable[str],
    pulse: Callable[[], None] = lambda: None,
) -> PlaceCounts:
    """The counts behind `usual_places`, of the same arguments."""
    texts = list(texts)
    size = int(max(known_ids.max(initial=0), token_id_N.max(initial=0))) + 1
    found = PlaceCounts(*np.zeros((3, size), np.int64))
    marks = np.zeros((2, size), np.uint8)
    for marks_of, of_ids in zip((sentence_marks, join_marks), marks, strict=True):
        of_ids[known_ids] = marks_of(_with_pulse(texts, pulse))
    for piece in _whole_responses(starts_N):
        pulse()
        ids, starts = token_id_N[piece], starts_N[piece]
        for places_of, of_ids, total in zip(
            (sentence_starts_of, joins_of), marks, found[1:], strict=True
        ):
            total += np.bincount(ids[places_of(ids, starts, of_ids)], minlength=size)
        found.n[:] += np.bincount(ids, minlength=size)
    return found


_AT_ONCE = 2_000_000  # positions


def _whole_responses(starts_N: np.ndarray) -> Iterator[slice]:
    """Pieces of about so many positions, each of which begins with a response: what stands in
    another one says nothing of its places.
    """
    begin, first = 0, np.flatnonzero(starts_N)
    while begin < len(starts_N):
        later = np.searchsorted(first, begin + _AT_ONCE)
        end = int(first[later]) if later < len(first) else len(starts_N)
        yield slice(begin, end)
        begin = end


def _with_pulse(texts: Iterable[str], pulse: Callable[[], None]) -> Iterator[str]:
    for text in texts:
        pulse()
        yield text
