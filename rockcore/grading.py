r"""Whether a response is right: its last \boxed{...} against the answer that is known."""

from __future__ import annotations

import re


def grade(response: str, answer: str) -> bool:
    r"""True if the last \boxed{...} of the response holds the answer; integers compare as integers,
    the rest as text.
    """
    box = _last_box(response)
    return box is not None and _number_or_text(box) == _number_or_text(answer)


def _last_box(text: str) -> str | None:
    """The content of the last box, its braces balanced; None if there is none or it is never
    closed.
    """
    _, opened, rest = text.rpartition("\\boxed{")
    depth = 1
    for i, char in enumerate(rest if opened else ""):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return rest[:i]
    return None


def _number_or_text(text: str) -> int | str:
    text = text.strip().strip("$").strip()
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
