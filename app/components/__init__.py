"""What Streamlit has no widget for: each draws in the browser and is told what to draw.

A component's script is `base.js`, which all of them share, and its own files, joined into one. Its
colours come from `colours.py`: as data, or as custom properties in front of its style sheet.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).parent


def script(*parts: str | Path) -> str:
    """The parts as one script, in this order: a name is that of a script all share ("base"), a path
    is a component's own file.
    """
    files = (_HERE / f"{part}.js" if isinstance(part, str) else part for part in parts)
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def style(file: Path, colours: Mapping[str, str], selector: str) -> str:
    """A style sheet that finds `colours` (name -> CSS colour) below `selector`, as var(--name)."""
    given = " ".join(f"--{name}: {colour};" for name, colour in colours.items())
    return f"{selector} {{ {given} }}\n{file.read_text(encoding='utf-8')}"
