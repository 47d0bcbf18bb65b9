"""Slices of a response, as context parallelism deals them out to ranks, put together again.

A text of T tokens is cut into 2n chunks of ⌈T / 2n⌉ for n ranks; rank r gets chunk r and chunk
2n − 1 − r, so that all have as much of the beginning, which is cheap to attend to, as of the end.
What is logged for token t + 1 is computed at t: the values of a response of L tokens lie at T − L −
1 to T − 2. A rank holds those of its first chunk, then those of its second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def places(rank: int, size: int, total: int, length: int, padded: int) -> np.ndarray:
    """Which of the `length` values of a response rank `rank` of `size` holds, in its order.

    `total` counts prompt and response; the chunks are of `padded` tokens, which is `total` but
    where texts are padded to the longest.
    """
    chunk = -(-padded // (2 * size))
    first = total - length - 1  # the place that predicts the response's first token
    chunks = (rank, 2 * size - 1 - rank)
    at = np.concatenate([np.arange(c * chunk, (c + 1) * chunk) for c in chunks])
    return at[(at >= first) & (at < total - 1)] - first


def joined(
    slices: Mapping[int, Any], size: int, total: int, length: int, padded: int
) -> np.ndarray:
    """The values of a response, (length,) float32, from the slices by rank.

    Raises ValueError where a rank is missing or has another number of values than its part.
    """
    missing = [r for r in range(size) if r not in slices]
    if missing:
        raise ValueError(
            f"is cut into the context of {size} ranks, and ranks {str(missing)[1:60].strip(']')} "
            "are missing: give the files of all ranks, or rollout_data, whose lists are whole"
        )
    whole = np.full(length, np.nan, np.float32)
    for rank in range(size):
        at, values = places(rank, size, total, length, padded), np.asarray(slices[rank])
        if values.shape != at.shape:
            raise ValueError(
                f"has {values.size} values on rank {rank} of the {size} of its context, which "
                f"should hold {len(at)} of {length}: how it is cut is not known"
            )
        whole[at] = values
    return whole
