"""Gradients in all trained parameters of the student, for a sample of positions: the check of what
is seen of them in the logits alone.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from rockcore.training.divergence import judge
from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts


def exact_norms(student: Model, teacher: Model, rollouts: Rollouts, at: np.ndarray) -> np.ndarray:
    """Norm of the gradient of kl in all parameters that the student trains, at the response tokens
    `at` (P,) among all N: (P,) float64.

    One backward pass a position, from the closed-form gradient at its logits: batching them
    (is_grads_batched) was slower. Parameters and their .grad are left as they are.
    """
    ends = np.cumsum(rollouts.lengths)
    row_P = np.searchsorted(ends, at, side="right")
    norms = np.zeros(len(at))
    parameters = student.trained
    for row in np.unique(row_P):
        mine = np.flatnonzero(row_P == row)
        places = at[mine] - (ends[row] - rollouts.lengths[row])
        response = rollouts.responses[row][: places.max() + 1]
        with torch.no_grad():
            q_features = teacher.features([rollouts.teacher_prompts[row]], [response])
        p_features = student.features([rollouts.student_prompts[row]], [response])
        for i, t in zip(mine, places, strict=True):
            logits = student.logits(p_features[t : t + 1])
            with torch.no_grad():
                upstream = judge(
                    logits,
                    teacher.logits(q_features[t : t + 1]).to(student.device),
                    torch.tensor([response[t]], device=student.device),
                )
            found = torch.autograd.grad(
                logits,
                parameters,
                upstream.logit_gradient.to(logits.dtype),
                retain_graph=bool(i != mine[-1]),
                allow_unused=True,
            )
            norms[i] = float(torch.stack([g.float().norm() for g in found if g is not None]).norm())
    return norms


def exact_sample(rollouts: Rollouts, positions: int, seed: int) -> np.ndarray:
    """At most `positions` response tokens, drawn at random without replacement: ascending indices
    among all N.
    """
    n = sum(rollouts.lengths)
    return np.sort(np.random.default_rng(seed).choice(n, min(positions, n), replace=False))


def exact_price(student: Model, teacher: Model, rollouts: Rollouts, positions: int) -> str:
    """What `exact_norms` of so many positions will cost, measured on three, as a sentence."""
    tried = exact_sample(rollouts, 3, seed=0)
    start = time.perf_counter()
    exact_norms(student, teacher, rollouts, tried)
    if student.device.type == "cuda":
        torch.cuda.synchronize(student.device)
    each = (time.perf_counter() - start) / max(1, len(tried))
    return (
        f"exact gradients of {positions} positions after the last step: about "
        f"{positions * each:.1f} s ({each * 1e3:.0f} ms each, measured on {len(tried)})"
    )
