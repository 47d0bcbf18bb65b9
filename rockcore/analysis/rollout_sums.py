"""Sums over the occurrences of each rollout, in memory that does not grow with the log."""

from __future__ import annotations

import numpy as np

from rockcore.rocks.corpus import Corpus, blocks

_AT_ONCE = 4_000_000  # occurrences that are summed together: of all, the float64 would be gigabytes


def sums_by_rollout(
    corpus: Corpus, values_N: np.ndarray, of_N: np.ndarray | None = None
) -> np.ndarray:
    """(B,) float64: a value of each occurrence, or of those that `of_N` marks, summed over each
    rollout.
    """
    found_B = np.zeros(corpus.rollouts)
    for a, b in blocks(corpus.lengths, _AT_ONCE):
        begin, lengths = int(corpus.starts[a]), corpus.lengths[a:b]
        rows = slice(begin, begin + int(lengths.sum()))
        rollout, values = np.repeat(np.arange(b - a), lengths), values_N[rows]
        if of_N is not None:
            rollout, values = rollout[of_N[rows]], values[of_N[rows]]
        found_B[a:b] = np.bincount(rollout, values, b - a)
    return found_B
