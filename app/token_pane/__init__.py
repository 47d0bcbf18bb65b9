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


def show(text: dict[str, Any], scale: dict[str, Any], signal: str, categories: list[str], lit: list[str], caption: str) -> None:
    """Draw `text` (data.trace) coloured by `signal` on `scale`; tokens of the categories `lit` stand out, others dim.

    `categories` are the names that text["categories"] counts through. `caption` names run, step and estimator.
    """
    view = {"scale": scale, "signal": signal, "lit": [categories.index(name) for name in lit], "caption": caption}
    _component(key="token pane", data={"text": text, "view": view, "categories": categories})
