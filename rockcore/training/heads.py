"""Logits of models that do more behind the last hidden states than project them: they scale or cap
what comes out. The model itself is asked, with its decoder standing still, for a few positions at a
time: the logits of a whole text over the whole vocabulary are never there at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Given:
    """What a decoder returns: the hidden states, and nothing else that may be asked for."""

    def __init__(self, hidden: Tensor):
        self.last_hidden_state = hidden

    def __getattr__(self, name: str) -> None:
        return None

    def __getitem__(self, index: int) -> Tensor | None:
        return self.last_hidden_state if index == 0 else None


def finished(net: Any, hidden_ND: Tensor) -> Tensor:
    """(N, rows of the head) what the model makes of last hidden states; differentiable in them."""
    decoder, given = net.get_decoder(), _Given(hidden_ND[None])
    own = decoder.__dict__.get("forward")
    decoder.forward = lambda *_, **__: given
    try:
        ids = torch.zeros(1, len(hidden_ND), dtype=torch.long, device=hidden_ND.device)
        return net(ids, use_cache=False).logits[0]
    finally:
        del decoder.forward
        if own is not None:
            decoder.forward = own


@torch.inference_mode()
def finishes(net: Any) -> bool:
    """Whether `finished` gives the model's own logits, and each position's by itself."""
    decoder, head = net.get_decoder(), net.get_output_embeddings()
    if decoder is None or head is None:
        return False
    ids = torch.arange(8, device=head.weight.device)[None] % head.weight.shape[0]
    hidden = getattr(decoder(ids, use_cache=False), "last_hidden_state", None)
    if hidden is None or hidden.shape[:2] != ids.shape:
        return False
    try:
        whole, part = finished(net, hidden[0]), finished(net, hidden[0, 2:5])
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError):
        return False  # its forward asks its decoder for more than this
    own = net(ids, use_cache=False).logits[0]
    rounding = 0.02 * float(own.abs().max())  # of half precision, where rows meet other rows
    return torch.equal(whole, own) and bool(((part - own[2:5]).abs() <= rounding).all())
