"""The page Knockout in a browser: a point opens its candidate, both texts are one comparison."""

from __future__ import annotations

from pathlib import Path

import playwright.sync_api as playwright
import pytest
from chrome import Tab
from conftest import WORDS, write_tiny_run
from small_screens import write_screen

from rockcore.analysis.knockout_pairs import Beside, beside
from rockcore.analysis.knockout_texts import pairs
from rockcore.log.screens import Screen

SO, LET = WORDS.index("So"), WORDS.index(" Let")


@pytest.fixture(scope="module")
def knocked_out(served: Path) -> Screen:
    run = write_tiny_run(served / "knocked out")
    return write_screen(run, {SO: -0.4, LET: 0.35, WORDS.index("$"): 0.0}, problems=120)


def test_a_point_opens_its_candidate_and_its_rollouts(tab: Tab, knocked_out: Screen) -> None:
    tab.open("/knockout?run=knocked+out")
    page = tab.page
    chart = page.locator(".js-plotly-plot").first
    row = chart.locator(".scatterlayer .point")
    playwright.expect(row.first).to_be_attached()
    tab.wait_for_url(candidate=f"token-{SO}")
    tab.rest()
    chart.scroll_into_view_if_needed()
    box = tab.box(row.nth(1))  # traces stand in the order of LOOKS: the stumbling block
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url(lambda url: f"candidate=token-{LET}" in url)
    tab.rest()
    playwright.expect(page.get_by_text("Strong Stumbling. Δ", exact=False).first).to_be_visible()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] - 200)  # beside every point
    tab.rest()
    assert tab.parameters["candidate"] == f"token-{LET}"


def told(found: Beside, at: int) -> str:
    """What the line at the foot says of a position of A."""
    partners = dict(zip(found.aligned.a.tolist(), found.aligned.b.tolist(), strict=True))
    if at not in partners:
        return f"position {at} of A · no partner in B"
    return f"position {at}" if partners[at] == at else f"position {at} in A, {partners[at]} in B"


def test_both_texts_are_whole_and_their_tokens_find_each_other(
    tab: Tab, knocked_out: Screen
) -> None:
    tab.open(f"/knockout?run=knocked+out&candidate=token-{SO}")
    panes = tab.page.locator(".pane")
    playwright.expect(panes).to_have_count(2)
    row = pairs(knocked_out, f"token-{SO}").iloc[0]
    for pane, ids in zip(panes.all(), (row.baseline_ids, row.knockout_ids), strict=True):
        tokens = pane.locator(".response .t")
        playwright.expect(tokens).to_have_count(len(ids))
        assert "So" in tokens.all_text_contents() or ids is row.knockout_ids
    first, second = (pane.locator(".response .t") for pane in panes.all())
    tab.rest()
    first.first.hover()
    playwright.expect(second.first).to_have_css("outline-style", "dashed")
    readout = tab.page.locator(".readout")
    playwright.expect(readout).to_contain_text("position 0")
    first.nth(int(row.branch)).hover()  # from token to token within one pane
    found = beside(row.baseline_ids, row.knockout_ids, [SO])
    assert found.parts_at == row.branch
    playwright.expect(readout).to_contain_text(told(found, int(row.branch)))
    playwright.expect(second.first).to_have_css("outline-style", "none")
    first.nth(2).focus()
    playwright.expect(readout).to_contain_text(told(found, 2))
    tab.page.keyboard.press("ArrowRight")
    playwright.expect(readout).to_contain_text(told(found, 3))
    first.nth(int(row.branch)).focus()
    card = panes.first.locator(".reading .card")
    playwright.expect(card).to_contain_text("class: the token left out")
    assert "not logged" not in card.inner_text() and "KL over" not in card.inner_text()
