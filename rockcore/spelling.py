"""How a token is written where a person reads it: on one line, whitespace made visible."""

from __future__ import annotations

import unicodedata


def visible(token: str, spaces: bool = False) -> str:
    """A token as one printable line: ␣ for a space (unless `spaces`), ⏎ for a line break, ⇥ for a
    tab, escapes for what has no glyph.
    """
    marks = {" ": " " if spaces else "␣", "\n": "⏎", "\t": "⇥"}
    return "".join(
        marks.get(c) or (c if unicodedata.category(c)[0] not in "CZ" else f"\\u{ord(c):04x}")
        for c in token
    )
