"""One update of the student: AdamW under a schedule, with a gradient that is looked at before it is
used; and what Adam has gathered.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rockcore.config import ResolvedConfig
from rockcore.training.columns import CURE, NonFiniteLoss
from rockcore.training.models import Model


def adamw(student: Model, lr: float) -> torch.optim.Optimizer:
    """Without weight decay, so rows of the projection that get no gradient stay as they are."""
    return torch.optim.AdamW(
        student.trained, lr=lr, weight_decay=0.0, betas=(0.9, 0.98), fused=True
    )


def learning_rate(config: ResolvedConfig, step: int) -> float:
    """Ten steps of warm-up; a line that would reach 0 at the last step, but stops at a tenth of the
    peak.
    """
    return config.lr * min(1.0, (step + 1) / 10) * max(0.1, 1 - step / config.steps)


def update(student: Model, optimizer: torch.optim.Optimizer, step: int, rate: float) -> float:
    """One step of the optimizer; returns the norm of the gradient before it was clipped to 1.
    Raises NonFiniteLoss.
    """
    parameters = student.trained
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
    if not np.isfinite(norm):
        raise NonFiniteLoss(
            f"At step {step} the gradient has norm {norm}",
            "An update with it would ruin the student",
            CURE,
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    if not np.isfinite(float(torch.nn.utils.get_total_norm(parameters))):
        raise NonFiniteLoss(
            f"The update of step {step} made weights that are no numbers",
            "Nothing can be sampled from them",
            CURE,
        )
    return norm


def second_moments(
    step: int, optimizer: torch.optim.Optimizer, weight: Tensor, vocab_size: int | None = None
) -> dict[str, Any] | None:
    """The columns of schema.OPTIMIZER for the first `vocab_size` rows of the vocabulary projection
    `weight` (V, D); None before the first update.

    Adam's step is its bias-corrected first moment over the root of this: the paper supposes
    (section 3) that it grows for frequent types and so shrinks their step. Source: Kingma and Ba
    2015, algorithm 1.
    """
    state = optimizer.state.get(weight)
    if not state:
        return None
    decay = next(
        g["betas"][1] for g in optimizer.param_groups if any(p is weight for p in g["params"])
    )
    moment_V = state["exp_avg_sq"][:vocab_size].float().mean(1) / (
        1 - decay ** float(state["step"])
    )
    V = len(moment_V)
    return {
        "step": np.full(V, step),
        "token_id": np.arange(V),
        "second_moment": moment_V.cpu().numpy(),
    }
