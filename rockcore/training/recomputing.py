"""Gradient checkpointing: what a layer computed is forgotten on the way up and computed again on
the way down, where the gradient needs it.

The layers are wrapped one by one, and the model stays in evaluation: transformers checkpoints a
model in training mode only, which would switch on the dropout that many checkpoints bring along,
and a divergence under dropout is not that of the student that wrote the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from rockcore.config import BadConfig
from rockcore.training.loading import layers_of
from rockcore.training.models import Model


def recompute(student: Model) -> None:
    """Let each layer of the student keep its input alone where a gradient will be taken; values and
    gradients stay what they are. A small Llama takes the general path from here on. Raises
    BadConfig for a model without such layers.
    """
    layers = layers_of(student.net)
    if not layers:
        raise BadConfig(
            f"--gradient-checkpointing, and {student.name} ({type(student.net).__name__}) has no "
            "layers that transformers could compute anew",
            "Its activations cannot be dropped layer by layer",
            "Leave --gradient-checkpointing away, and give a small --micro-batch",
        )
    for layer in layers:
        layer.forward = _Again(layer.forward)
    student.fast = None


@contextmanager
def at_once(student: Model) -> Iterator[int]:
    """Within it no layer is computed anew; gives the number of layers that otherwise are."""
    wrapped = [x.forward for x in layers_of(student.net) if isinstance(x.forward, _Again)]
    for each in wrapped:
        each.is_off = True
    try:
        yield len(wrapped)
    finally:
        for each in wrapped:
            each.is_off = False


class _Again:
    """The forward pass of a layer, computed a second time in the backward pass."""

    def __init__(self, forward: Any):
        self.forward, self.is_off = forward, False

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if self.is_off or not torch.is_grad_enabled():
            return self.forward(*inputs, **named)
        # in evaluation nothing is drawn, so there is no state of a generator to keep
        return checkpoint(
            self.forward, *inputs, use_reentrant=False, preserve_rng_state=False, **named
        )
