"""How gradients over a large vocabulary are kept small, and what that costs in accuracy: the
numbers both sides agree on.
"""

from __future__ import annotations

from math import sqrt

# blocks of a projection: with one, two dominating entries that fall together would turn a cosine
# from 0 to 1
HASHES = 4
SMALL = 0.02  # entries below this share of their vector's root mean square are logged as 0


def sketch_width(vocab_size: int, rows: int, budget: int) -> int:
    """Numbers a vector takes so that `rows` of them in float32 fit `budget` bytes: the vocabulary
    if it fits, else a multiple of HASHES.
    """
    most = budget // (4 * max(1, rows))
    return vocab_size if most >= vocab_size else max(HASHES, most // HASHES * HASHES)


def cosine_error(width: int, vocab_size: int) -> float:
    """Standard deviation of the cosine of two projected vectors that are at a right angle; smaller
    for any other angle.

    0 for vectors that are kept in full. Two entries fall into one bucket of a block with
    probability (m - 1) / (m b - 1), for b = width / HASHES buckets of m = ceil(vocab_size / b)
    entries each, and the error of a product is the mean of HASHES independent ones: sqrt((m - 1) /
    (m b - 1) / HASHES), about 1 / sqrt(width). It does not depend on how the entries are spread; if
    a few dominate, the errors are rare and large, and HASHES bounds each to 1 / HASHES.
    """
    if width >= vocab_size:
        return 0.0
    buckets = width // HASHES
    each = -(-vocab_size // buckets)
    return sqrt((each - 1) / (each * buckets - 1) / HASHES)
