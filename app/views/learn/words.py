"""How Learn writes: prose in the colours of the charts, and sentences made from a run's numbers."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING

from app import data, words
from app.components.colours import (
    CLEAR,
    KL,
    ROCK,
    STUDENT,
    TEACHER,
    TEXT,
    ink,
    legible,
    palette,
    themed,
)

if TYPE_CHECKING:
    import pandas as pd

COLOURS = {
    mark: themed(legible(colour))
    for mark, colour in {"S": STUDENT, "T": TEACHER, "K": KL, "R": ROCK}.items()
}
_MARKED = re.compile(r"\[([STKR]):([^\]]*)\]")
_EMPHASIS = re.compile(r"\*([^*]+)\*")
# the student's distribution, the teacher's, and what parts them, in the colours of the prose
EQUATION = "[K:KL] = Σ over all tokens u of  [S:p(u)] · ( log [S:p(u)] − log [T:q(u)] )"


def coloured(text: str) -> str:
    """Our own prose as HTML: [S:student] in the colour of the student and so on, *emphasis*. What
    comes from a log goes through `told` instead.
    """
    text = html.escape(text, quote=False)
    text = _MARKED.sub(lambda m: f'<b style="color:{COLOURS[m[1]]}">{m[2]}</b>', text)
    return _EMPHASIS.sub(r"<i>\1</i>", text)


def plain(text: str) -> str:
    """The same without colours and emphasis."""
    return _EMPHASIS.sub(r"\1", _MARKED.sub(r"\2", text))


def token_strip(near: Iterable[tuple[str, float, bool]], edges: list[float]) -> str:
    """A piece of text as HTML, each token on the colour of its kl, and the one it is about framed.
    Token text is escaped.
    """
    bins = palette(len(edges) + 1)
    parts = []
    for token, kl, here in near:
        pair = bins[bisect_right(edges, kl) if kl == kl else 0]
        style = "" if pair == CLEAR else f"background:{themed(pair)};color:{themed(ink(pair))};"
        style += f"outline:2px solid {themed(TEXT)};" if here else ""
        shown = html.escape(words.visible(token, spaces=True))
        parts.append(f'<span style="{style}padding:1px 2px" title="KL {kl:.3f}">{shown}</span>')
    look = "line-height:2;font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere"
    return f'<div style="{look}">{"".join(parts)}</div>'


def change(share: float) -> str:
    """A relative change: −19 %, +4 %."""
    return f"{100 * share:+.0f} %".replace("-", "−")


def times(n: int, one: str) -> str:
    """1 token, 2 tokens."""
    return f"{n:,} {one}{'' if n == 1 else 's'}"


def with_error(found: data.lessons.MeanOfTokens) -> str:
    """A mean with its 95 % interval over rollouts, where there is one."""
    if found.stderr is None:
        return f"{found.mean:.3f} nats"
    return f"{found.mean:.3f} ± {1.96 * found.stderr:.3f} nats"


_NAMED = 8  # types of a set in one line


def named_set(report: data.rocks.RockReport) -> str:
    """The types of a set by name, or why there is none."""
    if report.no_set:
        return report.no_set
    shown = [words.visible(str(t)) for t in report.tokens.token[report.tokens.in_set]]
    rest = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return f"In the set: {', '.join(shown[:_NAMED])}{rest}."


def scenario(report: data.rocks.RockReport) -> list[str]:
    """A run's set, how stable it is and how it moved, a sentence each."""
    if report.no_set:
        return (
            ["No Rock Tokens: no set of types is stable."]
            if report.unstable
            else ["No Rock Tokens."]
        )
    j = report.stability
    lines = [
        named_set(report),
        f"Halves of the texts agree on {words.percent(j.value)} (95 % of splits: "
        f"{words.percent(j.low)} to {words.percent(j.high)}).",
    ]
    moved = [row for row in report.groups.to_dict("records") if row["group"] == "Rock Tokens"]
    if moved and moved[0]["crossed"] == moved[0]["crossed"]:
        row = moved[0]
        lines.append(
            f"Its KL over training: {change(row['crossed'])} ({change(row['low'])} to "
            f"{change(row['high'])})."
        )
    return lines


def frozen(tests: pd.DataFrame, name: str) -> str:
    """What not training on the rocks did, against the baseline of a comparison; empty where it has
    no such arm.
    """
    rows = [row for row in tests.to_dict("records") if row["arm"] == "rock-freeze"]
    told = [f"{r['measure']} {r['difference']} ({r['interval']})" for r in rows]
    p = [row["p_holm"] for row in rows if row["p_holm"] == row["p_holm"]]
    least = f"; least p {min(p):.2g}, corrected" if p else ""
    return f"{name}, against training on all: {'; '.join(told)}{least}." if told else ""
