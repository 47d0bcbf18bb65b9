"""How text of a log is written where it may not be taken for anything else: tokens on one line,
lines on a terminal, cells of a spreadsheet, names of files.

A terminal obeys control characters, a spreadsheet reads formulas, and both show text in another
order where it asks for that.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_MARKS = {"\n": "⏎", "\t": "⇥", "\x7f": "␡"} | {
    chr(c): chr(0x2400 + c) for c in range(32) if chr(c) not in "\n\t"
}
_KEPT = "\n\t\u200c\u200d"  # lines and their indent; the joiners of Persian words and of emoji
# = + - @ and their wide forms; a sign alone is no formula, and a token that many texts hold
_FORMULA = tuple("=+-@＝＋－＠")


def visible(token: str, spaces: bool = False) -> str:
    """A token as one printable line: ␣ for a space (unless `spaces`), ⏎ for a line break, ⇥ for a
    tab, ␀ and its like for control characters, escapes for what else has no glyph.
    """
    blank = " " if spaces else "␣"
    return "".join(blank if c == " " else _mark(c) for c in token)


def _mark(c: str) -> str:
    return _MARKS.get(c) or (c if unicodedata.category(c)[0] not in "CZ" else f"\\u{ord(c):04x}")


def printable(text: str) -> str:
    """Text that a terminal or a page shows and does not obey: what controls it, turns its order
    around or is half a character is written as `visible` does; lines and spaces stay.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in _KEPT or unicodedata.category(c) == "Zs" else _mark(c)
        for c in text
    )


LOSSES = {"kl": "KL", "sampled_loss": "sampled loss"}


def loss_name(column: str) -> str:
    """A loss of the log as people call it."""
    return LOSSES.get(column, column)


def percent(share: float) -> str:
    """A share as every page writes it: whole percents, below ten with one decimal. A share above
    zero is never written as none, one below one never as all.
    """
    if not math.isfinite(share):
        return "an unknown share"
    value = 100 * share
    if 0 < value < 0.05:
        return "less than 0.1 %"
    if 99.5 <= value < 100:
        return "more than 99 %"
    return f"{value:.1f} %" if 0 < abs(value) < 9.95 else f"{value:.0f} %"


def is_formula(text: str) -> bool:
    """Whether a spreadsheet that opens a CSV file may take a cell for more than text."""
    bare = text.lstrip()
    return len(bare) > 1 and bare.startswith(_FORMULA)


def as_csv(frame: pd.DataFrame, quoted: Iterable[str] = ()) -> str:
    """A frame as CSV that a terminal and a spreadsheet only show.

    Columns `quoted` hold text as JSON strings, which keep every character. Of other text, control
    characters are written as `printable` does, and what would be a formula begins with an
    apostrophe.
    """
    quoted = set(quoted)
    cells = {
        name: [_quote(v) if name in quoted else _cell(v) for v in frame[name]]
        for name in frame.columns
        if not _is_number(frame[name])
    }
    return frame.assign(**cells).rename(columns=_cell).to_csv(index=False)


def _is_number(column: pd.Series) -> bool:
    return column.dtype.kind in "biuf"


def _quote(text: Any) -> Any:
    """A JSON string; null stays an empty cell."""
    if not isinstance(text, str):
        return text
    shown = json.dumps(text, ensure_ascii=False)  # this leaves some control characters as they are
    return "".join(c if c.isprintable() else _escape(c) for c in shown)


def _escape(c: str) -> str:
    """As JSON writes it; a character beyond the first 65,536 is two."""
    units = c.encode("utf-16-be", errors="surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def as_json(value: Any) -> str:
    """JSON of plain letters, so that no terminal obeys it. Raises ValueError for NaN."""
    return json.dumps(value, allow_nan=False).replace("\x7f", r"\u007f")


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return "'" * is_formula(value) + printable(value)


def file_name(text: str) -> str:
    """Text as a part of a file's name that any system takes: letters, digits, dots and dashes."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in text)[:100]
