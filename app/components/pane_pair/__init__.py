"""What makes two text panes one comparison: the token pointed at in one is framed in the other, and
one line gives both values.

It draws no text of its own but that line, works in the browser alone, and holds for one pane too:
then the line says what the other side has. Every string reaches the page through `textContent`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from streamlit.components.v2 import component

from app.components import script
from app.components.packing import Array, message, pack

_HERE = Path(__file__).parent
_component = component(
    "rock_pane_pair",
    css=(_HERE / "pair.css").read_text(encoding="utf-8"),
    js=script("base", "message", "unpacking", _HERE / "pair.js"),
)

_NONE = np.empty(0)


def show(
    key: str,
    panes: dict[str, str],
    blocks: list[tuple[int, int, int]],
    values: tuple[np.ndarray, np.ndarray] = (_NONE, _NONE),
    signal: str = "",
    unit: str = "",
) -> None:
    """Tie the panes {"A": pane key, "B": pane key}, or one of them, together.

    `blocks`: runs of aligned neighbours as (first in A, first in B, how many); `values`: of
    `signal`, (T_A,) and (T_B,), NaN where there is none. Without a signal the line gives the
    positions alone.
    """
    said = {"panes": panes, "blocks": blocks, "signal": signal, "unit": unit}
    sides = zip("AB", values, strict=True)
    body = pack(said, {(side,): Array(values_T, "float") for side, values_T in sides})
    _component(key=key, data=message(body))
