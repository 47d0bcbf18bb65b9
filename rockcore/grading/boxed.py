r"""The answer that a text ends with: its last \boxed{...}, else what follows its last ####."""

from __future__ import annotations

import re

_BOX = "\\boxed{"
_LINE = "####"


def final_answer(text: str) -> str | None:
    r"""What the last \boxed{...} of a text holds; where none is closed, the rest of the line behind
    the last ####, as GSM8K writes it; None where there is neither.
    """
    span = box_span(text)
    if span is not None:
        return text[span[0] + len(_BOX) : span[1] - 1]
    before, mark, behind = text.rpartition(_LINE)
    # a heading of markdown says something before its line ends, and it is no number
    answer = behind.strip().split("\n")[0].strip() if mark and not before.endswith("#") else ""
    return answer or None


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


def same(found: str, answer: str) -> bool:
    """Whether two answers are one: integers compare as integers, the rest as text. A known answer
    may stand in a worked solution.
    """
    return _number_or_text(found) == _number_or_text(known(answer))


def known(answer: str) -> str:
    """The answer itself, where a whole solution is given as one."""
    return final_answer(answer) or answer


def _number_or_text(text: str) -> int | str:
    text = text.strip().strip("$").strip()
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
