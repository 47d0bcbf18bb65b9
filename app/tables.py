"""Tables of the pages. Streamlit offers each of them as a CSV file, which it makes in the browser
from the cells as they are, and lets cells be copied: what a spreadsheet would take for a formula
there begins with a character that is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import cards
from rockcore.spelling import is_formula, printable

if TYPE_CHECKING:
    import pandas as pd

UNSEEN = "\u2060"  # a word joiner; an apostrophe would stand before every "-1" of a text


def show(rows: pd.DataFrame | list[dict[str, Any]], **options: Any) -> Any:
    """`st.dataframe`, of cells that are only text; headings that the glossary has open its card."""
    if config := options.get("column_config"):
        options["column_config"] = cards.on_columns(config)
    if isinstance(rows, list):
        return st.dataframe(
            [dict(zip(r, _texts(r.values()), strict=True)) for r in rows], **options
        )
    cells = {
        name: _texts(rows[name].tolist()) for name in rows if rows[name].dtype.kind not in "biufM"
    }
    return st.dataframe(rows.assign(**cells), **options)


def _texts(values: Iterable[Any]) -> list[Any]:
    return [_text(value) if isinstance(value, str) else value for value in values]


def _text(value: str) -> str:
    text = printable(value)
    return UNSEEN + text if is_formula(text) else text


def picked_row(event: Any) -> int | None:
    """The row of a table that was picked, by its box or by any of its cells; None without one."""
    if not event:
        return None
    rows = [*event.selection.rows, *(row for row, _ in event.selection.cells)]
    return int(rows[-1]) if rows else None
