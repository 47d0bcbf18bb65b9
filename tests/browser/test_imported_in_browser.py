"""The text pane on runs as importers write them: it colours by what there is, and says what is not
there.
"""

from __future__ import annotations

import re
from pathlib import Path

import playwright.sync_api as playwright
import pytest
from chrome import Tab
from imported_runs import KINDS


@pytest.fixture(scope="module", autouse=True)
def imported(served: Path) -> None:
    for kind, name in (("sampled loss", "sampled"), ("token ids", "ids"), ("rollouts alone", "w")):
        KINDS[kind](served / name)


def test_the_pane_colours_by_sampled_loss_and_its_threshold_where_kl_lacks(tab: Tab) -> None:
    tab.open("/trace?run=sampled")
    legend = tab.page.locator(".legend")
    playwright.expect(legend).to_contain_text("sampled loss, nats")
    playwright.expect(legend).to_contain_text("by the engine that sampled")
    playwright.expect(legend).to_contain_text(re.compile(r"≥ .*nats.*: \d+ of \d+ tokens"))
    assert tab.parameters["signal"] == "sampled_loss" and len(tab.tokens()) > 20
    tab.page.locator(".response .t").nth(3).hover()
    card = tab.page.locator(".reading")
    playwright.expect(card).to_contain_text("position 3 of")
    assert "NaN" not in card.inner_text()
    tab.open("/trace?run=ids")
    playwright.expect(legend).to_contain_text("Nothing is coloured")
    tab.open("/trace?run=w")
    playwright.expect(tab.page.get_by_test_id("stCode").first).to_contain_text("What is 0 + <b>30")
