"""The dashboard in a real browser: what only JavaScript, a URL bar and a keyboard can show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import playwright.sync_api as playwright
from chrome import Tab, charts_of
from conftest import HOSTILE, WORDS

from app import words
from rockcore.rocks.rule import RockRule


def test_the_first_page_says_what_the_run_is_and_loads_nothing_external(tab: Tab) -> None:
    tab.open("/?run=tiny")
    playwright.expect(tab.page.get_by_role("heading", name="tiny")).to_be_visible()
    playwright.expect(
        tab.page.get_by_text("kl: full vocabulary, reverse, nats").first
    ).to_be_visible()
    drawn = tab.page.locator(".js-plotly-plot")
    playwright.expect(drawn).to_have_count(charts_of("overview"))


def test_the_bundled_run_opens_first_and_every_page_of_it_works(tab: Tab) -> None:
    tab.enter()
    playwright.expect(tab.page.get_by_role("heading", name="habit")).to_be_visible()
    drawn = tab.page.locator(".js-plotly-plot")
    playwright.expect(drawn).to_have_count(charts_of("overview"))
    tab.page.get_by_role("link", name="Trace").click()
    playwright.expect(tab.page.locator(".response .t").first).to_be_visible()
    tab.page.locator(".response .t").nth(5).hover()
    teacher = tab.page.locator(".card ol.teacher")
    playwright.expect(teacher.locator(".row").first).to_be_visible()
    likely = teacher.locator(
        ".row"
    ).count()  # of eight that are logged; the others are only counted
    assert likely == 8 or f"{8 - likely} more below" in teacher.inner_text()
    tab.page.get_by_role("link", name="Rock tokens").click()
    playwright.expect(drawn).to_have_count(charts_of("rock_tokens"))
    tab.page.get_by_role("link", name="Steps").click()
    playwright.expect(tab.page.locator(".heatmap canvas")).to_be_visible()
    tab.page.get_by_role("link", name="Threshold lab").click()
    playwright.expect(tab.page.get_by_test_id("stMetricValue")).to_have_count(5)
    tab.page.get_by_role("link", name="Session").click()
    playwright.expect(tab.page.get_by_role("button", name="Start training")).to_be_visible()


def test_picking_a_run_and_a_page_keeps_both_in_the_url(tab: Tab) -> None:
    tab.open("/?run=tiny")
    tab.pick("Run", "second")
    tab.wait_for_url(run="second")
    playwright.expect(tab.page.get_by_role("heading", name="second")).to_be_visible()
    tab.page.get_by_role("link", name="Trace").click()
    tab.wait_for_url(run="second", source="final")
    playwright.expect(tab.page.locator(".response .t").first).to_be_visible()


def test_a_step_of_a_probe_shows_the_same_text_with_other_values(tab: Tab) -> None:
    tab.open("/trace?run=tiny&source=final&step=20&rollout=1")
    playwright.expect(tab.page.locator(".response .t").first).to_be_visible()
    before, shades = tab.tokens(), colours(tab)
    tab.page.locator(".response .t").first.evaluate("span => span.marked = true")
    tab.page.get_by_role("slider", name="Step").focus()
    tab.page.keyboard.press("ArrowLeft")
    tab.wait_for_url(step="10")
    playwright.expect(tab.page.locator(".tools .step")).to_contain_text("step 10")
    assert tab.tokens() == before
    assert colours(tab) != shades
    assert tab.page.locator(".response .t").first.evaluate("span => span.marked"), (
        "the text was built anew"
    )


def colours(tab: Tab) -> list[list[str]]:
    """The layers each token is in: its colour, its underlines."""
    return tab.page.evaluate(
        "() => { const p = rockPanes.get('token pane'); return p.spans.map((_, i) => "
        "p.layers.classes(i)) }"
    )


def test_a_signal_recolours_the_text_without_building_it_again(tab: Tab) -> None:
    tab.open("/trace?run=tiny&rollout=1")
    first = tab.page.locator(".response .t").first
    first.evaluate("span => span.marked = true")
    shades = colours(tab)
    tab.pick("Colour", "sampled loss")
    tab.wait_for_url(signal="sampled_loss")
    playwright.expect(tab.page.locator(".legend .name")).to_have_text("sampled loss, nats")
    assert colours(tab) != shades
    assert first.evaluate("span => span.marked")


def test_a_category_keeps_its_tokens_and_dims_the_rest(tab: Tab) -> None:
    tab.open("/trace?run=tiny&rollout=1")
    tab.page.get_by_role("button", name="Filters").click()
    toggle = tab.page.get_by_role("button", name=re.compile(r"^digit \d+$"))
    n = int(toggle.inner_text().split()[1])
    toggle.click()
    tab.wait_for_url(light="digit")
    dim = ["dim" in layers for layers in colours(tab)]
    assert [text.isdigit() for text in tab.tokens()] == [not d for d in dim] and dim.count(
        False
    ) == n


def test_a_copied_link_shows_the_same_in_another_browser(
    tab: Tab, browser: playwright.Browser
) -> None:
    tab.open(
        "/trace?run=second&source=first&step=10&rollout=2&signal=student_entropy&light=digit,latex"
    )
    playwright.expect(tab.page.locator(".response .t").first).to_be_visible()
    link, shades = tab.page.url, colours(tab)
    assert tab.parameters["light"] == "digit,latex"
    other = browser.new_context(viewport={"width": 1280, "height": 900})
    copy = Tab(other.new_page(), tab.server)
    copy.open(link.removeprefix(tab.server))
    playwright.expect(copy.page.locator(".response .t").first).to_be_visible()
    assert copy.page.url == link
    assert colours(copy) == shades
    other.close()


def test_a_threshold_dragged_in_the_lab_is_in_the_link_and_the_link_restores_the_lab(
    tab: Tab, browser: playwright.Browser
) -> None:
    tab.open("/threshold_lab?run=habit")
    handle = tab.page.get_by_role("slider", name=re.compile("τ_pre")).first
    playwright.expect(
        tab.page.get_by_test_id("stMetric").filter(has_text="Rock Tokens K")
    ).to_be_visible()
    box = tab.box(handle)
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] - 100, box["y"] + 10, steps=8)
    tab.page.wait_for_url(re.compile("tau_pre"))
    tab.rest()  # a hand that rests is still the same gesture
    tab.page.mouse.move(box["x"] - 150, box["y"] + 10, steps=8)
    tab.page.mouse.up()
    tab.rest()
    tab.page.get_by_role("button", name="Undo").click()
    tab.page.wait_for_url(lambda url: "tau_pre" not in url)
    tab.settle()
    playwright.expect(tab.page.get_by_role("button", name="Undo")).to_be_disabled()
    tab.page.get_by_role("button", name="Redo").click()
    tab.page.wait_for_url(re.compile("tau_pre"))
    tab.settle()
    rule = RockRule.from_short(tab.parameters["rule"])
    assert rule.tau_pre is not None and rule.tau_pre == rule.tau_post
    tab.page.get_by_role("radio", name="paper").or_(
        tab.page.get_by_role("button", name="paper", exact=True)
    ).first.click()
    tab.wait_for_url(rule="paper")
    tab.page.get_by_role("button", name="Undo").click()
    tab.page.wait_for_url(re.compile("tau_pre"))
    tab.rest()
    other = browser.new_context(viewport={"width": 1280, "height": 900})
    copy = Tab(other.new_page(), tab.server)
    copy.open(tab.page.url.removeprefix(tab.server))
    copy.rest()
    for each in (tab, copy):
        playwright.expect(each.page.get_by_test_id("stMetricValue")).to_have_count(5)
    assert (
        len(
            {
                tuple(each.page.get_by_test_id("stMetricValue").all_inner_texts())
                + tuple(each.page.locator(".reading .value").all_inner_texts())
                for each in (tab, copy)
            }
        )
        == 1
    )
    assert copy.page.get_by_role("slider", name=re.compile("τ_pre")).first.get_attribute(
        "aria-valuenow"
    ) == str(rule.tau_pre)
    other.close()


def test_the_back_button_returns_to_the_step_before(tab: Tab) -> None:
    tab.open("/trace?run=tiny&source=final&step=20&rollout=0")
    tab.page.get_by_role("slider", name="Step").focus()
    tab.page.keyboard.press("ArrowLeft")
    tab.wait_for_url(step="10")
    playwright.expect(tab.page.locator(".tools .step")).to_contain_text("step 10, 2 of 3")
    tab.page.go_back()
    tab.wait_for_url(step="20")
    playwright.expect(tab.page.locator(".tools .step")).to_contain_text("step 20, 3 of 3")


def test_hostile_token_text_is_shown_as_text(tab: Tab) -> None:
    tab.open("/trace?run=tiny&source=first&rollout=0")
    playwright.expect(tab.page.locator(".response .t").first).to_be_visible()
    shown = set(tab.tokens())
    assert {text for text in HOSTILE if text.isprintable()} <= shown
    assert tab.page.locator(".response :not(.t, .newline)").count() == 0
    assert "owned" not in tab.page.title()
    for path in ("/rock_tokens?run=tiny", "/threshold_lab?run=tiny", "/?run=tiny"):
        tab.open(path)
        playwright.expect(tab.page.locator(".js-plotly-plot").first).to_be_visible()
        assert "owned" not in tab.page.title()


def test_copied_text_is_the_text_of_the_log(tab: Tab) -> None:
    tab.open("/trace?run=tiny&source=first&rollout=0")
    playwright.expect(tab.page.locator(".response .t").first).to_be_visible()
    assert (
        {"\n", "\n\n", " ", "\t"}
        <= set(tab.tokens())
        <= {words.visible(w) if not w.isprintable() else w for w in WORDS} | set(WORDS)
    )


def test_the_keyboard_walks_the_tokens_and_the_card_names_them(tab: Tab) -> None:
    tab.open("/trace?run=tiny&source=final&rollout=0&step=20")
    playwright.expect(tab.page.locator(".response .t").first).to_be_visible()
    card = tab.page.locator(".card")
    tab.page.locator(".response .t[tabindex='0']").focus()
    playwright.expect(card).to_contain_text("position 0 of")
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowRight")
    playwright.expect(card).to_contain_text("position 2 of")
    playwright.expect(tab.page.locator(".response .t[tabindex='0']")).to_have_count(1)
    playwright.expect(card.locator("ol.student .row")).to_have_count(8)
    playwright.expect(card.locator("ol.teacher .row.sampled")).to_have_count(1)
    tab.page.keyboard.press("End")
    playwright.expect(card).to_contain_text("<eos>")
    tab.page.keyboard.press("ArrowUp")
    playwright.expect(card.locator(".token")).not_to_have_text("<eos>")


def test_a_training_is_started_watched_and_stopped_from_its_page(tab: Tab) -> None:
    """A real one, of the built-in pair; it leaves a run that the sidebar offers."""
    tab.enter()
    tab.open("/session")
    tab.page.get_by_label("Steps", exact=True).fill("5000")
    tab.page.get_by_role("button", name="Start training").click()
    playwright.expect(tab.page.get_by_text(re.compile(r"Step \d+ of 5000"))).to_be_visible()
    tab.page.get_by_role("button", name="Stop after this step").click()
    playwright.expect(
        tab.page.get_by_text(re.compile(r"stopped by request after step \d+ of 5000 · ended")).first
    ).to_be_visible()
    tab.page.get_by_role("button", name="Open this run").click()
    playwright.expect(tab.page.get_by_role("heading", name="habit-1")).to_be_visible()


def test_a_failed_browser_test_leaves_a_picture_of_every_open_page(tmp_path: Path) -> None:
    """A test run of its own, of one test that fails."""
    shutil.copy(Path(__file__).parents[1] / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / "test_it.py").write_text(
        "def test_it(browser):\n"
        "    for text in ('one', 'two'):\n"
        "        browser.new_context().new_page().set_content(text)\n"
        "    assert False\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    subprocess.run(
        [sys.executable, "-m", "pytest", "test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
    )
    assert sorted(p.name for p in (tmp_path / "test-screenshots").iterdir()) == [
        "test_it 1.png",
        "test_it 2.png",
    ]


def test_numbers_histogram_and_text_of_the_lab_stand_on_one_screen_and_stay_there(
    tab: Tab,
) -> None:
    tab.page.set_viewport_size({"width": 1280, "height": 800})
    tab.open("/threshold_lab?run=habit")
    shown = (
        tab.page.get_by_test_id("stMetric").filter(has_text="Rock Tokens K"),
        tab.page.get_by_role("slider", name=re.compile("τ_pre")).first,
        tab.page.locator(".response .t").first,
    )
    playwright.expect(shown[-1]).to_be_visible()
    tab.rest()
    for scrolled in (0, 500):
        tab.page.get_by_test_id("stMain").evaluate("(m, y) => m.scrollTop = y", scrolled)
        for each in shown:
            playwright.expect(each).to_be_in_viewport()
