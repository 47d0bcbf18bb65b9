"""What the first page will ask of the run that opens, asked while the browser still loads its
files: whoever asks it meanwhile waits for the same answer.
"""

from __future__ import annotations

from contextlib import suppress

from app import work
from app.data import runs, texts
from rockcore.schema import RockError, Texts


def begin(arguments: list[str]) -> None:
    """Begin with it, beside all else. `arguments`: what the command line names."""
    work.ahead((begin, *arguments), lambda: ask(arguments))


def ask(arguments: list[str]) -> None:
    """How the session went, and the colours of a text. What cannot be read the page will say."""
    found = runs.find(runs.places(arguments))
    if not found:
        return
    with suppress(RockError):
        run = runs.key(found[runs.opened_first(found)])
        offered = runs.offered_signals(run, list(texts.SIGNALS))
        if not (logged := runs.logged_texts(run)) or not offered:
            return
        texts.scale(run, runs.usual_signal(run, offered, Texts(logged[-1])))
        texts.mark(run)
