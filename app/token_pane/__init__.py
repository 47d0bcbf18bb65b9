"""The text heatmap: one rollout as running text, each token coloured by a signal on the run's own scale.

The text is built once; another signal, step or category only changes classes on the spans that are there. Every string
reaches the page through `textContent`, so a log cannot bring markup with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamlit.components.v2 import component

_HERE = Path(__file__).parent
_component = component(
    "rock_token_pane",
    css=(_HERE / "pane.css").read_text(encoding="utf-8"),
    js=(_HERE / "pane.js").read_text(encoding="utf-8"),
)


def show(
    text: dict[str, Any],
    scale: dict[str, Any],
    signal: str,
    categories: list[str],
    lit: list[str],
    caption: str,
    key: str = "token pane",
    card: bool = True,
) -> None:
    """Draw `text` (data.trace) coloured by `signal` on `scale`; tokens of the categories `lit` stand out, others dim.

    `categories` are the names that text["categories"] counts through. `caption` names run, step and estimator. A text may
    bring `marks`, a number a token: 0 nothing, 1 dotted, 2 dashed, 3 solid underline; what they mean is for the page to say.
    `card`: whether there is room beside the text for the values of the token pointed at; otherwise they come below.
    """
    lights = [categories.index(name) for name in lit]
    view = {"scale": scale, "signal": signal, "lit": lights, "caption": caption, "marks": text.get("marks"), "narrow": not card}
    _component(key=key, data={"text": {k: v for k, v in text.items() if k != "marks"}, "view": view, "categories": categories})
