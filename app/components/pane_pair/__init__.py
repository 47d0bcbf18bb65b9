"""What makes two text panes one comparison: the token pointed at in one is framed in the other, and
one line gives both values.

It draws no text of its own but that line, works in the browser alone, and holds for one pane too:
then the line says what the other side has. Every string reaches the page through `textContent`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from streamlit.components.v2 import component

from app.components import script

_HERE = Path(__file__).parent
_component = component(
    "rock_pane_pair",
    css=(_HERE / "pair.css").read_text(encoding="utf-8"),
    js=script("base", _HERE / "pair.js"),
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
    plain = [
        [None if math.isnan(v) else float(f"{v:.4g}") for v in side.tolist()] for side in values
    ]
    _component(
        key=key,
        data={
            "panes": panes,
            "blocks": [list(b) for b in blocks],
            "A": plain[0],
            "B": plain[1],
            "signal": signal,
            "unit": unit,
        },
    )
