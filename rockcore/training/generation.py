"""Which prompts are answered together: those of like length, and no more than whose keys and values
fit a budget. What a row is answered does not depend on its neighbours but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rockcore.training.llama import Pick

CPU_BYTES = 2 << 30  # that keys and values may take
GPU_SHARE = 4  # or this part of the memory of a GPU


def together(lengths: Sequence[int], new_tokens: int, most_tokens: int) -> Iterator[list[int]]:
    """Rows, by the lengths of their prompts, in groups: with `new_tokens` more a group has at most
    `most_tokens` places of a cache (and at least one row), and no prompt in it is longer than twice
    the shortest with its answer, or most of what is computed would be padding.
    """
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        n = lengths[row]
        if group and (
            (len(group) + 1) * (n + new_tokens) > most_tokens
            or n > 2 * (lengths[group[0]] + new_tokens)
        ):
            yield sorted(group)
            group = []
        group.append(row)
    if group:
        yield sorted(group)


def of_rows(pick: Pick, rows: Sequence[int], device: torch.device) -> Pick:
    """`pick` for a group of all rows, which counts its own from 0."""
    rows_B = torch.tensor(rows, device=device)
    last: dict[str, Any] = {}  # a pick keeps what belongs to the rows as long as they are the same

    def pick_of_group(logits_BV: Tensor, at_B: Tensor, t: int) -> Tensor:
        if last.get("at") is not at_B:
            last.update(at=at_B, rows=rows_B[at_B])
        return pick(logits_BV, last["rows"], t)

    return pick_of_group


def places(net: Any, half: bool) -> int:
    """How many tokens' keys and values fit the budget of the model's device."""
    device = next(net.parameters()).device
    if device.type == "cuda":
        budget = torch.cuda.get_device_properties(device).total_memory // GPU_SHARE
    else:
        budget = CPU_BYTES
    return max(1, budget // cache_bytes(net, half))


def cache_bytes(net: Any, half: bool) -> int:
    """Bytes that one token takes in the cache of keys and values, from the sizes in the model's
    settings; of families that keep less of some layers it is a bound.
    """
    sizes = net.config.get_text_config()

    def size(name: str) -> int:
        value = getattr(sizes, name, None)
        return value if isinstance(value, int) else 0  # some families have a list of them

    heads = size("num_attention_heads") or 1
    width = size("head_dim") or size("hidden_size") // heads or 1
    layers, kept = size("num_hidden_layers") or 1, size("num_key_value_heads") or heads
    element = 2 if half else next(net.parameters()).element_size()
    return 2 * layers * kept * width * element
