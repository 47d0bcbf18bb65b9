"""What a small Llama model does for every further token of a batch: functions of tensors, which run
without Python.

A step has some sixty operations of a few microseconds. From Python each of them gives its lock away
and takes it back, so that two threads which write side by side wait for one another all the time.
"""

import warnings
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.jit.frontend import FrontendError

# of one layer: queries, keys and values (`FastLlama`); output, transposed; gate and up; down; norms
Layer = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Plain = TypeVar("Plain", bound=Callable[..., object])
_compiling = Lock()  # filters of warnings are those of all threads


class Weights(NamedTuple):
    """Of a model as it is while it writes."""

    embedding: Tensor
    layers: list[Layer]
    norm: Tensor  # behind the last layer
    head_DV: Tensor
    turn: Tensor  # (positions, head_dim / 2) complex
    eps: float


def scripted(function: Plain) -> Plain:
    """`function` with the same numbers, but without Python while it runs; itself where this torch
    cannot do that. Compiled once: 0.03 s, and 0.05 s more where it is called first.
    """
    with _compiling:
        return cast(Plain, _scripted(function))


@cache
def _scripted(function: Callable[..., object]) -> Callable[..., object]:
    """torch says from 2.13 on that `torch.jit.script` is deprecated. What it names instead needs a
    compiler of C++ on the user's machine.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return torch.jit.script(function)
        except (FrontendError, RuntimeError, OSError):  # OSError: there is no source to compile
            return function


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Rotary embedding of numbers whose pairs stand side by side in the last axis; `turn` has a
    complex number of length 1 for each pair. One operation, a third of the time of the usual six on
    two halves.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, [-1, 2]))
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)


def split(
    qkv: Tensor, turn: Tensor, heads: int, kv_heads: int, head_dim: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(..., (H + 2 KV) * hd) -> rotated query and key, value; each (..., heads, hd)."""
    parts = qkv.unflatten(-1, [heads + 2 * kv_heads, head_dim])
    turned = rotate(parts[..., : heads + kv_heads, :], turn)
    return turned[..., :heads, :], turned[..., heads:, :], parts[..., heads + kv_heads :, :]


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root mean square norm over the last axis."""
    return F.rms_norm(x, [x.shape[-1]], weight, eps)


def mlp(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """The gated layer behind an attention."""
    gate, up = F.linear(x, gate_up).chunk(2, -1)
    return F.linear(F.silu(gate) * up, down)


def decode(
    token_B: Tensor,
    at: int,
    offset_B: Tensor,
    bias: Tensor,
    cache: list[tuple[Tensor, Tensor]],
    weights: Weights,
) -> Tensor:
    """(B, V) logits of what follows one more token a row, whose keys and values are written at the
    place `at` of the cache; a row's own places begin at its offset.
    """
    end, kv_heads, head_dim = at + 1, cache[0][0].shape[1], cache[0][0].shape[3]
    turn = weights.turn.index_select(0, at - offset_B)[:, None]
    bias = bias[:, :, :end]
    x = F.embedding(token_B, weights.embedding)
    for i, (qkv, out, gate_up, down, norm_1, norm_2) in enumerate(weights.layers):
        keys, values = cache[i]
        parts = F.linear(norm(x, norm_1, weights.eps), qkv)
        heads = parts.shape[-1] // head_dim - 2 * kv_heads
        q, k, v = split(parts, turn, heads, kv_heads, head_dim)
        keys[:, :, at] = k
        values[:, :, at] = v
        past_keys, past_values = keys.flatten(0, 1)[:, :end], values.flatten(0, 1)[:, :end]
        rows = q.reshape(past_keys.shape[0], -1, head_dim)
        scores = torch.baddbmm(bias, rows, past_keys.transpose(1, 2), alpha=head_dim**-0.5)
        o = torch.bmm(torch.softmax(scores, -1), past_values).view(len(token_B), -1)
        x = torch.addmm(x, o, out)
        x += mlp(norm(x, norm_2, weights.eps), gate_up, down)
    return norm(x, weights.norm, weights.eps) @ weights.head_DV


def drawn(
    logits_BV: Tensor, uniform_TB: Tensor, rows_B: Tensor, t: int, temperature: float
) -> Tensor:
    """(B,) an id a row, where its uniform number at `t` falls among the cumulated probabilities."""
    if temperature != 1.0:
        logits_BV = logits_BV / temperature
    cdf_BV = torch.softmax(logits_BV.float(), -1).cumsum(-1)
    uniform_B1 = uniform_TB[t].index_select(0, rows_B)[:, None]
    # right=True never lands on a token of probability 0
    found_B1 = torch.searchsorted(cdf_BV, uniform_B1 * cdf_BV[:, -1:], right=True)
    return found_B1[:, 0].clamp_(max=logits_BV.shape[-1] - 1)


def ended(token_B: Tensor, alive_B: Tensor, stops: Tensor) -> Tensor | None:
    """(B,) which rows still alive end with these tokens; None where none does."""
    ended_B = (token_B[:, None] == stops).any(1) & alive_B
    return ended_B if bool(ended_B.any()) else None
