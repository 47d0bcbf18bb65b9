"""What the metrics of a step say of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rockcore.stats import mean_over_rollouts


def step_summary(
    step: int, kl: np.ndarray, lengths: Sequence[int], correct: Sequence[bool | None]
) -> dict[str, Any]:
    """Means of a step, with a standard error that takes rollouts, not tokens, as independent: None
    for a single rollout, whose spread cannot be seen. Where kl (N,), of rollouts one after another,
    is not known everywhere, neither are its means, which is NaN. Lengths (R,) are at least 1, but
    where no rollout has tokens.
    """
    mean, stderr = mean_over_rollouts(kl, lengths) if len(kl) else (np.nan, None)
    graded = [c for c in correct if c is not None]
    return {
        "step": step,
        "rollouts": len(lengths),
        "tokens": len(kl),
        "kl_mean": mean,
        "kl_stderr": stderr,
        "accuracy": float(np.mean(graded)) if graded else None,
    }
