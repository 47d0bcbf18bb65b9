"""Pages on a run whose text is made to do more than be read."""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd
import pytest
from chrome import PAGES
from conftest import write_tiny_run
from pages import words

import app as dashboard
from app import charts, tables
from app.data import children

HANGING = "[[rule]]\ncategory = 'x'\npattern = '(.|[a-z])+9'\n"


def test_a_hanging_pattern_is_named_on_the_pages_that_need_it_and_no_other_run_waits(
    open_app, tmp_path: Path
) -> None:
    bad, good = write_tiny_run(tmp_path / "a" / "bad"), write_tiny_run(tmp_path / "b" / "good")
    (bad / "categories.toml").write_text(HANGING, encoding="utf-8")
    for page in ("rock_tokens", "trace"):
        told = words(open_app(page, bad))
        assert "rule 1 (x): pattern is '(.|[a-z])+9'" in told, page
        assert "half a second" in told and "Traceback" not in told
    assert "half a second" not in words(open_app("steps", bad))  # it needs no categories here
    assert "half a second" not in words(open_app("rock_tokens", bad, good, run="good"))


@pytest.mark.parametrize("page", [p for p in PAGES if p not in ("session", "live")])
def test_every_page_stands_with_a_file_of_rules_that_is_none(open_app, tmp_path, page) -> None:
    run = write_tiny_run(tmp_path / "a" / "bad")
    (run / "categories.toml").write_text("x = " + "[" * 10_000, encoding="utf-8")
    assert not open_app(page, run).exception


def test_no_cell_of_a_table_is_a_formula_and_numbers_stay(open_app, run_path: Path) -> None:
    (run_path / "categories.toml").write_text(
        "[[rule]]\ncategory = '=1+1'\npattern = '.*[a-z].*'\n", encoding="utf-8"
    )
    app = open_app("rock_tokens", run_path)
    found = [f.value for f in app.dataframe]
    cells = [c for f in found for name in f for c in f[name] if isinstance(c, str)]
    assert tables.UNSEEN + "=1+1" in cells
    assert not [c for c in cells if len(c) > 1 and c.lstrip()[:1] in "=+-@"]
    assert any(f[name].dtype.kind == "f" for f in found for name in f)


def test_every_table_goes_through_the_same_door() -> None:
    folder = Path(dashboard.__file__).parent
    drawn = {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("dataframe", "table", "data_editor")
        if isinstance(node.value, ast.Name) and node.value.id == "st"
    }
    assert drawn == {"tables.py"}


def test_the_heading_and_the_labels_of_a_chart_hold_no_control_character() -> None:
    metrics = pd.DataFrame(
        {
            "step": [0],
            "mean": [1.0],
            "low": [0.5],
            "high": [2.0],
            "interval": [""],
            "tokens": [1],
        }
    )
    drawn = charts.loss_curve(metrics, "kl", "a\x0b\x1b[2J\u202e<b>", "kl\x00").layout.title
    assert (drawn.text + drawn.subtitle.text).isprintable()
    assert "␋␛[2J" in drawn.text + drawn.subtitle.text
    assert charts.label("\x0b\x1b<b>") == "␋␛&lt;b&gt;"


def test_what_a_training_printed_is_shown_without_its_control_characters(tmp_path: Path) -> None:
    (tmp_path / children.OUTPUT).write_bytes(b"\x1b]0;T\x07loss\n\xe2\x80\xaeend\n")
    assert children.output(tmp_path) == "␛]0;T␇loss\n\\u202eend"
