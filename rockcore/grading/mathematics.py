r"""Answers compared as mathematics by math-verify, in a process of its own.

What a student writes comes from outside: one \boxed{9^{9^{9^{9}}}} would keep a training busy for
ever, in one operation that no signal interrupts. The process is ended and started anew when an
answer takes too long, and that answer is wrong.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rockcore.grading.boxed import final_answer, known

_VERIFYING = Path(__file__).with_name("verifying.py")
MOST_S = 10.0  # by the clock, for one answer
_START_S = 120.0  # sympy is large, and a machine may be busy
_LONGEST = 2000  # characters of a response without a box that are looked at: its end


class _Verifier:
    """The process, started when it is first needed; one question at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def ask(self, gold: str, text: str) -> tuple[bool, bool]:
        """Whether the text holds the answer `gold`, and whether it holds any."""
        with self._lock:
            process = self._process or self._start()
            return self._answer(process, json.dumps([gold, text]), MOST_S) or (False, True)

    def _start(self) -> subprocess.Popen[str]:
        self._process = process = subprocess.Popen(
            [sys.executable, str(_VERIFYING)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self._answer(process, json.dumps(["1", "\\boxed{1}"]), _START_S)
        return process

    def _answer(
        self, process: subprocess.Popen[str], question: str, patience: float
    ) -> tuple[bool, bool] | None:
        """None where the process ended, or was ended because it took too long."""
        assert process.stdin and process.stdout, "both are pipes"
        timer = threading.Timer(patience, process.kill)
        timer.start()
        try:
            process.stdin.write(question + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if line:
            right, found = json.loads(line)
            return right, found
        self.end()
        return None

    def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


_VERIFIER = _Verifier()
atexit.register(_VERIFIER.end)


def compared(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[bool, bool]]:
    """Of each response and known answer whether they agree, and whether the response holds any
    answer at all.
    """
    for response, answer in pairs:
        final = final_answer(response)
        text = response[-_LONGEST:] if final is None else f"\\boxed{{{final[:_LONGEST]}}}"
        yield _VERIFIER.ask(known(answer), text) if text.strip() else (False, False)
