"""The letters that say which axes an array has: `kl_BT` is a number for each rollout and position.

A letter stands in a name where several arrays meet, and in the shapes of docstrings. One that is
not here is used nowhere.
"""

from __future__ import annotations

AXES = {
    "A": "sides of a comparison",
    "B": "rollouts",
    "C": "categories, or cells that occurrences are counted in",
    "D": "features, or draws of a bootstrap",
    "F": "folds of rollouts",
    "I": "problems of a screen",
    "J": "candidates of a screen",
    "K": "types of a set",
    "L": "offsets of a context",
    "M": "persistent occurrences",
    "N": "occurrences",
    "P": "positions on their way, or parts of the rollouts",
    "R": "rows: of gradients, or of a table",
    "S": "steps",
    "T": "positions of a text; of gradients the token types",
    "U": "different rows",
    "V": "the vocabulary, or the token types of a corpus",
}
