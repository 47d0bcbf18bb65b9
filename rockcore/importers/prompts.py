"""Prompts of exports that have their tokens: as the student read them, templates and all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rockcore.importers.format import Options
from rockcore.importers.vocabulary import Tokenizer

Spell = Callable[[np.ndarray | None], "str | None"]


def speller(options: Options) -> Spell:
    """What turns the ids of a prompt into its text; without a tokenizer it answers None.

    Raises BadExport for a tokenizer that cannot be read.
    """
    if options.tokenizer is None:
        return lambda ids: None
    tokenizer = Tokenizer(options.tokenizer)
    return lambda ids: tokenizer.decode(ids) if ids is not None and len(ids) else None
