"""What makes a search box a palette: it has the focus at once, Enter follows the first link below
it, the arrow keys walk through them. Streamlit's own widgets draw it all, and can do none of this.
"""

from __future__ import annotations

from pathlib import Path

from streamlit.components.v2 import component

_HERE = Path(__file__).parent
_component = component("rock_finder", js=(_HERE / "finder.js").read_text(encoding="utf-8"))


def show(key: str, sought: str) -> None:
    """Below the box and its links, in the same dialog. `sought`: what the links were found for; an
    Enter that comes before its links waits for them.
    """
    _component(key=key, data={"sought": sought}, height=0)
