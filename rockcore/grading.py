r"""Whether a response is right: its last \boxed{...} against the answer that is known."""

from __future__ import annotations

import re

_BOX = "\\boxed{"


def grade(response: str, answer: str) -> bool:
    r"""True if the last \boxed{...} of the response holds the answer; integers compare as integers,
    the rest as text.
    """
    box = _last_box(response)
    return box is not None and _number_or_text(box) == _number_or_text(answer)


def box_span(text: str) -> tuple[int, int] | None:
    r"""Where the last \boxed{...} of a text begins and ends, its braces balanced; None if there is
    none or it is never closed.
    """
    begin = text.rfind(_BOX)
    depth = 1
    for i in range(begin + len(_BOX), len(text) if begin >= 0 else 0):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return begin, i + 1
    return None


def _last_box(text: str) -> str | None:
    """The content of the last box."""
    span = box_span(text)
    return None if span is None else text[span[0] + len(_BOX) : span[1] - 1]


def _number_or_text(text: str) -> int | str:
    text = text.strip().strip("$").strip()
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
