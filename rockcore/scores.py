"""From occurrences to sums per token type, and from these to a score: one small function a rule, listed in SCORES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rockcore import schema

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def type_sums(step: int, tokens: Mapping[str, Any]) -> dict[str, Any]:
    """Sums per token type over the occurrences of one step: the columns of schema.TYPES, sorted by token id.

    The sums are additive: over steps, rollouts and runs they may simply be added up.
    """
    ids, first = np.unique(np.asarray(tokens["token_id"]), return_inverse=True)
    kl, g = (np.asarray(tokens[c], dtype=np.float64) for c in ("kl", "grad_norm"))
    bins = len(schema.KL_EDGES) + 1
    cell = first * bins + np.searchsorted(schema.KL_EDGES, kl, side="right")
    histogram = np.bincount(cell, minlength=len(ids) * bins).reshape(len(ids), bins)

    def total(x: np.ndarray) -> np.ndarray:
        return np.bincount(first, weights=x, minlength=len(ids))

    return {
        "step": np.full(len(ids), step),
        "token_id": ids,
        "n": np.bincount(first, minlength=len(ids)),
        "kl_sum": total(kl),
        "kl_sq_sum": total(kl**2),
        "sampled_loss_sum": total(np.asarray(tokens["sampled_loss"], dtype=np.float64)),
        "grad_norm_sum": total(g),
        "grad_norm_sq_sum": total(g**2),
        "kl_histogram": histogram.tolist(),
    }


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
