"""Differences of accuracy as a screen has them, drawn without a model: nothing is true, or what is
planted.
"""

from __future__ import annotations

import numpy as np

SHARES = np.linspace(0.02, 0.49, 50)  # of rollouts changed, as measured on the built-in pair


def drawn(
    rng: np.random.Generator,
    effect_J: np.ndarray,
    shares_J: np.ndarray = SHARES,
    problems: int = 200,
    rollouts: int = 4,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences by problem (I, J), the same of shams, and how many grades change (J,).

    A changed rollout is right with its problem's probability, moved by `effect_J` / the share that
    changes: so that the candidate's Δ is the effect. All share one baseline.
    """
    right_I = rng.beta(1.0, 1.0, problems) * 0.5 + 0.25
    baseline_IB = rng.random((problems, rollouts)) < right_I[:, None]
    differences, shams, flipped = [], [], []
    for effect, share in zip(effect_J, shares_J, strict=True):
        held_IB = rng.random(baseline_IB.shape) < share
        under = rng.random(baseline_IB.shape) < right_I[:, None] + effect / share
        sham = rng.random(baseline_IB.shape) < right_I[:, None]
        difference_IB = held_IB * (under.astype(float) - baseline_IB)
        differences.append(difference_IB.mean(1))
        shams.append((held_IB * (sham.astype(float) - baseline_IB)).mean(1))
        flipped.append((difference_IB != 0).sum())
    return np.stack(differences, 1), np.stack(shams, 1), np.array(flipped)
