"""What holds between columns of a row, or between the rows of a file, beyond its key.

Each takes a table and says what is wrong with it, as a sentence goes on behind the name of the
file; nothing where all is right.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def sums_of_bins(types: pa.Table) -> str:
    """Of schema.TYPES: every occurrence whose kl is known is in one bin; where their sum is known,
    all are.
    """
    if not len(types) or "kl_histogram" not in types.column_names:
        return ""
    counts = types["kl_histogram"].combine_chunks().flatten().to_numpy()
    binned, n = counts.reshape(len(types), -1).sum(1, dtype=np.int64), types["n"].to_numpy()
    known = np.zeros(len(types), bool)
    if "kl_sum" in types.column_names:
        known = ~np.isnan(types["kl_sum"].to_numpy())
    wrong = (binned > n) | (known & (binned != n))
    said = f"has {wrong.sum()} of {len(types)} rows whose bins do not add up to n"
    return said if wrong.any() else ""


def of_one_length(gradients: pa.Table) -> str:
    """Of schema.GRADIENTS: the directions have as many numbers each, and all of them are known."""
    rows = gradients["direction"].to_pylist()
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or min(lengths) == 0 or min(lengths) % 2:
        return f"has directions of {', '.join(map(str, sorted(lengths)[:5]))} bytes"
    known = np.isfinite(np.frombuffer(b"".join(rows), "<f2")).all()
    return "" if known else "has directions that hold what is no number"
