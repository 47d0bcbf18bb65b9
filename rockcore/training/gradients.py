"""Where the gradient of a group of texts goes: into the parameters at once, or, where groups are
worked on side by side, beside them, until it is this group's turn.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rockcore.training.models import Model


class Gradients(Protocol):
    """Takes what flows back from a group, piece by piece."""

    def flow(self, out: Tensor, gradient: Tensor | None, leaf: Tensor | None = None) -> None:
        """Let the gradient of `out` flow back, into the parameters and into `leaf` on the way."""
        ...

    def add(self) -> None:
        """The group's turn has come."""
        ...


class AtOnce:
    """Into the parameters: nothing is kept."""

    def flow(self, out: Tensor, gradient: Tensor | None, leaf: Tensor | None = None) -> None:
        out.backward(gradient)

    def add(self) -> None:
        pass


class Kept:
    """Kept until all groups before have added theirs. They add up in the same order as at once: the
    sums are the same to the bit.
    """

    def __init__(self, parameters: list[Tensor]):
        self.parameters = parameters
        self._kept: list[tuple[Tensor, Tensor]] = []

    def flow(self, out: Tensor, gradient: Tensor | None, leaf: Tensor | None = None) -> None:
        into = [*self.parameters, *([] if leaf is None else [leaf])]
        found = torch.autograd.grad(out, into, gradient, allow_unused=True)
        for tensor, part in zip(into, found, strict=True):
            if part is None:
                continue
            if leaf is not None and tensor is leaf:
                leaf.grad = part if leaf.grad is None else leaf.grad.add_(part)
            else:
                self._kept.append((tensor, part))

    def add(self) -> None:
        for parameter, part in self._kept:
            parameter.grad = part if parameter.grad is None else parameter.grad.add_(part)
        self._kept.clear()


def gradients_of(student: Model) -> Gradients:
    """For a group of texts under this student."""
    return Kept(student.trained) if student.lanes > 1 else AtOnce()
