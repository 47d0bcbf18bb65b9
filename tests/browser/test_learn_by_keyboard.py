"""Learn with a keyboard alone, in a real browser."""

from __future__ import annotations

import re

import pytest
from chrome import Tab

playwright = pytest.importorskip("playwright.sync_api")

FOCUSED = """() => {
  const at = document.activeElement
  if (!at.matches("a, button, input")) return ""
  return at.innerText || at.closest("label")?.innerText || at.getAttribute("aria-label") || ""
}"""


def walk_to(tab: Tab, name: str) -> None:
    """Press Tab until something of this name has the focus."""
    tab.rest()
    for _ in range(60):
        if re.search(name, tab.page.evaluate(FOCUSED)):
            return
        tab.page.keyboard.press("Tab")
    raise AssertionError(f"no Tab leads to {name}")


def test_a_step_is_answered_done_and_left_by_keys(tab: Tab) -> None:
    tab.open("/learn?run=habit&lesson=picture")

    def press(key: str) -> None:
        tab.rest()  # a key is heard once its button stands
        tab.page.keyboard.press(key)

    tab.press("ArrowRight", "Next")
    tab.wait_for_url(lesson="sample")
    walk_to(tab, "No, a distance")
    press("Space")
    tab.wait_for_url(guess_sample="no")
    press("ArrowDown")
    tab.wait_for_url(guess_sample="yes", lesson="sample")
    playwright.expect(tab.page.get_by_text("Right.")).to_be_visible()
    walk_to(tab, "Draw 100 again")
    press("Enter")
    tab.wait_for_url(draw="1")
    press("d")
    tab.wait_for_url(draw="2")
    playwright.expect(tab.page.get_by_text("Done.")).to_be_visible()
    tab.press("ArrowRight", "Next")
    tab.wait_for_url(lesson="training")
    walk_to(tab, "It falls below a tenth")
    press("Space")
    tab.wait_for_url(guess_training="gone")
    walk_to(tab, "Go there")
    press("Enter")
    tab.page.wait_for_url(re.compile("/trace.*lesson=training"))
    tab.settle()
    token = tab.page.locator(".response .t").nth(3)
    playwright.expect(token).to_be_visible()
    token.focus()  # a skip link leads there
    press("]")
    playwright.expect(tab.page.get_by_text("Done: The same token over training")).to_be_visible()
    walk_to(tab, "Next step")
    press("Enter")
    tab.page.wait_for_url(re.compile("/learn.*lesson=gates"))
