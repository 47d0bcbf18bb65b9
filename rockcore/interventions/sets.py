"""The set that an arm weighs by, or a screen knocks out: read from a file, and checked against the
models that train.
"""

from __future__ import annotations

from pathlib import Path

from rockcore.rocks.rockset import BadRockSet, RockSet
from rockcore.schema import RockError


class BadIntervention(RockError, ValueError):
    """A set that these models cannot be trained by, or asked without."""


def load_set(file: Path) -> RockSet:
    """A RockSet, or what `rockcore rocks --json` prints. Raises BadRockSet or BadRule for a file
    that is none, BadIntervention for one without a token.
    """
    try:
        text = file.read_bytes()
    except (OSError, ValueError) as e:
        raise BadRockSet(
            f"{file} cannot be read ({getattr(e, 'strerror', None) or e})",
            "It should hold a rock set as JSON",
            "Give the file that `rockcore rocks RUN --json` prints",
        ) from e
    found = RockSet.from_json(text)
    if not found.ids:
        raise BadIntervention(
            f"{file} holds no token",
            "There is nothing to weigh differently from the baseline, or to knock out",
            "Loosen the rule that found it (--preset lenient)",
        )
    return found


def check_set(file: Path, rocks: RockSet, tokenizer_hash: str, vocab_size: int) -> None:
    """Raises BadIntervention for a set of another tokenizer, or with ids outside the vocabulary."""
    if rocks.tokenizer_hash != tokenizer_hash:
        raise BadIntervention(
            f"{file} was found under tokenizer {rocks.tokenizer_hash[:16]}, these models have "
            f"{tokenizer_hash}",
            "Its ids mean other tokens here",
            "Find the set on a run of these models: rockcore rocks RUN --json",
        )
    beyond = [i for i in rocks.ids if i >= vocab_size]
    if beyond:
        raise BadIntervention(
            f"{file} names token {beyond[0]}, and the models predict over {vocab_size} ids",
            "A position of that token never occurs",
            "Find the set on a run of these models: rockcore rocks RUN --json",
        )
