"""Which token a model writes next: the likeliest, or one drawn by its probability.

`Gumbel` draws with a noise that is fixed to (seed, problem, rollout, position, id), whatever else
is in the batch, on any device, and whatever is banned: two arms that read the same text write the
same token unless the ban itself speaks against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rockcore.training import decoding
from rockcore.training.llama import Pick


def greedy(logits_BV: Tensor, rows_B: Tensor, t: int) -> Tensor:
    return logits_BV.argmax(-1)


def inverse_cdf(
    B: int, T: int, temperature: float, seed: int, device: torch.device | None = None
) -> Pick:
    """Sampling by one uniform number a token, all drawn beforehand: which rows are still in the
    batch does not matter.

    A cumulated sum and a binary search cost a fifteenth of torch.multinomial at V = 4096.
    """
    uniform_BT = torch.rand(B, T, generator=torch.Generator().manual_seed(seed))
    uniform_TB = uniform_BT.t().contiguous().to(device)

    draw = decoding.scripted(decoding.drawn) if uniform_TB.device.type == "cpu" else decoding.drawn

    def pick(logits_BV: Tensor, rows_B: Tensor, t: int) -> Tensor:
        return draw(logits_BV, uniform_TB, rows_B, t, temperature)

    return pick


_MIX = (0x7FEB352D, -0x7B935975)  # odd constants of lowbias32 (Ellis 2018), the second as int32
_STREAM = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: the step of splitmix64


def row_keys(seed: int, salt: int, problem_B: np.ndarray, rollout_B: np.ndarray) -> np.ndarray:
    """A key for each rollout, (B,) uint64, for `Gumbel`; another `salt` gives other noise."""
    key_B = np.full(len(problem_B), seed, np.uint64)
    for part in (np.full(len(problem_B), salt), problem_B, rollout_B):
        key_B = _splitmix(key_B ^ _splitmix(np.asarray(part).astype(np.uint64)))
    return key_B


def _splitmix(x: np.ndarray) -> np.ndarray:
    """A bijection of 64 bits in which every bit of the input enters each of the output. Source:
    Steele, Lea and Flood 2014, splitmix64.
    """
    with np.errstate(over="ignore"):
        x = x + np.uint64(_STREAM)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def negative_gumbel(keys_B2: Tensor, V: int) -> Tensor:
    """Standard Gumbel noise, its sign turned, (B, V) float32, of the two halves (B, 2) int32 of a
    key for each row.

    Integer operations that wrap alike on a CPU and a GPU: a hash of (key, id) of 31 bits, twice
    mixed, one half of the key before either round. The largest of logit - this is a draw from the
    softmax of the logits (Gumbel 1954).
    """
    id_V = torch.arange(V, dtype=torch.int32, device=keys_B2.device) * -0x61C88647
    x_BV = id_V ^ keys_B2[:, :1]
    x_BV ^= (x_BV >> 16).bitwise_and_(0xFFFF)
    x_BV.mul_(_MIX[0]).add_(keys_B2[:, 1:])
    x_BV ^= (x_BV >> 15).bitwise_and_(0x1FFFF)
    x_BV.mul_(_MIX[1])
    x_BV ^= (x_BV >> 16).bitwise_and_(0xFFFF)
    # -(1 - u) for u in (0, 1): so the small values, which make the large noise, are precise
    rest_BV = x_BV.bitwise_and_(0x7FFFFFFF).bitwise_or_(1).float().mul_(-(2**-31))
    return rest_BV.clamp_(min=2**-24 - 1).log1p_().neg_().log_()


@dataclass(frozen=True)
class Gumbel:
    """A Pick: argmax of logit / temperature + noise, with bans and lengths of its own for each row.

    Row b goes on at position `start_B[b]` of a response that ends at `most` tokens; there it is
    given `stop`. `bans`: sets of ids; row b may write none of bans[ban_B[b]].
    """

    keys_B: np.ndarray  # (B,) uint64, of `row_keys`
    start_B: np.ndarray
    bans: Sequence[Sequence[int]]
    ban_B: np.ndarray
    temperature: float
    most: int
    stop: int | None

    def pick(self, V: int, device: torch.device) -> Pick:
        """For logits of V ids. Temperature 0 is greedy, under the bans."""
        left = self.most - int(self.start_B.min())
        position_TB = np.arange(left, dtype=np.uint64)[:, None] + self.start_B.astype(np.uint64)
        mixed_TB = _splitmix(self.keys_B ^ _splitmix(position_TB))
        keys_TB2 = torch.from_numpy(mixed_TB.view(np.int32).reshape(*mixed_TB.shape, 2)).to(device)
        left_B = torch.from_numpy(self.most - self.start_B).to(device)
        bans_BV = self._bans(V, device)
        of: dict[str, Any] = {"rows": None}  # what belongs to the rows that are still written

        def pick(logits_BV: Tensor, rows_B: Tensor, t: int) -> Tensor:
            if of["rows"] is not rows_B:  # a new tensor only when finished rows were dropped
                of["rows"], of["keys"] = rows_B, keys_TB2.index_select(1, rows_B)
                of["left"] = left_B.index_select(0, rows_B)
                of["bans"] = None if bans_BV is None else bans_BV.index_select(0, rows_B)
            if self.temperature:
                noise_BV = negative_gumbel(of["keys"][t], V)
                scores_BV = logits_BV.float() * (1 / self.temperature) - noise_BV
            else:
                scores_BV = logits_BV.float()
            if of["bans"] is not None:
                scores_BV = scores_BV + of["bans"]
            token_B = scores_BV.argmax(-1)
            if self.stop is not None:
                token_B = token_B.masked_fill_(of["left"] <= t, self.stop)
            return token_B

        return pick

    def _bans(self, V: int, device: torch.device) -> Tensor | None:
        """(B, V) float32: -inf where a row may not write an id, else 0; None where all may."""
        if not any(map(len, self.bans)):
            return None
        bans_RV = torch.zeros(len(self.bans), V)
        for row, ids in enumerate(self.bans):
            bans_RV[row, torch.tensor(list(ids), dtype=torch.long)] = -torch.inf
        return bans_RV[torch.from_numpy(np.asarray(self.ban_B))].to(device)
