"""What a first page is likely to ask of the run that opens first, asked before that page is: a
browser that has just been started takes as long to come as the answers do.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from app.data import rocks, runs, texts
from app.work import ahead

__all__ = ["begin"]


def begin(arguments: Iterable[str]) -> None:
    """Work the answers out, in this thread. A run that cannot be read is told of by its page."""
    with suppress(runs.RockError):
        found = runs.find(runs.places([*arguments]))
        if found:
            ahead(lambda: _ask(found[runs.opened_first(found)]))


def _ask(path: str) -> None:
    run = runs.key(path)
    held = runs.facts(run).held
    if runs.is_large(run):  # its pages begin without what takes long, and perhaps nobody asks
        return
    if held.loss:
        texts.scale(run, held.loss)
        rocks.examined(run, rocks.rule("default"))
