"""Copies the link of the page, by a button or by Alt+L; where the browser gives no clipboard, as
over http from another machine, the link stands there selected.
"""

from __future__ import annotations

from pathlib import Path

from streamlit.components.v2 import component

from app.components import script

_HERE = Path(__file__).parent
_component = component(
    "rock_page_tools",
    css=(_HERE / "tools.css").read_text(encoding="utf-8"),
    js=script("base", _HERE / "tools.js"),
)


def show() -> None:
    """Draw the button."""
    _component(key="page tools", data={}, width="content")
