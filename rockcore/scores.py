"""Token-scoring rules: from sums per token type to one number per type. One small function each, listed in SCORES."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def rock_score(n_V: np.ndarray, kl_sum_V: np.ndarray) -> np.ndarray:
    """R(v) = mean kl of v x frequency of v = sum of kl over v's occurrences, in nats.

    The frequency cancels, so the sum is returned as it is: sum_v R(v) = sum_t kl_t holds to the last bit of the
    summation. Source: arXiv 2605.09253, section 2.
    """
    return np.asarray(kl_sum_V, dtype=np.float64)


def mean_kl(n_V: np.ndarray, kl_sum_V: np.ndarray) -> np.ndarray:
    """Mean kl of a type's occurrences, in nats; 0 where a type does not occur."""
    n_V = np.asarray(n_V, dtype=np.float64)
    return np.divide(kl_sum_V, n_V, out=np.zeros_like(n_V), where=n_V > 0)


SCORES: dict[str, Score] = {"rock_score": rock_score, "mean_kl": mean_kl}
