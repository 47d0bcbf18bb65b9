"""Rows parted by token type: all that is said of a type is in one bucket, whoever says it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def bucket_of(token_id: np.ndarray, buckets: int) -> np.ndarray:
    """In which bucket a type belongs: by a hash, so that ids that follow each other part."""
    mixed = token_id.astype(np.uint64) * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
    return ((mixed * np.uint64(buckets)) >> np.uint64(32)).astype(np.int64)


def parted(columns: dict[str, np.ndarray], buckets: int) -> list[tuple[int, pa.Table]]:
    """By bucket, and within it as the rows were."""
    # of so few bits numpy sorts by counting
    bucket = bucket_of(columns["token_id"], buckets).astype(np.uint16)
    order = np.argsort(bucket, kind="stable")
    ends = np.searchsorted(bucket[order], np.arange(buckets + 1))
    return [
        (b, pa.table({name: values[order[i:j]] for name, values in columns.items()}))
        for b, (i, j) in enumerate(zip(ends, ends[1:], strict=False))
    ]
