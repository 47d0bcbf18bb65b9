"""One token in a browser: found by keys alone, opened from a row, and from there to its places."""

from __future__ import annotations

import re

import playwright.sync_api as playwright
from chrome import Tab


def test_keys_alone_find_a_token_and_open_the_first(tab: Tab) -> None:
    tab.open("/steps?run=tiny")
    tab.press("Control+k", "Find a token")
    playwright.expect(tab.page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    tab.page.keyboard.type("boxed")
    tab.page.keyboard.press("Enter")  # at once: it waits for its own list
    playwright.expect(tab.page.get_by_role("heading", level=1)).to_contain_text("\\boxed")
    tab.settle()
    assert tab.parameters["run"] == "tiny"


def test_the_arrow_keys_walk_through_what_was_found(tab: Tab) -> None:
    tab.open("/overview?run=tiny")
    tab.press("Control+k", "Find a token")
    dialog = tab.page.get_by_role("dialog")
    playwright.expect(dialog.get_by_role("textbox")).to_be_focused()
    second = dialog.get_by_role("link").nth(1)
    playwright.expect(second).to_be_visible()
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("ArrowDown")
    playwright.expect(second).to_be_focused()
    wanted = re.search(r"id (\d+)", second.inner_text())
    assert wanted
    tab.page.keyboard.press("Enter")
    tab.wait_for_url(token=wanted[1])


def test_a_row_leads_to_its_token_and_a_place_to_its_text(tab: Tab) -> None:
    tab.open("/rock_tokens?run=tiny&sorted=token_id&rule=lenient;min_jaccard=0")
    table = tab.page.get_by_test_id("stDataFrame").first
    playwright.expect(table).to_be_visible()
    tab.rest()
    table.click(position={"x": 160, "y": 70})  # a cell of the first row below the head
    link = tab.page.get_by_test_id("stPageLink-NavLink").filter(has_text=re.compile(r"· id \d+$"))
    link.first.click()
    tab.page.wait_for_url(re.compile(r"/token\?"))
    tab.settle()
    playwright.expect(tab.page.get_by_text("Where it stands")).to_be_visible()
    place = tab.page.get_by_test_id("stPageLink-NavLink").filter(has_text="…").first
    place.click()
    tab.page.wait_for_url(re.compile(r"/trace\?.*token_at=\d+"))


def test_search_and_run_are_seen_on_a_small_screen_without_scrolling(tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 1280, "height": 800})
    tab.open("/steps?run=tiny")
    find = tab.page.get_by_role("button", name="Find a token")
    playwright.expect(find).to_be_in_viewport(ratio=1)
    run = tab.page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox").first
    playwright.expect(run).to_be_in_viewport(ratio=1)
