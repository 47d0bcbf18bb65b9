"""The patterns of a user's file: tried on texts in a process of its own, in bounded time, each once
on each text.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from rockcore.schema import RockError

_MATCHING = Path(__file__).with_name("matching.py")
MOST_S = 15.0  # of CPU, which other processes do not slow, for all patterns on all texts
_PATIENCE_S = 60.0  # by the clock on the wall, should the process not stop by itself
_MOST_TEXTS = 500_000  # more are forgotten, and tried anew


class BadRules(RockError, ValueError):
    """A file of rules that is not what was asked for, or that cannot be applied."""


def shown(value: object) -> str:
    """What a file holds, for a message: escaped, at most 80 characters."""
    try:
        text = ascii(value)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:79]}…"


class Matches:
    """Which patterns of a file match which texts; shared by all who read the same file."""

    def __init__(self, path: str, rules: Sequence[tuple[str, str]]):
        """`rules`: category and pattern of each."""
        self.path, self.rules = path, rules
        self.known: dict[str, tuple[int, ...]] = {}  # text -> the patterns that match all of it
        self._refused: tuple[str, str, str] | None = None  # what went wrong goes wrong again
        self._lock = threading.Lock()

    def learn(self, texts: Iterable[str]) -> None:
        """Try all patterns on the texts that are not known yet.

        Raises BadRules for a pattern that is none, or that takes too long on one of the texts.
        """
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self.known]
            if self._refused is None and (new or not self.known):
                self._try(new)
            if self._refused is not None:
                raise BadRules(*self._refused)

    def _try(self, texts: list[str]) -> None:
        if len(self.known) + len(texts) > _MOST_TEXTS:
            self.known = {}
        patterns = [pattern for _, pattern in self.rules]
        answer = _ask({"patterns": patterns, "texts": texts, "most_s": MOST_S})
        if "found" not in answer:
            self._refused = self._reason(answer, texts)
            return
        found: list[tuple[int, ...]] = [()] * len(texts)
        for number, places in enumerate(answer["found"]):
            for place in places:
                found[place] += (number,)
        self.known.update(zip(texts, found, strict=True))

    def _reason(self, answer: dict[str, Any], texts: list[str]) -> tuple[str, str, str]:
        """The three parts of the error."""
        wrong, number = answer["wrong"], answer.get("pattern", 0)
        if wrong == "ended":
            return (
                f"{self.path}: its {len(self.rules)} patterns ended the process that tried them "
                f"on {len(texts):,} tokens ({answer['about']})",
                "A pattern may take more time or memory than there is",
                "Take its rules out one by one to find which",
            )
        if wrong == "slow together":
            return (
                f"{self.path}: its {len(self.rules)} patterns take more than {MOST_S:g} s on "
                f"{len(texts):,} tokens",
                "Every page would wait for them",
                "Join patterns of one category, or leave some out",
            )
        category, pattern = self.rules[number]
        found = f"{self.path}, rule {number + 1} ({shown(category)[1:-1]}): pattern is "
        if wrong == "no pattern":
            why = f"It is no regular expression of Python's re module: {answer['about'][:200]}"
            return found + shown(pattern), why, "Correct the pattern"
        on = "before any token" if answer["text"] < 0 else f"on {shown(texts[answer['text']])}"
        takes = "half a second of CPU" if wrong == "slow" else "two gigabytes of memory"
        return (
            f"{found}{shown(pattern)}, which takes more than {takes} {on}",
            "Where repetitions can share a text in many ways, as in (a+)+, all of them are tried",
            "Write the pattern so that there is one way only: a+ for (a+)+",
        )


@lru_cache(maxsize=8)
def matches_of(path: str, rules: tuple[tuple[str, str], ...]) -> Matches:
    """What is known of these rules, category and pattern each, of this file."""
    return Matches(path, rules)


class OwnPattern:
    """One pattern of a file, used as a compiled one is."""

    def __init__(self, matches: Matches, number: int):
        self.matches, self.number = matches, number
        self.pattern = matches.rules[number][1]

    def fullmatch(self, text: str) -> bool:
        """Whether it matches the whole text; raises BadRules."""
        while (found := self.matches.known.get(text)) is None:
            self.matches.learn([text])
        return self.number in found


def _ask(question: dict[str, Any]) -> dict[str, Any]:
    # neither the folder that we run in nor the environment decides what that process imports
    command = [sys.executable, "-I", "-S", str(_MATCHING)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(question).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return {"wrong": "ended", "about": f"after {_PATIENCE_S:.0f} s"}
    except OSError as e:
        return {"wrong": "ended", "about": f"it could not be started: {e.strerror}"}
    if done.returncode:
        return {"wrong": "ended", "about": f"exit code {done.returncode}"}
    return json.loads(done.stdout)
