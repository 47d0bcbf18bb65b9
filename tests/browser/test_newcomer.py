"""A newcomer in a real browser, with the bundled run open: eight questions, each answered in at
most three clicks from the first page, and the view that answers it sent to somebody else.

A click is one of the mouse. What the page must say is asked of the library, not written here.
"""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import urlencode

import playwright.sync_api as playwright
import pytest
from chrome import Tab
from playwright.sync_api import expect

from rockcore.analysis.rock_share import rock_share
from rockcore.log import Run, sample_runs
from rockcore.rocks import Examined
from rockcore.rocks.rule import RockRule
from rockcore.spelling import visible

MOST_CLICKS = 3
WORD = "Wait"


@cache
def known() -> Examined:
    return Examined(Run.open(sample_runs() / "habit"), RockRule())


def id_of(word: str) -> int:
    tokens = known().report.tokens
    return int(tokens.token_id[tokens.token == word].iloc[0])


class Reader:
    """Somebody at the first page who counts their clicks."""

    def __init__(self, tab: Tab):
        self.tab, self.clicks = tab, 0
        tab.open("/?run=habit")
        expect(self.page.get_by_role("button", name="Find a token")).to_be_visible()
        tab.rest()

    @property
    def page(self) -> playwright.Page:
        return self.tab.page

    def click(self, what: playwright.Locator, **where: playwright.Position) -> None:
        self.clicks += 1
        assert self.clicks <= MOST_CLICKS, f"a {self.clicks}th click"
        what.click(**where)
        self.tab.settle()

    def go(self, page: str) -> None:
        menu = self.page.get_by_test_id("stSidebarNav")
        self.click(menu.get_by_role("link", name=page, exact=True))
        self.tab.rest()

    def find(self, word: str) -> None:
        """By the key that every page has; without a click."""
        self.tab.press("Control+k", "Find a token")
        expect(self.page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
        self.page.keyboard.type(word)
        self.page.keyboard.press("Enter")
        self.tab.wait_for_url(token=str(id_of(word)))
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(word)

    def part(self, heading: str) -> playwright.Locator:
        """The part of a page below a heading."""
        found = self.page.get_by_test_id("stVerticalBlock").filter(
            has=self.page.get_by_role("heading", name=heading, exact=True)
        )
        return found.last

    def says(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_test_id("stMain").get_by_text(text).first).to_be_visible()


@pytest.fixture
def reader(tab: Tab) -> Reader:
    return Reader(tab)


def test_which_tokens_stay_hard(reader: Reader) -> None:
    reader.go("Rock tokens")
    report = known().report
    chart = reader.page.locator(".js-plotly-plot").first
    for token in report.tokens.token[report.tokens.in_set]:
        expect(chart.get_by_text(visible(token), exact=True).first).to_be_visible()
    reader.says(re.compile(rf"{len(report.ids)} Rock Tokens"))


def test_whether_wait_is_a_rock_token_and_by_which_rule(reader: Reader) -> None:
    reader.find(WORD)
    row = known().report.tokens.set_index("token_id").loc[id_of(WORD)]
    rank = known().report.ids.index(id_of(WORD)) + 1
    said = f"{row.persistent} of {row.frequency} occurrences are high before"
    reader.says(re.compile(re.escape(said)))
    reader.says(re.compile(f"rank {rank} of {len(known().report.ids)} in the set"))
    reader.says(re.compile(r"Rule default: \d+ Rock Tokens"))


def test_in_which_contexts_it_stands(reader: Reader) -> None:
    reader.find(WORD)
    places = reader.part("Where it stands").get_by_test_id("stPageLink-NavLink")
    reader.click(places.filter(has_text=WORD).first)
    reader.page.wait_for_url(re.compile(r"/trace\?.*token_at=\d+"))
    expect(reader.page.locator(".reading .where")).to_contain_text("position")
    at = int(reader.tab.parameters["token_at"])
    assert reader.tab.tokens()[at].strip() == WORD


def test_whether_its_divergence_moved(reader: Reader) -> None:
    reader.find(WORD)
    course = reader.part("Over the steps")
    expect(course.get_by_text(re.compile(r"nats \(95 % .* at step 0 and"))).to_be_visible()
    expect(course.locator(".js-plotly-plot")).to_be_visible()


def test_what_share_of_tokens_kl_and_gradient_the_rock_tokens_take(reader: Reader) -> None:
    reader.says(re.compile(re.escape(rock_share(known()).sentence)))


def test_what_happens_if_they_are_not_trained_on(reader: Reader) -> None:
    reader.find(WORD)
    part = reader.part("Not trained on")
    expect(part.get_by_text(re.compile("In the comparison habit it was left out"))).to_be_visible()
    expect(part.get_by_text(re.compile("rock-freeze|left out|frozen")).first).to_be_visible()


def test_whether_the_answer_needs_it(reader: Reader) -> None:
    reader.find(WORD)
    part = reader.part("The answers without it")
    expect(part.get_by_text(re.compile(r"Δ .* points \(95 % "))).to_be_visible()


def sent(reader: Reader) -> playwright.Page:
    """The page that a fresh browser shows under the copied link."""
    reader.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reader.click(reader.page.get_by_role("button", name=re.compile("Copy")).first)
    expect(reader.page.get_by_text("Copied")).to_be_visible()
    link = reader.page.evaluate("navigator.clipboard.readText()")
    browser = reader.page.context.browser
    assert browser is not None
    other = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    other.goto(link)
    return other


def test_a_view_is_sent_with_its_pinned_card_and_its_search(reader: Reader) -> None:
    state = {"run": "habit", "source": "final", "rollout": "3", "step": "75"}
    reader.tab.open(f"/trace?{urlencode(state)}")
    reader.click(reader.page.locator(".response .t").nth(7))
    reader.page.keyboard.press("/")
    reader.page.keyboard.type("e")
    reader.page.keyboard.press("Enter")
    reader.tab.wait_for_url(find="e", hit="1")
    reader.click(reader.page.locator(".card .pin"))
    expect(reader.page.locator(".card.pinned")).to_be_visible()
    reader.tab.rest()
    told = reader.page.locator(".card.pinned").inner_text()
    found = reader.page.locator(".reading .where").first.inner_text()
    other = sent(reader)
    expect(other.locator(".card.pinned")).to_have_text(told, use_inner_text=True)
    expect(other.locator(".reading .where").first).to_have_text(found)
    expect(other.get_by_placeholder(re.compile("Search")).first).to_have_value("e")
    assert "step 75" in other.locator(".tools .step").inner_text()


def test_a_table_is_sent_in_its_order(reader: Reader) -> None:
    reader.go("Rock tokens")
    reader.tab.pick("Sort by", "mean loss")
    reader.tab.wait_for_url(sorted="mean")
    other = sent(reader)
    expect(other.get_by_role("heading", name="Rock tokens", exact=True)).to_be_visible()
    expect(other.get_by_role("combobox", name="Sort by")).to_have_value("mean loss")
