"""The components' own files: what they share is written once, and a colour only in colours.py."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import app.components
from app.components import script, style

ROOMS = Path(app.components.__file__).parent
HEX = re.compile(r"#[0-9a-fA-F]{3,8}\b")
THEME = {"#000000", "#ffffff"}  # what tells a script which theme is on; of no value, of no thing


def hex_colours(texts: dict[str, str]) -> dict[str, set[str]]:
    """The colours that each text writes out itself, by its name; of the theme's two, none."""
    found = {name: set(HEX.findall(text)) - THEME for name, text in texts.items()}
    return {name: colours for name, colours in found.items() if colours}


def sources(*patterns: str) -> dict[str, str]:
    files = [file for pattern in patterns for file in ROOMS.parent.rglob(pattern)]
    return {str(f.relative_to(ROOMS.parent)): f.read_text(encoding="utf-8") for f in files}


def test_scripts_style_sheets_and_charts_know_no_colour_of_their_own() -> None:
    texts = sources("*.js", "*.css", "*.py")
    own = texts.pop("components/colours.py")
    assert HEX.search(own) and len(texts) > 30
    assert hex_colours(texts) == {}


@pytest.mark.parametrize("written", ["fill: #e08214;", 'const GREY = "#8c8c8c";', "color: #fff"])
def test_a_colour_written_a_second_time_is_found(written: str) -> None:
    assert hex_colours({"x.js": f"a #000000 b {written}"})


def functions(source: str) -> list[str]:
    return re.findall(r"^(?:async )?(?:function|class) (\w+)", source, re.MULTILINE)


def test_no_script_defines_again_what_the_base_has() -> None:
    texts = sources("*.js")
    base = set(functions(texts.pop("components/base.js")))
    assert base
    for name, text in texts.items():
        assert base.isdisjoint(functions(text)), name


@pytest.mark.parametrize("room", ["token_pane", "pane_pair", "loss_histogram", "heatmap"])
def test_the_files_of_a_room_define_each_function_once(room: str) -> None:
    names = Counter(n for f in (ROOMS / room).glob("*.js") for n in functions(f.read_text("utf-8")))
    assert names and max(names.values()) == 1


def test_a_script_is_its_parts_in_order_and_a_style_sheet_has_its_colours(tmp_path: Path) -> None:
    (tmp_path / "x.js").write_text("own();")
    (tmp_path / "x.css").write_text("p { color: var(--ink); }")
    joined = script("base", tmp_path / "x.js")
    assert joined == (ROOMS / "base.js").read_text("utf-8") + "\nown();"
    assert style(tmp_path / "x.css", {"ink": "red"}, ".y") == (
        ".y { --ink: red; }\np { color: var(--ink); }"
    )
