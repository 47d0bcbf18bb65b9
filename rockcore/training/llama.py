"""The Llama computation for small models on a CPU, with as little as possible between the matrix
products.

It reads the weights of a `LlamaForCausalLM` in place, so training through it trains that model. For
a model of under a million parameters the modules, masks and cache objects of the general
implementation cost more than the arithmetic. It serves plain Llama models only (`fits` says which);
everything else takes the general path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rockcore.training import decoding

# (logits (B, V), rows (B,), t) -> next ids (B,); rows says which prompt each row continues, since
# finished rows leave
Pick = Callable[[Tensor, Tensor, int], Tensor]
# told the new ids of rows that have ended, by row, as soon as they have
Wrote = Callable[[dict[int, list[int]]], None]


def fits(model: Any) -> bool:
    """Whether `model` is a plain Llama on a CPU: default rotary embedding, silu, no biases, no
    dropout.
    """
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        type(model).__name__ == "LlamaForCausalLM"
        and next(model.parameters()).device.type == "cpu"
        and rope.get("rope_type", "default") == "default"
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
        and not config.attention_dropout
    )


class FastLlama:
    """The same function as `model`, sharing its weights.

    `hidden` is differentiable. `sample` keeps keys and values in one preallocated buffer and drops
    finished rows.
    """

    def __init__(self, model: Any):
        config = model.config
        self.model, self.layers = model.model, model.model.layers
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        theta = (getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10000.0)
        frequency = 1.0 / (
            theta ** (torch.arange(0, self.head_dim, 2, dtype=torch.int64).float() / self.head_dim)
        )
        angle = torch.outer(torch.arange(config.max_position_embeddings).float(), frequency)
        self.turn = torch.polar(torch.ones_like(angle), angle)  # (positions, head_dim / 2)
        self.dtype = model.lm_head.weight.dtype

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return decoding.norm(x, weight, self.eps)

    def _split(self, qkv: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return decoding.split(qkv, turn, self.heads, self.kv_heads, self.head_dim)

    def _qkv_weight(self, layer: Any) -> Tensor:
        """Of queries and keys the two numbers of a pair, which the model keeps in two halves of a
        head, side by side: their products stay what they are.
        """
        a, pairs = layer.self_attn, self.head_dim // 2
        halves = (x.weight.unflatten(0, (-1, 2, pairs)) for x in (a.q_proj, a.k_proj))
        values = a.v_proj.weight.unflatten(0, (-1, pairs, 2))
        return torch.cat((*(x.transpose(1, 2) for x in halves), values)).flatten(0, 2)

    @staticmethod
    def _gate_up_weight(layer: Any) -> Tensor:
        return torch.cat((layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight))

    def hidden(
        self,
        ids_BT: Tensor,
        at_N: Tensor,
        cache: list[tuple[Tensor, Tensor]] | None = None,
        offset_B: Tensor | None = None,
    ) -> Tensor:
        """Final hidden states (N, D) of right-padded ids at the places `at_N` among all B T of
        them: causal attention never looks at the padding. Behind the last attention nothing else is
        computed.

        With `cache` the keys and values of the ids are written to its first T places. `offset_B`
        counts the pads on the left, for left-padded ids; they are then masked and positions count
        from the first real token.
        """
        T = ids_BT.shape[1]
        mask, turn = None, self.turn[:T, None]
        if offset_B is not None:
            place_T = torch.arange(T)
            position_BT = (place_T - offset_B[:, None]).clamp(min=0)
            turn = self.turn[position_BT][:, :, None]
            causal_TT = place_T[:, None] >= place_T
            # a padded query sees itself, so that no row of the mask is empty
            mask = (
                causal_TT & (place_T >= offset_B[:, None, None]) | torch.eye(T, dtype=torch.bool)
            )[:, None]
        x = F.embedding(ids_BT, self.model.embed_tokens.weight)
        for i, layer in enumerate(self.layers):
            y = self._norm(x, layer.input_layernorm.weight)
            q, k, v = (
                z.transpose(1, 2) for z in self._split(F.linear(y, self._qkv_weight(layer)), turn)
            )
            if cache is not None:
                cache[i][0][:, :, :T], cache[i][1][:, :, :T] = k, v
            o = F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=mask,
                is_causal=mask is None,
                enable_gqa=self.heads != self.kv_heads,
            )
            o = o.transpose(1, 2).flatten(2)
            if layer is self.layers[-1]:
                x, o = (z.flatten(0, 1).index_select(0, at_N) for z in (x, o))
            x = x + F.linear(o, layer.self_attn.o_proj.weight)
            y = self._norm(x, layer.post_attention_layernorm.weight)
            x = x + decoding.mlp(y, self._gate_up_weight(layer), layer.mlp.down_proj.weight)
        return self._norm(x, self.model.norm.weight)

    @torch.inference_mode()
    def sample(
        self,
        prompts: list[list[int]],
        head_VD: Tensor,
        pick: Pick,
        stop_ids: frozenset[int],
        max_new_tokens: int,
        wrote: Wrote | None = None,
    ) -> list[list[int]]:
        """Continue every prompt until a stop id (which is kept) or `max_new_tokens`; returns the
        new ids of each.
        """
        decode, ended = decoding.scripted(decoding.decode), decoding.scripted(decoding.ended)
        (batch, last_BD), weights = self._prefill(prompts, max_new_tokens), self._weights(head_VD)
        stops = torch.tensor(sorted(stop_ids))
        drawn_TB = torch.zeros(max_new_tokens, len(prompts), dtype=torch.long)
        length_B = torch.full((len(prompts),), max_new_tokens)
        logits_BV = last_BD @ weights.head_DV
        for t in range(max_new_tokens):
            token = pick(logits_BV, batch.rows, t)
            drawn_TB[t].index_copy_(0, batch.rows, token)
            ended_B = ended(token, batch.alive, stops)
            if ended_B is not None:
                length_B[batch.rows[ended_B]] = t + 1
                if wrote is not None:
                    rows = batch.rows[ended_B].tolist()
                    wrote({row: drawn_TB[: t + 1, row].tolist() for row in rows})
                batch.alive &= ~ended_B
                n_alive = int(batch.alive.sum())
                if n_alive == 0:
                    break
                if n_alive <= 0.8 * len(batch.rows):
                    keep = batch.alive.nonzero()[:, 0]
                    token = token[keep]
                    batch = batch.narrowed(keep)
            if t + 1 < max_new_tokens:
                at, batch.used = batch.used, batch.used + 1
                logits_BV = decode(token, at, batch.offset, batch.bias, batch.cache, weights)
        return [row[:n] for row, n in zip(drawn_TB.t().tolist(), length_B.tolist(), strict=True)]

    def _prefill(self, prompts: list[list[int]], max_new_tokens: int) -> tuple[_Batch, Tensor]:
        """Read the prompts, padded on the left so that all rows write their next key at the same
        place; with it the hidden states (B, D) that predict the first new token.
        """
        B, longest = len(prompts), max(map(len, prompts))
        room = longest + max_new_tokens
        offset_B = torch.tensor([longest - len(p) for p in prompts])
        ids_BT = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
        shape = (
            B,
            self.kv_heads,
            room,
            self.head_dim,
        )  # room is one block of memory a head: batched products need no copy
        cache = [
            (torch.empty(shape, dtype=self.dtype), torch.empty(shape, dtype=self.dtype))
            for _ in self.layers
        ]
        ends_B = torch.arange(1, B + 1) * longest - 1
        last = self.hidden(ids_BT, ends_B, cache, offset_B)
        padding = torch.arange(room) < offset_B[:, None]
        bias = torch.zeros(B, room, dtype=self.dtype).masked_fill_(padding, -torch.inf)
        bias = bias.repeat_interleave(self.kv_heads, 0)[:, None]
        alive_B = torch.ones(B, dtype=torch.bool)
        return _Batch(torch.arange(B), alive_B, offset_B, bias, cache, longest), last

    def _weights(self, head_VD: Tensor) -> decoding.Weights:
        embedding, norm = self.model.embed_tokens.weight, self.model.norm.weight
        layers = [self._layer(layer) for layer in self.layers]
        of = (embedding.detach(), layers, norm.detach(), head_VD.detach().t())
        return decoding.Weights(*of, self.turn, self.eps)

    def _layer(self, layer: Any) -> decoding.Layer:
        out, down = layer.self_attn.o_proj.weight.detach().t(), layer.mlp.down_proj.weight.detach()
        norms = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        first, second = (norm.detach() for norm in norms)
        return self._qkv_weight(layer), out, self._gate_up_weight(layer), down, first, second


@dataclass
class _Batch:
    """The rows still being written: finished ones are dropped once they are a fifth of them."""

    rows: Tensor  # (B,) which prompt a row continues
    alive: Tensor  # (B,) not yet ended
    offset: Tensor  # (B,) pads on the left
    bias: Tensor  # (B * kv_heads, 1, room) -inf on pads
    cache: list[tuple[Tensor, Tensor]]  # per layer: keys, values (B, kv_heads, room, head_dim)
    used: int  # places of the cache already written

    def narrowed(self, keep: Tensor) -> _Batch:
        """Only these rows. Whole rows of the cache are copied, also the places not yet written: one
        block of memory each.
        """
        cache = [(k.index_select(0, keep), v.index_select(0, keep)) for k, v in self.cache]
        heads = self.cache[0][0].shape[1]
        bias = self.bias.unflatten(0, (-1, heads))[keep].flatten(0, 1)
        return _Batch(self.rows[keep], self.alive[keep], self.offset[keep], bias, cache, self.used)
