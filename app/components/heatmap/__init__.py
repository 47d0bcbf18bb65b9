"""A heatmap of up to a million cells on a canvas, for hand and keyboard.

The cells travel as one typed array; drawing, reading out and boxes happen in the browser, and
Python hears of a box that is finished. Where a pixel covers several cells it shows their mean, and
the caption says so. Every string reaches the page through `textContent`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamlit.components.v2 import component

from app.components import colours, script, style
from app.components.heatmap.drawing import NO_VALUE, NOT_LOGGED, Heatmap, number
from app.components.packing import message

__all__ = ["MOST_CELLS", "NOT_LOGGED", "NO_VALUE", "Heatmap", "TooLarge", "number", "show"]

MOST_CELLS = 1_000_000
_HERE = Path(__file__).parent
_component = component(
    "rock_heatmap",
    css=style(_HERE / "heatmap.css", {"neutral": colours.NEUTRAL}, ".heatmap"),
    js=script(
        *("base", "message", "unpacking"),
        *(_HERE / f"{part}.js" for part in ("places", "cells", "play", "hand", "heatmap")),
    ),
)


class TooLarge(ValueError):
    """More cells than the browser should be given."""


def show(
    key: str,
    chart: Heatmap,
    selectable: bool = True,
    on_cursor: Callable[[], None] | None = None,
) -> tuple[int, int] | None:
    """Draw `chart`; in the run after a box over its rows is finished, the first and last row of the
    log that the box covers, else None.

    The cursor plays through the steps in the browser alone. In the run that `on_cursor` begins, the
    session state holds under [key]["cursor"] where a person has left it: {"step": step}.

    Raises TooLarge for more than a million cells: bin them first.
    """
    cells, per = chart.surface.cells, chart.surface.per
    if cells > MOST_CELLS:
        raise TooLarge(
            f"{cells:,} cells: the browser is given at most {MOST_CELLS:,}. Bin the rows first."
        )
    answer = _component(
        key=key,
        data=message(chart.sent(selectable=selectable, movable=on_cursor is not None)),
        on_box_change=lambda: None,
        on_cursor_change=on_cursor or (lambda: None),
    )
    box = answer.get("box")
    return None if box is None else (int(box["low"]) * per, (int(box["high"]) + 1) * per - 1)
