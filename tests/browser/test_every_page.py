"""Every page of the dashboard, light and dark: it works with the network cut off, for the browser
and for the server, neither tries to reach anything, and nothing on it is what axe-core calls
serious or critical.

axe judges elements and their styles, inside our components too. It does not see what is drawn on a
canvas, nor the colours of highlighted tokens.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import playwright.sync_api as playwright
import pytest
from chrome import APP, PAGES, Tab
from conftest import write_tiny_run
from small_screens import write_screen

HERE = Path(__file__).parents[1]
AXE = (HERE / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
ADDRESSES = [page for page in PAGES if page not in ("overview", "trace")]
ADDRESSES += ["", "trace?source=fresh&token_at=5", "trace?source=final&token_at=5"]
ADDRESSES += ["knockout?run=screened"]
SCHEMES = {
    "light": "rgb(255, 255, 255)",
    "dark": "rgb(23, 22, 20)",
}  # and what Streamlit paints the page in then
# What Streamlit draws and we cannot mend, by the rule it breaks.
NOT_OURS = {
    # color-contrast: the label of a disabled control is faint on purpose (WCAG 1.4.3 exempts it),
    # but not said to belong to it
    "color-contrast": "[data-testid=stSelectbox]:has(:disabled) [data-testid=stWidgetLabel]",
    # list, listitem: the headings of the menu's sections stand between its items
    "list": "[data-testid=stSidebarNavItems]",
}
JUDGE = """async (exclude) =>
    (await axe.run({ exclude }, { resultTypes: ['violations'] })).violations
    .filter(rule => ['serious', 'critical'].includes(rule.impact))
    .flatMap(rule => rule.nodes.map(node =>
        `${rule.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`))"""


@pytest.fixture(scope="module", autouse=True)
def screened(served: Path) -> Path:
    """A run with a screen, beside those without."""
    run = write_tiny_run(served / "screened")
    write_screen(run, {i: -0.4 if i == 7 else 0.0 for i in range(7, 14)})
    return run


def violations(page: playwright.Page) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    return page.evaluate(JUDGE, [[selector] for selector in NOT_OURS.values()])


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_works_offline_and_has_no_serious_violation_on_a_light_and_on_a_dark_screen(
    tab: Tab, refused: Path, address: str
) -> None:
    tab.open(f"/{address}")
    for scheme, background in SCHEMES.items():
        tab.page.emulate_media(color_scheme=scheme)
        playwright.expect(tab.page.get_by_test_id("stApp")).to_have_css(
            "background-color", background
        )
        tab.rest()
        # what is judged is the page in its style, which stands in its first lines
        caption = tab.page.get_by_test_id("stCaptionContainer").first
        playwright.expect(caption).to_have_css("opacity", "0.8")
        if "token_at" in address:
            playwright.expect(tab.page.locator(".reading .where")).to_contain_text("position 5 of")
        found = violations(tab.page)
        assert not found, "\n".join([scheme, *found])
    playwright.expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
    assert tab.page.get_by_test_id("stException").count() == 0
    assert not refused.exists(), refused.read_text()


def test_every_page_of_the_menu_is_judged(tab: Tab) -> None:
    tab.open("/")
    playwright.expect(tab.page.get_by_test_id("stSidebarNavLink")).to_have_count(len(PAGES))
    assert len(PAGES) == len(list((APP / "views").glob("*/page.py")))


def test_what_is_wrong_inside_a_component_is_found(tab: Tab) -> None:
    tab.open("/trace")
    tab.page.locator(".pane .tools").evaluate("bar => bar.append(document.createElement('button'))")
    assert any(line.startswith("button-name: <button></button>") for line in violations(tab.page))


def test_a_server_that_asks_for_another_machine_is_found_out(refused: Path) -> None:
    ask = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    offline = os.environ | {"PYTHONPATH": str(refused.parent)}
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, env=offline)
    assert "The network is cut off." in done.stderr and "192.0.2.1" in refused.read_text()
    refused.unlink()
