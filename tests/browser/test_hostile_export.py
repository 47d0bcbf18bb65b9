"""What leaves a page as a file, from a run whose prompt, tokens and categories hold control
characters and formulas.
"""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import conftest
import playwright.sync_api as playwright
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chrome import Tab

CONTROLS = "\x00\x0b\x1b[2J\x7f\x9b\u202e\ufffe\u2028"
SHOWN = "␀␋␛[2J␡\\u009b\\u202e\\ufffe\\u2028"
LONG = "\n" * 100_000 + "a"
TOKENS = {"=1+1": "=1+1x", "**bold**": CONTROLS}  # in the place of others of the tiny run
RULES = "[[rule]]\ncategory = '=2+2'\npattern = '.*[a-z].*'\n"


@pytest.fixture(scope="session", autouse=True)
def hostile(served: Path) -> Path:
    run = conftest.write_tiny_run(served / "hostile", seed=3)
    (run / "categories.toml").write_text(RULES, encoding="utf-8")
    replace(run / "vocab.parquet", "token", lambda token: TOKENS.get(token, token))
    for name in ("prompt", "teacher_prompt"):
        replace(run / "probe" / "final" / "rollouts.parquet", name, lambda _: CONTROLS + "a\n\tb")
    long = conftest.write_tiny_run(served / "endless", seed=3)
    replace(long / "vocab.parquet", "token", lambda token: LONG if token == ":red[x]" else token)
    return run


def replace(file: Path, name: str, change) -> None:
    """Change the texts of one column in place."""
    table = pq.read_table(file)
    at = table.column_names.index(name)
    field = table.schema.field(at)
    texts = [change(text) for text in table[name].to_pylist()]
    column = pa.array(texts, field.type)
    pq.write_table(table.set_column(at, field, column), file)


def saved(tab: Tab, act) -> bytes:
    with tab.page.expect_download() as download:
        act()
    return Path(download.value.path()).read_bytes()


def open_trace(tab: Tab, run: str = "hostile") -> None:
    tab.open(f"/trace?run={run}&source=final&step=20")
    playwright.expect(tab.page.locator(".response .t").first).to_be_visible()
    tab.settle()


def test_control_characters_are_exported_as_their_symbols_in_whole_files(tab: Tab) -> None:
    open_trace(tab)
    assert SHOWN in tab.tokens()
    playwright.expect(tab.page.locator(".prompt").first).to_contain_text(SHOWN + "a")
    svg = saved(tab, tab.page.locator(".export.svg").click).decode()
    words = "".join(ElementTree.fromstring(svg).itertext())
    assert words.count(SHOWN) >= 2 and SHOWN + "a\n\tb" in words
    html = saved(tab, tab.page.locator(".export.html").click).decode()
    assert html.count(SHOWN) >= 2 and not any(c in html for c in CONTROLS if not c.isprintable())
    assert saved(tab, tab.page.locator(".export.png").click)[:8] == b"\x89PNG\r\n\x1a\n"


def test_of_a_token_of_a_hundred_thousand_line_breaks_the_first_are_drawn(tab: Tab) -> None:
    open_trace(tab, "endless")
    long = [token for token in tab.tokens() if len(token) > 1_000]
    assert long and {*long} == {"\n" * 10_000 + "… and 90,001 characters more"}


def test_a_table_offers_no_formula_as_csv(tab: Tab) -> None:
    # without a dialog for a place, which no test can answer
    tab.page.add_init_script("delete window.showSaveFilePicker")
    tab.open("/rock_tokens?run=hostile")
    table = tab.page.get_by_test_id("stDataFrame").first
    playwright.expect(table.locator("canvas").first).to_be_visible()
    tab.settle()
    table.hover()
    offered = saved(tab, tab.page.get_by_label("Download as CSV").first.click).decode("utf-8-sig")
    cells = [cell for row in csv.reader(offered.splitlines()) for cell in row]
    assert "\u2060=1+1x" in cells and "\u2060=2+2" in cells
    texts = [c for c in cells if not c.lstrip("-").replace(".", "").isdigit()]
    assert not [c for c in texts if len(c) > 1 and c.lstrip()[0] in "=+-@" and "e-" not in c]
