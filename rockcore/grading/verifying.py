r"""Compares answers by math-verify. A process of its own: see `mathematics.py`.

Reads [known answer, text] as JSON, a line each, and writes [whether the text holds that answer,
whether it holds any]. It imports nothing of ours.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from contextlib import suppress

from math_verify import parse, verify  # pyright: ignore[reportMissingImports]

_MOST_BYTES = 2**32


def _bound_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # no such bound on this system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))


def _compare(gold: str, text: str) -> tuple[bool, bool]:
    try:  # our parent ends us where it takes too long
        known = parse(f"\\boxed{{{gold}}}", parsing_timeout=0)
        found = parse(text, parsing_timeout=0)
        return bool(verify(known, found, timeout_seconds=0)), bool(found)
    except (ArithmeticError, ValueError, TypeError, AttributeError, LookupError, RuntimeError):
        return False, True
    except MemoryError:
        return False, True


if __name__ == "__main__":
    logging.disable()
    _bound_memory()
    for line in sys.stdin:
        if hasattr(signal, "alarm"):
            signal.alarm(60)  # ends us, should our parent be gone
        print(json.dumps(_compare(*json.loads(line))), flush=True)
