"""Formula cards in a browser that reaches nothing: the equations are drawn."""

from __future__ import annotations

from pathlib import Path

import playwright.sync_api as playwright
from chrome import Tab

from app.cards import KEY, TITLE
from app.page_words import WORDS
from rockcore.glossary import TERMS


def test_the_equations_of_a_page_are_drawn_with_the_network_cut_off(tab: Tab, refused: Path):
    tab.open("/rock_tokens")
    tab.press(KEY, "Words")
    shown = tab.page.get_by_role("dialog", name=TITLE)
    lines = sum(
        len(TERMS[key].equation.split(r"\qquad"))
        for key in WORDS["rock_tokens"]
        if TERMS[key].equation
    )
    playwright.expect(shown.locator(".katex-display")).to_have_count(lines)
    field = shown.get_by_label("Find a word")
    field.fill(r"e")  # stands in every sentence, so all cards are found
    field.press("Enter")
    every = sum(len(t.equation.split(r"\qquad")) for t in TERMS.values() if t.equation)
    playwright.expect(shown.locator(".katex-display")).to_have_count(every)
    assert shown.locator(".katex-error").count() == 0
    font = tab.page.evaluate("() => document.fonts.check('16px KaTeX_Math')")
    assert font and not refused.exists()


def test_on_a_phone_the_words_and_the_menu_can_be_reached(tab: Tab):
    """The line above the page lies over the header of Streamlit, with the way to the menu."""
    tab.page.set_viewport_size({"width": 390, "height": 800})
    tab.open("/rock_tokens")
    tab.rest()
    tab.page.get_by_role("button", name="Words").click()
    playwright.expect(tab.page.get_by_role("dialog", name=TITLE)).to_be_visible()
    tab.page.keyboard.press("Escape")
    tab.page.get_by_test_id("stExpandSidebarButton").click()
    playwright.expect(tab.page.get_by_role("link", name="Threshold lab").first).to_be_visible()
