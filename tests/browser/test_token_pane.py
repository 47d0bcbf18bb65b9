"""The text pane in a real browser: what it shows is what the log holds, and nothing of the text is
ever built twice.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from fractions import Fraction
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pandas as pd
import playwright.sync_api as playwright
import pytest
from chrome import Tab
from conftest import HOSTILE, WORDS
from patience import wait_until
from sent import content

from app import data, words
from app.components import colours, token_pane
from rockcore.log import Run, RunWriter, sample_runs
from rockcore.schema import RunMeta

LENIENT = "lenient;even_share=0;gamma=0.125;min_jaccard=0;tau_quantile=0.5"
NASTY = (
    "x" * 5000,
    "\u200d",
    "a\u200db",
    "\u200f",
    "\u2066x",
    "'\"`&<>",
    "]]>",
    "<!--",
    "\ud7ff",
    "\x0b",
    "\\xe2\\x80",
    "]]></style><script>1</script>",
)
LONG, WINDOWED = 8_000, 100_000
# 300 categories: the first 290 hold no word, each of the last ten one digit
CATEGORIES = "\n".join(
    f"[[rule]]\ncategory = 'c{i}'\npattern = '^{'never' if i < 290 else i - 290}$'"
    for i in range(300)
)


def write_run(path: Path, length: int, alternatives: bool = True) -> Path:
    """A run of three steps with one text of `length` tokens, over WORDS and NASTY."""
    rng = np.random.default_rng(1)
    words = [*WORDS, *NASTY]
    fields: dict[str, Any] = {
        "student": "s",
        "teacher": "t",
        "tokenizer_hash": "0" * 16,
        "status": "finished",
        "scenario": "habit",
    }
    vocab = {"token_id": range(len(words)), "token": words, "special": [False] * len(words)}
    writer = RunWriter.create(path, RunMeta(name=path.name, vocab_size=len(words), **fields), vocab)
    pool = len(words) if length < 1000 else len(WORDS)
    tokens_BT = [np.concatenate([np.arange(pool), rng.integers(0, pool, length - pool)])]
    texts = conftest._texts(0, [np.arange(3)])
    for probe_set in ("first", "final"):
        writer.write_probe_rollouts(probe_set, texts)
    for step in (0, 10, 20):
        values = conftest._values(rng, step, tokens_BT)
        writer.append("rollouts", step, texts)
        writer.append("tokens", step, values)
        empty = {
            f"{who}_top_{what}": [None] * length
            for who in ("student", "teacher")
            for what in ("ids", "logps")
        }
        top = (
            conftest._alternatives(rng, np.minimum(tokens_BT[0], len(WORDS) - 1))
            if alternatives
            else empty
        )
        probe = {name: v for name, v in values.items() if name != "weight"} | top
        for probe_set in ("first", "final"):
            writer.append_probe(probe_set, step, probe)
        writer.append("metrics", step, conftest._metrics(step, values["kl"]))
    return path


@pytest.fixture(scope="session", autouse=True)
def folder(served: Path) -> Path:
    """Where the runs of this module lie: tiny, nasty, long, windowed."""
    conftest.write_tiny_run(served / "sorted", seed=2)
    (served / "sorted" / "categories.toml").write_text(CATEGORIES, encoding="utf-8")
    write_run(served / "nasty", 200)
    write_run(served / "long", LONG)
    write_run(served / "windowed", WINDOWED, alternatives=False)
    return served


def read(tab: Tab, query: str) -> playwright.Page:
    """The page of a trace, its text there, what the rule makes of it, and the filters unfolded."""
    tab.open(f"/trace?{query}")
    playwright.expect(tab.page.locator(".response .t").first).to_be_visible()
    tab.settle()  # the text comes before the rule has been worked out
    tab.page.locator(".fold").click()
    return tab.page


def layers(page: playwright.Page) -> list[list[str]]:
    """The layers each token is in."""
    return page.evaluate(
        "() => { const p = rockPanes.get('token pane'); return p.spans.map((_, i) => "
        "p.layers.classes(i)) }"
    )


def mark_nodes(page: playwright.Page) -> None:
    page.evaluate("() => rockPanes.get('token pane').spans.forEach(s => { s.marked = true })")


def all_marked(page: playwright.Page) -> bool:
    """Whether every token on the page is a node that `mark_nodes` saw."""
    return page.locator(".response .t").evaluate_all(
        "spans => spans.length > 0 && spans.every(s => s.marked)"
    )


# A screenshot as a canvas to read pixels from.
DECODE = """
    const image = new Image();
    image.src = 'data:image/png;base64,' + shot;
    await image.decode();
    const picture = new OffscreenCanvas(image.width, image.height);
    const canvas = picture.getContext('2d');
    canvas.drawImage(image, 0, 0);"""


def pixels(page: playwright.Page) -> list[list[int]]:
    """The colour of the screen inside the left edge of each token."""
    page.mouse.move(1, 1)
    shot = base64.b64encode(page.screenshot(animations="disabled")).decode()
    return page.evaluate(
        f"""async (shot) => {{ {DECODE}
            return rockPanes.get('token pane').spans.map(s => s.getClientRects()[0])
                .filter(r => r && r.bottom < innerHeight)
                .map(r => [Math.floor(r.left + 1), Math.floor(r.top + 3)])
                .map(([x, y]) => [...canvas.getImageData(x, y, 1, 1).data]) }}""",
        shot,
    )


def ink(page: playwright.Page) -> list[str]:
    """Text and background colour of each token that has a fill."""
    return page.evaluate(
        """() => { const { id, layers, spans } = rockPanes.get('token pane');
            const pseudo = (i) => layers.plain ? null : `::highlight(${id}-${layers.fill[i]})`;
            return spans.map((s, i) => layers.fill[i] && getComputedStyle(s, pseudo(i)))
                .filter(Boolean).map(style => style.color + ' on ' + style.backgroundColor) }"""
    )


def key(folder: Path, name: str) -> data.runs.RunKey:
    return data.runs.key(str(folder / name if name != "habit" else sample_runs() / "habit"))


def toggle(page: playwright.Page, name: str) -> playwright.Locator:
    return page.locator(f'.toggle[data-name="{name}"]')


def count_of(page: playwright.Page, name: str) -> int:
    return int(toggle(page, name).inner_text().rsplit(" ", 1)[1].replace(",", ""))


def test_the_colours_are_the_same_with_and_without_highlights(
    tab: Tab, browser: playwright.Browser
) -> None:
    query = "run=tiny&source=final&rollout=1&light=digit,latex"
    tall = {"width": 1280, "height": 1600}
    tab.page.set_viewport_size(tall)
    page = read(tab, query)
    assert page.evaluate("() => CSS.highlights.size") > 5
    assert not page.locator(".response .t").evaluate_all(
        "spans => spans.some(s => s.className !== 't')"
    ), "tokens carry no classes"
    context = browser.new_context(viewport=tall)
    context.add_init_script("Object.defineProperty(CSS, 'highlights', { value: undefined })")
    plain = Tab(context.new_page(), tab.server)
    read(plain, query)
    assert layers(page) == layers(plain.page)
    nested = plain.page.locator(".response .t").evaluate_all(
        "spans => spans.map(s => [...s.querySelectorAll('u')].map(u => u.className))"
    )
    lines = [[name for name in layer if name in ("cut", "m2", "m3")] for layer in layers(page)]
    assert nested == [[*(f"{name}-bed" for name in each), *each] for each in lines]
    assert any(nested)
    for each in (page, plain.page):
        light = ink(each)
        each.emulate_media(color_scheme="dark")
        wait_until(lambda each=each, light=light: ink(each) != light)  # Streamlit has followed
    inks = ink(page), ink(plain.page)
    assert inks[0] == inks[1] and len(set(inks[0])) > 2, (
        "dimmed text has to be seen on a dark page too"
    )
    painted = pixels(page), pixels(plain.page)
    assert painted[0] == painted[1] and len(set(map(tuple, painted[0]))) > 4
    context.close()


def test_a_step_back_recolours_at_once_and_builds_nothing(tab: Tab, folder: Path) -> None:
    page = read(tab, "run=tiny&source=final&rollout=1&step=20")
    mark_nodes(page)
    page.locator(".response .t[tabindex='0']").focus()
    before = layers(page)
    at_once = page.evaluate(
        """() => { const p = rockPanes.get('token pane');
            const press = { key: '[', bubbles: true, composed: true };
            p.spans[0].dispatchEvent(new KeyboardEvent('keydown', press));
            return p.spans.map((_, i) => p.layers.classes(i)) }"""
    )
    assert at_once != before, "it waited for Python"
    tab.wait_for_url(step="10")
    playwright.expect(page.locator(".tools .step")).to_contain_text("step 10, 2 of 3")
    kl = Run.open(folder / "tiny").trace(10, 1, "final").kl
    edges = data.texts.scale(key(folder, "tiny"), "kl")["edges"]
    expected = [int(b) for b in np.searchsorted(edges, kl, side="right")]
    assert [
        next((int(c[1:]) for c in cs if re.fullmatch(r"f\d+", c)), 0) for cs in layers(page)
    ] == expected
    assert all_marked(page)


HOLD = """() => {
    globalThis.held = [];
    const open = Response.prototype.arrayBuffer;
    Response.prototype.arrayBuffer = function () {
        return new Promise((done) => held.push(() => done(open.call(this))));
    };
}"""


def test_of_two_steps_that_arrive_together_the_later_is_drawn_whatever_opens_first(
    tab: Tab,
) -> None:
    page = read(tab, "run=tiny&source=final&rollout=1&step=20&signal=student_entropy")
    tab.rest()
    before, whole = layers(page), "() => { const p = rockPanes.get('token pane'); "
    page.evaluate(HOLD)
    slider = page.get_by_test_id("stMain").get_by_role("slider", name="Step")
    slider.press("ArrowLeft")
    page.wait_for_function("() => held.length >= 2")  # values and paint of step 10
    assert page.evaluate(whole + "return p.values.step; }") == 20 and layers(page) == before
    first = page.evaluate("() => held.length")
    slider.press("ArrowLeft")
    page.wait_for_function("n => held.length >= n + 2", arg=first)
    page.evaluate("n => held.slice(n).forEach((open) => open())", first)
    page.wait_for_function(whole + "return p.values.step === 0; }")
    after = layers(page)
    page.evaluate("n => held.slice(0, n).forEach((open) => open())", first)
    tab.rest()
    assert page.evaluate(whole + "return p.values.step; }") == 0
    assert layers(page) == after != before


# A text of its own steps: token i is hard at i % (S + 1) of the S steps; then what the pane makes
# of it for each threshold.
COUNT_STEPS = """([S, cuts]) => {
    const pane = rockPanes.get('token pane'), text = pane.opened.text.content;
    const n = text.length;
    const kl = new Float32Array(S * n);
    for (let s = 0; s < S; s++) {
        for (let i = 0; i < n; i++) if (s < i % (S + 1)) kl[s * n + i] = 16;
    }
    const steps = Array.from({ length: S }, (_, s) => s);
    pane.opened.text.content = { ...text, stamp: `steps ${S}`, series: { steps, kl } };
    pane.state.step = 0;
    return cuts.map((cut) => {
        pane.state.cut = `persistence:${cut}`;
        pane.arrived();
        return [[...pane.now.buckets], [...pane.now.above]];
    });
}"""


def test_a_share_of_any_number_of_steps_lands_in_its_bin_and_on_its_threshold(tab: Tab) -> None:
    page = read(tab, "run=nasty&source=final&step=20&signal=persistence")
    tab.rest()
    scale = page.evaluate("() => rockPanes.get('token pane').view.scale")
    twentieths = [Fraction(k, 20) for k in range(1, 21)]
    for steps in range(1, 61):
        own = [Fraction(k, steps) for k in (1, steps // 2, steps - 1, steps) if k]
        exact = [*twentieths, *own]
        seen = page.evaluate(COUNT_STEPS, [steps, [float(cut) for cut in exact]])
        shares = [Fraction(i % (steps + 1), steps) for i in range(200)]
        for cut, (buckets, above) in zip(exact, seen, strict=True):
            assert above == [int(share >= cut) for share in shares], (steps, cut)
            assert buckets == [share * 5 // 1 for share in shares], steps
        bars = [bisect_right(scale["bins"], k / steps) for k in range(steps + 1)]
        assert bars == [20 * k // steps for k in range(steps + 1)], steps


def test_a_card_counts_the_steps_at_which_a_position_is_hard(tab: Tab, folder: Path) -> None:
    page = read(tab, "run=tiny&source=final&rollout=1&step=20")
    page.locator(".response .t").nth(3).hover()
    run = Run.open(folder / "tiny")
    kl = np.array([run.trace(step, 1, "final").kl[3] for step in (0, 10, 20)])
    tau = page.evaluate(
        "() => { const v = rockPanes.get('token pane').view; return v.verdict.tau ?? v.mark; }"
    )
    shown = page.locator(".card .values dd", has_text="logged steps").first
    playwright.expect(shown).to_have_text(f"{int((kl >= tau).sum())} of 3 logged steps ≥ τ")


def test_categories_beyond_the_256th_are_those_of_the_log(tab: Tab, folder: Path) -> None:
    page = read(tab, "run=sorted&source=final&rollout=1&step=20&light=c290,c299")
    frame = Run.open(folder / "sorted").trace(20, 1, "final")
    for i in range(10):
        assert count_of(page, f"c{290 + i}") == (frame.token == str(i)).sum() > 0
    dim = np.array(["dim" in layer for layer in layers(page)])
    assert (dim == ~frame.token.isin(["0", "9"])).all()
    page.locator(".response .t").nth(int(np.argmax(frame.token == "9"))).hover()
    playwright.expect(page.locator(".reading .where")).to_contain_text("· c299")


def test_play_goes_through_all_steps_and_the_link_has_the_last(tab: Tab) -> None:
    page = read(tab, "run=tiny&source=final&step=20")
    mark_nodes(page)
    page.locator(".response .t").first.click()
    tab.watch(page.locator(".tools .step"), ".step, .play")
    page.keyboard.press("Space")
    tab.wait_for_sight("step 0, 1 of 3", "step 20, 3 of 3")
    playwright.expect(page.locator(".tools .play")).to_have_text("▶ play")
    tab.wait_for_url(step="20")
    assert all_marked(page)


def test_a_dragged_threshold_counts_tokens_and_loss_as_python_does_and_is_in_the_link(
    tab: Tab, folder: Path
) -> None:
    page = read(tab, "run=tiny&source=final&rollout=1&step=20")
    mark_nodes(page)
    box = tab.box(page.locator(".handle"))
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] - 90, box["y"] + 8, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile("cut=kl"))
    tab.settle()
    cut = float(tab.parameters["cut"].split(":")[1])
    kl = Run.open(folder / "tiny").trace(20, 1, "final").kl.to_numpy(float)
    line = page.locator(".count").inner_text()
    n, of = map(int, re.search(r"(\d+) of (\d+) tokens", line).groups())
    assert (n, of) == (int((kl >= cut).sum()), len(kl)) and 0 < n < of
    assert int(re.search(r"(\d+) % of the KL", line)[1]) == round(
        100 * kl[kl >= cut].sum() / kl.sum()
    )
    assert [i for i, c in enumerate(layers(page)) if "cut" in c] == np.flatnonzero(
        kl >= cut
    ).tolist()
    handle = page.locator(".handle")
    handle.focus()
    page.keyboard.press("ArrowRight")
    assert float(handle.get_attribute("aria-valuenow")) > cut and "tokens" in handle.get_attribute(
        "aria-valuetext"
    )
    assert all_marked(page)


def test_toggles_count_what_python_counts_and_leave_the_rest_dim_hidden_or_plain(
    tab: Tab, folder: Path
) -> None:
    page = read(tab, f"run=tiny&source=final&rollout=1&step=20&rule={LENIENT}")
    run, rule = key(folder, "tiny"), data.rocks.rule(LENIENT)
    text, frame = data.texts.text(run, "final", 20, 1), Run.open(run.path).trace(20, 1, "final")
    seen = data.rocks.verdict(run, rule, "final", 1, text.token_id)
    categories = np.array(data.runs.categories(run))[content(text.body)["categories"]]
    classes = np.array(seen.names)[np.frombuffer(seen.classes, "u1")]
    marks = np.frombuffer(seen.marks, "u1")
    for name, n in [
        *pd.Series(categories).value_counts().items(),
        *pd.Series(classes).value_counts().items(),
    ]:
        assert count_of(page, str(name)) == n, name
    assert count_of(page, "kept") == (marks >= 2).sum() > 0
    assert count_of(page, "above") == (frame.kl >= seen.tau).sum()
    assert count_of(page, "top1") == sum(
        s[0] != t[0] for s, t in zip(frame.student_top_ids, frame.teacher_top_ids, strict=True)
    )
    toggle(page, "kept").click()
    toggle(page, "digit").click()
    tab.wait_for_url(only="kept", light="digit")
    wanted = (marks >= 2) & (categories == "digit")
    playwright.expect(page.locator(".result")).to_contain_text(
        f"{wanted.sum()} of {len(frame)} tokens pass"
    )
    for rest, layer in (("dim", "dim"), ("hide", "gone"), ("underline", "lit")):
        page.get_by_label("What to do with tokens").select_option(rest)
        held = np.array([layer in c for c in layers(page)])
        assert (held == (wanted if rest == "underline" else ~wanted)).all()
    tab.wait_for_url(rest="underline")


def test_a_verdict_that_comes_late_always_reaches_the_text(tab: Tab) -> None:
    # rules that nobody has asked for: worked out while the page mounts its parts in any order
    for i in range(1, 7):
        page = read(tab, f"run=tiny&source=final&rollout=1&step=20&rule={LENIENT}{i}")
        playwright.expect(toggle(page, "undecided")).to_be_visible()


def test_filters_that_nothing_passes_say_so_and_can_be_cleared(tab: Tab) -> None:
    page = read(tab, "run=tiny&source=final&rollout=1&step=20&light=special&cut=kl:19&only=above")
    playwright.expect(page.locator(".result")).to_contain_text("No token passes all of them")
    page.get_by_role("button", name="Clear").click()
    playwright.expect(page.locator(".result")).to_have_text("")
    assert not any("dim" in c for c in layers(page))


def test_the_card_names_values_units_class_and_the_curve_over_steps_and_can_be_pinned(
    tab: Tab, folder: Path
) -> None:
    page = read(tab, "run=tiny&source=final&rollout=1&step=10")
    page.locator(".response .t").nth(4).hover()
    card = page.locator(".reading .card")
    frame = Run.open(folder / "tiny").trace(10, 1, "final")
    playwright.expect(card.locator(".token")).to_have_text(words.visible(frame.token[4]))
    playwright.expect(card.locator(".where")).to_contain_text(
        f"id {frame.token_id[4]} · position 4 of {len(frame)}"
    )
    playwright.expect(card.locator(".where")).to_contain_text("class: ")
    playwright.expect(card).to_contain_text("top-8 + tail")
    playwright.expect(card.locator(".spark .here")).to_have_count(1)
    playwright.expect(card.locator("figcaption")).to_contain_text("step 10")
    playwright.expect(card.locator("ol.teacher .row.sampled")).to_have_count(1)
    page.locator(".response .t").nth(4).click()
    page.keyboard.press("p")
    page.locator(".response .t").nth(9).click()
    page.keyboard.press("p")
    playwright.expect(page.locator(".pins .card")).to_have_count(2)
    page.locator(".pins .card").first.get_by_role("button", name="Unpin").click()
    playwright.expect(page.locator(".pins .token")).to_have_text([words.visible(frame.token[9])])


def top_of_text(page: playwright.Page) -> float:
    return page.locator(".response .t").first.evaluate("t => t.getBoundingClientRect().top")


def test_pins_and_the_place_found_do_not_move_the_text_and_are_in_the_link(
    tab: Tab, browser: playwright.Browser
) -> None:
    tab.page.set_viewport_size({"width": 1280, "height": 800})
    tab.open("/trace?run=tiny&source=final&rollout=1&step=20&light=digit")
    page = tab.page
    playwright.expect(page.locator(".response .t").first).to_be_visible()
    tab.rest()
    before = top_of_text(page)
    assert before < 700, "the text begins on the first screen, without scrolling"
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the text"
    page.keyboard.press("Enter")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("p")
    playwright.expect(page.locator(".pins .card")).to_have_count(2)
    page.keyboard.press("/")
    page.keyboard.type("e")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    tab.wait_for_url(find="e", hit="2", light="digit")
    assert tab.parameters["pins"] == "final.1:1,2"
    page.locator(".stMain").evaluate("main => main.scrollTo(0, 0)")
    page.wait_for_function(
        "before => Math.abs(rockPanes.get('token pane').spans[0].getBoundingClientRect().top"
        " - before) < 1",
        arg=before,
    )
    tab.settle()
    other = browser.new_context(viewport={"width": 1280, "height": 800})
    copy = Tab(other.new_page(), tab.server)
    copy.open(page.url.removeprefix(tab.server))
    texts = ".pins .token, .hits, .fold, .reading > .side > .card .where"
    playwright.expect(copy.page.locator(".hits")).to_have_text(re.compile("2 of"))
    copy.settle()
    assert copy.page.locator(texts).all_inner_texts() == page.locator(texts).all_inner_texts()
    assert layers(copy.page) == layers(page)
    other.close()


def test_a_threshold_moved_by_hand_only_marks_and_can_become_the_rules_tau_and_back(
    tab: Tab, folder: Path
) -> None:
    page = read(tab, "run=tiny&source=final&rollout=1&step=20")
    tau = data.rocks.taus(key(folder, "tiny"), data.rocks.rule("default"))["tau_post"]
    count, hand = page.locator(".count"), page.locator(".hand")
    playwright.expect(count).to_contain_text(f"τ = {tau:.2f} nats")
    playwright.expect(hand).to_be_hidden()
    page.locator(".handle").focus()
    page.keyboard.press("ArrowRight")
    playwright.expect(count).to_contain_text("≥ ")
    playwright.expect(hand).to_contain_text("it only marks the text")
    cut = float(page.locator(".handle").get_attribute("aria-valuenow"))
    page.wait_for_url(re.compile("cut=kl"))
    tab.settle()
    hand.get_by_role("button", name="Use as the rule's τ").click()
    playwright.expect(hand).to_contain_text("The rule's τ is")
    playwright.expect(count).to_contain_text("τ = ")
    tab.settle()
    rule = data.rocks.rule(tab.parameters["rule"])
    assert (rule.tau_pre, rule.tau_post) == (cut, cut) and "cut" not in tab.parameters
    hand.get_by_role("button", name="Undo").click()
    playwright.expect(count).to_contain_text(f"τ = {tau:.2f} nats")
    tab.settle()
    assert "rule" not in tab.parameters
    read(tab, "run=tiny&source=final&rollout=1&step=20&rule=default;post_step=7")
    playwright.expect(count).to_contain_text("which 90 % of the run's tokens lie below")
    assert "τ" not in page.locator(".pane .legend").inner_text(), "a rule that cannot be has none"


def test_a_link_to_a_token_opens_it_with_its_card_in_view(
    tab: Tab, browser: playwright.Browser
) -> None:
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = read(tab, "run=long&source=final&step=20&light=digit&signal=sampled_loss")
    page.locator(".response .t[tabindex='0']").focus()
    page.keyboard.press("End")
    playwright.expect(page.locator(".reading .where")).to_contain_text(f"position {LONG - 1} of")
    page.keyboard.press("l")
    playwright.expect(page.locator(".told")).to_contain_text("copied")
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert f"token_at={LONG - 1}" in link and "light=digit" in link
    tab.wait_for_url(token_at=str(LONG - 1))
    other = browser.new_context(viewport={"width": 1280, "height": 900})
    copy = Tab(other.new_page(), tab.server)
    read_link = link.removeprefix(tab.server)
    copy.open(read_link)
    playwright.expect(copy.page.locator(".reading .where")).to_contain_text(
        f"position {LONG - 1} of"
    )
    playwright.expect(copy.page.locator(f".t[data-i='{LONG - 1}']")).to_be_in_viewport()
    playwright.expect(copy.page.locator(f".t[data-i='{LONG - 1}'][aria-selected]")).to_have_count(1)
    other.close()


def test_keys_go_to_rocks_rollouts_places_and_help(tab: Tab, folder: Path) -> None:
    page = read(tab, f"run=tiny&source=final&rollout=1&step=20&rule={LENIENT}")
    run = key(folder, "tiny")
    marks = data.rocks.preview(run, data.rocks.rule(LENIENT), 1, 20)["marks"]
    rocks = [i for i, m in enumerate(marks) if m == 3]
    page.locator(".response .t[tabindex='0']").focus()
    where = page.locator(".reading .where")
    first = next(i for i in rocks if i > 0)
    page.keyboard.press("n")
    playwright.expect(where).to_contain_text(f"position {first} of")
    page.keyboard.press("n")
    playwright.expect(where).to_contain_text(f"position {rocks[rocks.index(first) + 1]} of")
    page.keyboard.press("N")
    playwright.expect(where).to_contain_text(f"position {first} of")
    label = page.locator(f".t[data-i='{first}']").get_attribute("aria-label")
    assert "KL" in label and "nats" in label and "recurring" in label
    page.keyboard.press("/")
    page.keyboard.type("boxed")
    n = sum(t == "\\boxed" for t in Run.open(run.path).trace(20, 1, "final").token)
    playwright.expect(page.locator(".hits")).to_have_text(f"{n} found")
    page.keyboard.press("Enter")
    playwright.expect(page.locator(".reading .token")).to_have_text("\\boxed")
    assert sum("found" in c for c in layers(page)) == n
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    playwright.expect(page.get_by_role("dialog")).to_contain_text("next / previous Rock Token")
    page.keyboard.press("Escape")
    playwright.expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("k")
    tab.wait_for_url(rollout="2")
    playwright.expect(page.locator(".legend .about")).to_contain_text("rollout 2")
    page.keyboard.press("j")
    tab.wait_for_url(rollout="1")


def contrast(one: str, other: str) -> float:
    """Of two colours as "rgb(r, g, b)". Source: WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


