"""Formula cards in a browser that reaches nothing: the equations are drawn."""

from __future__ import annotations

from pathlib import Path

import playwright.sync_api as playwright
from chrome import Tab

from app.cards import TITLE
from app.page_words import WORDS
from rockcore.glossary import TERMS


def test_the_equations_of_a_page_are_drawn_with_the_network_cut_off(tab: Tab, refused: Path):
    tab.open("/rock_tokens")
    tab.page.get_by_role("button", name=TITLE).click()
    shown = tab.page.get_by_role("dialog")
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
