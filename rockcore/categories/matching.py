"""Which of some patterns match which of some texts. A process of its own: `re` holds the
interpreter's lock, so a pattern that hangs would hold all threads of a server.

Reads {"patterns": [...], "texts": [...], "most_s": seconds of CPU} as JSON from standard input, and
writes {"found": for each pattern the places of the texts that it matches as a whole}, or
{"wrong": why not, "pattern": k, "text": i, or -1 where the pattern itself is at fault, "about":
what Python says}. It imports nothing of ours, and stops by itself when one match, or all of them,
take too long.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from contextlib import suppress
from typing import Any

HALF_S = 0.5  # a match that is still going on at two ticks in a row is given up
MOST_BYTES = 2**31

_at = [0, -1]  # the pattern and the text that are being tried; no text: it is being compiled


class _TooMuch(Exception):
    """All patterns together take too long."""


def _watch(most_s: float) -> None:
    """Interrupt what takes too long; where there are no such signals, the parent ends us."""
    if not hasattr(signal, "setitimer"):
        return
    last: list[int] = []

    def tick(*_: object) -> None:
        if time.process_time() > most_s:
            raise _TooMuch
        if _at == last:
            raise TimeoutError
        last[:] = _at

    signal.signal(signal.SIGPROF, tick)
    signal.setitimer(signal.ITIMER_PROF, HALF_S, HALF_S)


def _bound_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # no such bound on this system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))


def _match(patterns: list[str], texts: list[str]) -> list[list[int]]:
    found = []
    for _at[0], pattern in enumerate(patterns):
        _at[1] = -1
        fits = re.compile(pattern).fullmatch
        matched = []
        for _at[1], text in enumerate(texts):
            if fits(text):
                matched.append(_at[1])
        found.append(matched)
    return found


def _answer(patterns: list[str], texts: list[str]) -> dict[str, Any]:
    about = ""
    try:
        return {"found": _match(patterns, texts)}
    except (re.error, OverflowError, RecursionError, ValueError) as e:
        wrong, about = "no pattern", str(e)
    except TimeoutError:
        wrong = "slow"
    except MemoryError:
        wrong = "large"
    except _TooMuch:
        wrong = "slow together"
    return {"wrong": wrong, "pattern": _at[0], "text": _at[1], "about": about}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    _bound_memory()
    _watch(asked["most_s"])
    json.dump(_answer(asked["patterns"], asked["texts"]), sys.stdout)
