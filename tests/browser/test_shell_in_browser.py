"""The head of every page in a real browser: its keys, its sizes for a hall, the copied link."""

from __future__ import annotations

import playwright.sync_api as playwright
from chrome import Tab
from patience import wait_until

SIZE = "node => parseFloat(getComputedStyle(node).fontSize)"


def test_a_key_enlarges_a_page_for_a_hall_and_the_same_key_leaves_it(tab: Tab) -> None:
    tab.open("/trace?run=habit")
    token, sidebar = tab.page.locator(".response .t").first, tab.page.get_by_test_id("stSidebar")
    token.wait_for()
    tab.rest()
    usual = token.evaluate(SIZE)
    tab.press("Alt+P", "Present")
    tab.wait_for_url(present="on")
    playwright.expect(sidebar).to_have_attribute("data-collapsed", "true")
    assert token.evaluate(SIZE) == 1.5 * usual >= 24
    step = tab.page.locator(".st-key-widget-step")
    playwright.expect(step).to_be_hidden()  # put away, and shown by one click
    tab.page.get_by_role("button", name="Controls").click()
    playwright.expect(step).to_be_visible()
    tab.press("Alt+P", "Leave")
    playwright.expect(sidebar).to_have_attribute("data-collapsed", "false")
    tab.rest()
    assert "present" not in tab.parameters and token.evaluate(SIZE) == usual


def test_charts_have_letters_of_sixteen_pixels_in_a_hall(tab: Tab) -> None:
    tab.open("/?run=habit&present=on")
    letters = tab.page.locator(".js-plotly-plot text")
    letters.first.wait_for()
    tab.rest()
    assert min(letters.evaluate_all(f"nodes => nodes.map({SIZE})")) >= 16


def test_the_link_is_copied_and_where_it_cannot_be_stands_there_selected(tab: Tab) -> None:
    tab.open("/steps?run=habit")
    playwright.expect(tab.page).to_have_title("habit · Steps")
    tab.page.evaluate("() => { navigator.clipboard.writeText = (text) => { window.got = text; }; }")
    tab.press("Alt+L", "Copy link")
    playwright.expect(tab.page.get_by_text("Copied", exact=True)).to_be_visible()
    assert tab.page.evaluate("window.got") == tab.page.url
    tab.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    tab.page.get_by_role("button", name="Copy link").click()
    link = tab.page.get_by_label("Link to this page")
    playwright.expect(link).to_have_value(tab.page.url)
    selected = "node => node.selectionEnd - node.selectionStart"
    wait_until(lambda: link.evaluate(selected) == len(tab.page.url))


def test_the_first_stop_of_the_tab_key_skips_to_the_page(tab: Tab) -> None:
    tab.open("/overview?run=habit")  # which is found by its name too
    tab.rest()
    assert tab.page.get_by_text("Page not found").count() == 0
    tab.page.keyboard.press("Tab")
    playwright.expect(tab.page.get_by_test_id("stSkipToContent")).to_be_focused()
    tab.page.keyboard.press("Tab")
    link = tab.page.get_by_test_id("stSidebarNavLink").first
    link.focus()
    assert link.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