# Every fill there is, in the pane's own style sheet: the colours of fills, of lines and their beds.
EVERY_FILL = """(palette) => {
    const { layers, view, spans, id, root } = rockPanes.get('token pane');
    layers.restyle({ ...view, palette });
    const style = (layer) => getComputedStyle(spans[0], `::highlight(${id}-${layer})`);
    const line = (layer) => style(layer).textDecorationColor;
    const lines = Object.keys(layers.on);
    const page = document.createElement('i');
    page.style.color = 'var(--st-background-color)';
    root.append(page);
    return { page: getComputedStyle(page).color,
        fills: palette.flatMap((fill, b) => fill ? [style(`f${b}`).backgroundColor] : []),
        lines: Object.fromEntries(lines.map((name) => [name, [line(name), line(`${name}-bed`)]])) };
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_line_below_a_token_is_seen_on_every_fill_and_on_the_page(
    tab: Tab, theme: str
) -> None:
    tab.page.emulate_media(color_scheme=theme)
    page = read(tab, "run=tiny&source=final&rollout=1")
    tab.rest()
    every = [
        {"kind": "sequential", "edges": [0] * len(colours.SEQUENTIAL)},
        {"kind": "diverging", "edges": [0] * (len(colours.DIVERGING) - 1)},
        {"kind": "class", "edges": []},
        {"kind": "flag", "edges": [0.5]},
    ]
    for scale in every:
        fills = token_pane.fills(scale)
        seen = page.evaluate(EVERY_FILL, fills)
        assert len(set(seen["fills"])) == sum(fill is not None for fill in fills) > 0
        assert set(seen["lines"]) == {"cut", "m1", "m2", "m3", "lit", "found"}
        for line, bed in seen["lines"].values():
            assert contrast(line, seen["page"]) >= 3
            assert contrast(line, bed) >= 3
            assert all(max(contrast(line, f), contrast(bed, f)) >= 3 for f in seen["fills"])


def rows_below(page: playwright.Page, tokens: str, painter: playwright.Page) -> list[float]:
    """Of each of the `tokens`, an expression, the share of its width that stands out from the page
    by 3:1 in the fullest row of pixels right below its box. `painter` may load a picture.
    """
    page.mouse.move(1, 1)
    boxes = page.evaluate(
        f"() => {tokens}.map(s => s.getClientRects()[0]).filter(r => r.width > 6)"
        ".map(r => [r.left + 1, r.bottom + 1, r.width - 2])"
    )
    shot = base64.b64encode(page.screenshot(animations="disabled")).decode()
    rows = painter.evaluate(
        f"""async ([shot, boxes]) => {{ {DECODE}
            const read = (...at) => {{
                const d = canvas.getImageData(...at.map(Math.round)).data;
                const pixel = (i) => `rgb(${{d[4 * i]}}, ${{d[4 * i + 1]}}, ${{d[4 * i + 2]}})`;
                return Array.from({{ length: d.length / 4 }}, (_, i) => pixel(i));
            }};
            const depths = [0, 1, 2, 3, 4, 5];
            return boxes.map(([x, y, w]) => depths.map((depth) => read(x, y + depth, w, 1))) }}""",
        [shot, boxes],
    )
    ground = page.evaluate(
        "() => getComputedStyle(document.querySelector('[data-testid=stApp]')"
        " ?? document.documentElement).backgroundColor"
    )
    known: dict[str, bool] = {}
    stands_out = lambda c: known.setdefault(c, contrast(c, ground) >= 3)  # noqa: E731
    return [max(sum(map(stands_out, row)) / len(row) for row in token) for token in rows]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_rocks_are_underlined_below_their_box_on_the_page_and_in_an_export(
    tab: Tab, browser: playwright.Browser, theme: str
) -> None:
    tab.page.set_viewport_size({"width": 1280, "height": 1400})
    tab.page.emulate_media(color_scheme=theme)
    page = read(tab, "run=habit&source=final")
    toggle(page, "kept").wait_for()
    tab.rest()
    pane = "rockPanes.get('token pane')"
    found = rows_below(page, f"{pane}.spans.filter((_, i) => {pane}.marks[i] === 3)", page)
    assert found and min(found) > 0.9
    with page.expect_download() as download:
        page.locator(".export.html").click()
    file = Path(download.value.path())
    context = browser.new_context(color_scheme=theme, viewport={"width": 900, "height": 900})
    alone = context.new_page()
    alone.goto(file.rename(file.with_suffix(".html")).as_uri())
    exported = rows_below(alone, "[...document.querySelectorAll('.t:has(u.m3)')]", page)
    assert len(exported) == len(found) and min(exported) > 0.9
    context.close()


def legend(page: playwright.Page, root: str = "") -> dict[str, str]:
    """Look of a line -> what the legend says of it."""
    lines = page.locator(f"{root} .lines li").all_inner_texts()
    return dict(line.split(": ", 1) for line in lines)


def test_the_legend_says_what_every_line_means_in_trace_in_the_lab_and_in_compare(tab: Tab) -> None:
    page = read(tab, "run=habit&source=final&light=digit,latex")
    toggle(page, "kept").wait_for()
    tab.rest()
    shown = legend(page)
    assert {"thin", "dashed", "thick", "faint"} == set(shown)
    assert "threshold" in shown["thin"] and "in the set" in shown["thick"]
    assert shown["faint"] == "not digit or latex"
    page.get_by_label("What to do with tokens").select_option("underline")
    assert legend(page)["double"] == "digit or latex"
    page.locator(".tools .search").fill("e")
    assert "search" in legend(page)["wavy"]
    used = {name for layer in layers(page) for name in layer if not re.fullmatch(r"f\d+", name)}
    names = page.locator(".lines u:not([class$='-bed'])").evaluate_all(
        "us => us.map(u => u.className)"
    )
    assert used <= set(names), "a line that no legend explains"
    tab.open("/threshold_lab?run=habit")
    playwright.expect(tab.page.locator(".lines li")).to_have_count(6)
    assert {"dotted", "dashed", "thick"} == set(legend(tab.page))
    tab.open("/compare?run=tiny&run_b=sorted&source=final")
    playwright.expect(tab.page.locator(".lines li")).to_have_count(2)
    assert tab.page.locator(".lines li").all_inner_texts() == [
        "double: only in A",
        "double: only in B",
    ]


@pytest.mark.parametrize("kind", ["html", "svg"])
def test_an_exported_view_opens_offline_runs_nothing_and_shows_the_same_text(
    tab: Tab, browser: playwright.Browser, kind: str
) -> None:
    page = read(tab, "run=nasty&source=final&step=20&light=digit")
    toggle(page, "kept").wait_for()
    tab.rest()
    with page.expect_download() as download:
        page.locator(f".export.{kind}").click()
    file = Path(download.value.path())
    target = file.rename(file.with_suffix(f".{kind}"))
    context = browser.new_context(offline=True)
    alone = context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(target.as_uri())
    assert (
        alone.locator(".response .t").evaluate_all("spans => spans.map(s => s.textContent)")
        == tab.tokens()
    )
    assert asked == [target.as_uri()]
    assert legend(alone) == legend(page) != {}
    bottom = alone.locator(".response").evaluate("r => r.getBoundingClientRect().bottom + scrollY")
    assert kind == "html" or bottom <= float(alone.locator("svg").get_attribute("height") or "nan")
    assert alone.locator("script, img, iframe").count() == 0 and "owned" not in alone.title()
    colours = "spans => spans.map(s => getComputedStyle(s).backgroundColor)"
    assert len(set(alone.locator(".response .t").evaluate_all(colours))) > 2
    context.close()


def test_a_picture_of_the_view_has_its_colours_and_one_too_tall_is_refused_with_a_way_out(
    tab: Tab,
) -> None:
    page = read(tab, "run=nasty&source=final&step=20")
    with page.expect_download() as download:
        page.locator(".export.png").click()
    shot = base64.b64encode(Path(download.value.path()).read_bytes()).decode()
    colours = page.evaluate(
        f"""async (shot) => {{ {DECODE}
            const {{ buffer }} = canvas.getImageData(0, 0, image.width, image.height).data;
            return new Set(new Uint32Array(buffer).map((pixel) => pixel & 0xffffff)).size; }}""",
        shot,
    )
    assert colours > 20, "an empty canvas has one colour"
    page = read(tab, "run=long&source=final&step=20")
    page.locator(".export.png").click()
    playwright.expect(page.locator(".told")).to_contain_text("save it as SVG or HTML")


def test_what_was_selected_in_steps_is_marked_counted_and_lifted(tab: Tab, folder: Path) -> None:
    frame = Run.open(folder / "tiny").trace(10, 1, "final")
    types = frame.token_id.iloc[[5, 9]].tolist()
    page = read(
        tab, f"run=tiny&source=final&rollout=1&step=10&span=4-20&types={types[0]},{types[1]}"
    )
    of_types = frame.token_id.isin(types)
    both = int(of_types[4:21].sum())
    selected = page.locator(".selected .toggle")
    playwright.expect(selected).to_have_text(
        ["positions 4–20 17 ×", f"2 token types {int(of_types.sum())} ×"]
    )
    playwright.expect(page.locator(".filters .result")).to_have_text(
        f"{both} of {len(frame)} tokens pass."
    )
    selected.first.click()
    playwright.expect(page.locator(".filters .result")).to_have_text(
        f"{int(of_types.sum())} of {len(frame)} tokens pass."
    )
    page.wait_for_url(lambda url: "span" not in url)
    assert tab.parameters["types"] == f"{types[0]},{types[1]}"
    page.get_by_role("button", name="Clear").click()
    playwright.expect(page.locator(".selected")).to_have_count(0)


def test_hostile_tokens_are_text_everywhere_in_the_pane(tab: Tab) -> None:
    page = read(tab, "run=nasty&source=final&step=20")
    shown = set(tab.tokens())
    assert {w for w in (*HOSTILE, *NASTY) if w.isprintable()} <= shown
    assert page.locator(".response :not(.t, .newline)").count() == 0
    for i in range(0, len(WORDS) + len(NASTY), 3):
        page.evaluate(
            "i => { const p = rockPanes.get('token pane'); p.spans[i].dispatchEvent(new "
            "PointerEvent('pointerover', { bubbles: true })) }",
            i,
        )
        assert page.locator(".card script, .card img, .card style").count() == 0
    assert "owned" not in page.title()


def test_a_hundred_thousand_tokens_are_read_stepped_and_searched(tab: Tab) -> None:
    page = read(tab, "run=windowed&source=final&step=20")
    assert page.evaluate("() => rockPanes.get('token pane').spans.length") == WINDOWED
    assert page.locator(".response .block").count() > 100
    playwright.expect(page.locator(".count")).to_contain_text(f"of {WINDOWED:,} tokens")
    playwright.expect(toggle(page, "top1")).to_be_disabled()
    assert "No alternatives are logged for this text" in (
        toggle(page, "top1").get_attribute("title") or ""
    )
    page.locator(".response .t[tabindex='0']").focus()
    page.keyboard.press("End")
    playwright.expect(page.locator(f".t[data-i='{WINDOWED - 1}']")).to_be_in_viewport()
    page.keyboard.press("[")
    tab.wait_for_url(step="10", token_at=str(WINDOWED - 1))


def test_a_rerun_ships_less_than_a_megabyte(tab: Tab) -> None:
    sizes: list[int] = []
    tab.page.on(
        "websocket", lambda ws: ws.on("framereceived", lambda payload: sizes.append(len(payload)))
    )
    page = read(tab, "run=long&source=final&step=20")
    assert sum(sizes) > 150_000, "the text has come"
    sizes.clear()
    page.locator(".response .t").nth(3).click()
    tab.wait_for_url(token_at="3")
    assert 0 < sum(sizes) < 150_000, "the text came again"
    sizes.clear()
    page.keyboard.press("[")
    tab.wait_for_url(step="10")
    assert 0 < sum(sizes) < 1_000_000


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("source=final&signal=weight", "a probe text has no weight"),
        ("source=fresh&signal=jensen_shannon", "Alternatives are logged for probe texts only"),
        ("source=fresh&signal=persistence", "exists at one step only"),
        ("source=final&signal=rock class&rule=default;post_step=7", "post_step = 7"),
    ],
)
def test_what_cannot_be_coloured_says_why(tab: Tab, query: str, says: str) -> None:
    page = read(tab, f"run=tiny&rollout=1&{query}")
    playwright.expect(page.locator(".count")).to_contain_text(says)


@pytest.mark.parametrize(
    "signal",
    ["sampled_loss", "weight", "persistence", "rock class", "reverse_kl", "top1_disagreement"],
)  # one a kind
def test_a_signal_of_every_kind_can_be_shown(tab: Tab, signal: str) -> None:
    page = read(
        tab, f"run=habit&source={'fresh' if signal == 'weight' else 'final'}&signal={signal}"
    )
    playwright.expect(page.locator(".legend .name")).to_contain_text(
        data.texts.SPOKEN.get(signal, signal)
    )
    if signal == "rock class":
        playwright.expect(
            page.locator(".legend .class").first
        ).to_be_visible()  # once the rule has been worked out
    if signal != "weight":
        assert any(re.fullmatch(r"f\d+", c) for cs in layers(page) for c in cs)


def test_only_text_near_the_screen_is_in_highlights_and_scrolling_brings_in_the_rest(
    tab: Tab,
) -> None:
    page = read(tab, "run=long&source=final&step=20")
    held = """() => { const p = rockPanes.get('token pane');
        const own = [...CSS.highlights].filter(([k]) => k.startsWith(p.id + '-'));
        return own.map(([, h]) => h.size) }"""
    assert 0 < sum(page.evaluate(held)) < LONG / 2
    last = page.locator(f".t[data-i='{LONG - 1}']")
    last.scroll_into_view_if_needed()
    page.wait_for_function(
        """() => { const { id, layers } = rockPanes.get('token pane');
            const i = layers.fill.findLastIndex(Boolean);
            return CSS.highlights.get(`${id}-${layers.fill[i]}`)?.has(layers.ranges[i]) }"""
    )


def test_the_two_panes_of_the_lab_keep_their_colours_apart(tab: Tab) -> None:
    tab.open("/threshold_lab?run=habit")
    playwright.expect(tab.page.locator(".response")).to_have_count(2)
    found = tab.page.evaluate(
        """() => ['preview before', 'preview after'].map(name => { const p = rockPanes.get(name);
            const own = [...CSS.highlights.keys()].filter(k => k.startsWith(p.id + '-'));
            return [p.id, p.spans.length, own.length,
                    p.spans.filter((_, i) => p.layers.classes(i).includes('m3')).length] })"""
    )
    assert found[0][0] != found[1][0] and found[0][1] == found[1][1]
    assert all(n > 3 for _, _, n, _ in found) and found[0][3] == found[1][3] > 0


@pytest.mark.parametrize(
    "text", ["kl:0.5", "rock class:3", "sampled_loss:-0.25", "kl:1e-7", "kl:5"]
)
def test_a_threshold_in_a_link_is_taken(text: str) -> None:
    assert token_pane.is_cut(text)


@pytest.mark.parametrize("text", ["", "kl", "kl:", "kl:nan", "kl:inf", "<b>:1", "kl:1;x"])
def test_what_is_no_threshold_is_not(text: str) -> None:
    assert not token_pane.is_cut(text)
