"""Where a token type mostly stands, from its occurrences: a type has no place of its own."""

from __future__ import annotations

from collections.abc import Iterable
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
    token_id_N: np.ndarray, starts_N: np.ndarray, known_ids: np.ndarray, texts: Iterable[str]
) -> Places:
    """Of responses one after the other, whose first tokens `starts_N` (bool) marks, and of a
    vocabulary of `known_ids` with their `texts`.
    """
    return place_counts(token_id_N, starts_N, known_ids, texts).usual


def place_counts(
    token_id_N: np.ndarray, starts_N: np.ndarray, known_ids: np.ndarray, texts: Iterable[str]
) -> PlaceCounts:
    """The counts behind `usual_places`, of the same arguments."""
    texts = list(texts)
    size = int(max(known_ids.max(initial=0), token_id_N.max(initial=0))) + 1
    found = []
    for marks_of, places_of in ((sentence_marks, sentence_starts_of), (join_marks, joins_of)):
        marks = np.zeros(size, np.uint8)
        marks[known_ids] = marks_of(texts)
        there = places_of(token_id_N, starts_N, marks)
        found.append(np.bincount(token_id_N[there], minlength=size))
    return PlaceCounts(np.bincount(token_id_N, minlength=size), *found)
