"""The histogram with draggable thresholds, in a real browser, on a page of its own that keeps what
it is told.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chrome import Tab, serving_page
from conftest import HOSTILE
from playwright.sync_api import Locator, expect

from app.components.loss_histogram import BadHistogram, Histogram, show
from rockcore.schema import KL_EDGES

RNG = np.random.default_rng(0)
BEFORE = np.bincount(
    np.searchsorted(KL_EDGES, RNG.lognormal(-4, 3, 5_000), side="right"), minlength=64
)
AFTER = np.bincount(
    np.searchsorted(KL_EDGES, RNG.lognormal(-6, 3, 4_000), side="right"), minlength=64
)
EDGES = KL_EDGES.tolist()
BOTH = {"before": BEFORE.tolist(), "after": AFTER.tolist()}
MOVING = {"moving": (BOTH, {"tau_pre": EDGES[30], "tau_post": 0.3})}
STILL = {
    "equal": (BOTH, {"tau_pre": 20.0, "tau_post": 20.0}),
    "single": ({"step 0": BEFORE.tolist()}, {"tau_pre": EDGES[40]}),
    "nothing": ({"before": [0] * 64, "after": [0] * 64}, {"tau_pre": 0.1, "tau_post": 0.1}),
    "outside": (BOTH, {"tau_pre": 0.0, "tau_post": 45.0}),
    "hostile": ({text: BEFORE.tolist() for text in HOSTILE[:2]}, {"tau_pre": 0.1, "tau_post": 0.2}),
}
# Elsewhere on the page: a button that sets other thresholds, and a switch that links them.
SCRIPT = """
import json, sys
sys.path.insert(0, ROOT)
import streamlit as st
from app.components.loss_histogram import Histogram, Numbers, show

st.set_page_config(layout="wide")

def moved():
    told = dict(st.session_state["moving"]["moved"])
    if (gesture := told.pop("gesture")) != st.session_state.get("gesture"):
        st.session_state["gesture"] = gesture
        st.session_state["earlier"] = st.session_state["thresholds"]
    st.session_state["thresholds"] = told

def told_at(tau_pre, tau_post):
    return [1000 - sum(edge <= tau_pre for edge in EDGES), round(tau_post, 1), None]

def numbers(thresholds):
    # what follows from tau_pre is sent along, of tau_post it is not
    told = [told_at(edge, thresholds["tau_post"]) for edge in EDGES]
    course = {"moved": ["tau_pre"], "at": EDGES, "numbers": list(zip(*told))}
    earlier = st.session_state.get("earlier")
    before = earlier and told_at(**earlier)
    about = ["Occurrences", "% of KL", "% of gradient"], [0, 1, 1], ["", " %", " %"]
    return Numbers(*about, told_at(**thresholds), before, [course])

def elsewhere():
    st.session_state["thresholds"] = {"tau_pre": 1.0, "tau_post": 2.0}

for key, (series, thresholds) in (STILL if "still" in st.query_params else MOVING).items():
    if key == "moving":
        thresholds = st.session_state.setdefault("thresholds", thresholds)
    linked = key == "moving" and st.toggle("Linked")
    with st.container(key=f"holds {key}"):
        bins = Histogram(EDGES, series, "nats")
        more = numbers(thresholds) if "numbers" in st.query_params else None
        show(key, bins, thresholds, linked, f"Run {key}. {HOSTILE[1]}", moved, more)
    st.button("Elsewhere", on_click=elsewhere, key=f"button {key}")
    st.html("<b class=python>" + json.dumps(thresholds) + "</b>")
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("histogram")
    known = {
        "ROOT": str(Path(__file__).parents[2]),
        "MOVING": MOVING,
        "STILL": STILL,
        "EDGES": EDGES,
        "HOSTILE": HOSTILE,
    }
    (folder / "page.py").write_text(
        "".join(f"{name} = {value!r}\n" for name, value in known.items()) + SCRIPT, encoding="utf-8"
    )
    with serving_page(folder) as address:
        yield address


def handle(tab: Tab, look: str) -> Locator:
    return tab.page.locator(f".handle.{look}")


def now(tab: Tab, look: str) -> float:
    return float(handle(tab, look).get_attribute("aria-valuenow") or "nan")


def grab(tab: Tab, look: str) -> tuple[float, float]:
    """Press the pointer down on a grip; where that is."""
    box = tab.box(handle(tab, look).locator(".grip"))
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.page.mouse.move(x, y)
    tab.page.mouse.down()
    return x, y


def wait_for_python(tab: Tab, **thresholds: float) -> None:
    expect(tab.page.locator(".python")).to_have_text(json.dumps(thresholds))
    tab.settle()


def test_dragging_counts_at_once_and_tells_python_where_the_handle_went(tab: Tab) -> None:
    tab.open("/")
    grab(tab, "second")
    tab.page.mouse.up()
    assert now(tab, "second") == 0.3, "a press is no move"
    tab.page.locator("path.bars").first.evaluate("path => path.marked = true")
    x, y = grab(tab, "first")
    started = time.monotonic()
    tab.page.evaluate("""() => {
        window.told = 0;
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (...message) {
            window.told++;
            return send.apply(this, message);
        };
    }""")
    tab.page.mouse.move(x + 100, y, steps=20)
    expect(tab.page.locator(".counts li").first).to_contain_text("before: about")
    tab.page.mouse.up()
    most = (time.monotonic() - started) / 0.12 + 2
    value = now(tab, "first")
    assert value > EDGES[30]
    assert value == float(f"{value:.3g}")
    wait_for_python(tab, tau_pre=value, tau_post=0.3)
    assert 1 <= tab.page.evaluate("window.told") <= most
    assert tab.page.locator("path.bars").first.evaluate("path => path.marked"), (
        "the bars were drawn anew"
    )


def test_keys_move_by_edges_count_exactly_and_never_jump_back_to_an_older_answer(tab: Tab) -> None:
    tab.open("/")
    first = handle(tab, "first")
    line = tab.page.locator(".counts li").first
    walk = {
        "ArrowRight": 31,
        "PageDown": 21,
        "Shift+ArrowRight": 31,
        "ArrowLeft": 30,
        "End": 62,
        "ArrowUp": 62,
        "Home": 0,
    }
    for key, edge in walk.items():
        first.press(key)
        assert now(tab, "first") == EDGES[edge]
        n, total = int(BEFORE[edge + 1 :].sum()), int(BEFORE.sum())
        expect(line).to_have_text(
            re.compile(rf"^before: {n:,} of {total:,} tokens \([\d.]+ %\) at or above τ_pre$")
        )
    wait_for_python(tab, tau_pre=EDGES[0], tau_post=0.3)
    expect(first).to_have_attribute(
        "aria-valuetext", re.compile(r"^0\.0001 nats; before: [\d,]+ of")
    )
    first.evaluate("""handle => {
        window.seen = [];
        const note = () => window.seen.push(Number(handle.getAttribute("aria-valuenow")));
        new MutationObserver(note).observe(handle, { attributes: true });
    }""")
    for _ in range(20):
        first.press("ArrowRight")
    wait_for_python(tab, tau_pre=EDGES[20], tau_post=0.3)
    seen = tab.page.evaluate("window.seen")
    assert len(seen) > 1 and seen == sorted(seen)
    assert now(tab, "first") == EDGES[20]
    expect(first).to_be_focused()


def test_python_moves_the_handles_but_not_out_of_a_hand(tab: Tab) -> None:
    tab.open("/")
    elsewhere = tab.page.get_by_role("button", name="Elsewhere")
    elsewhere.click()
    expect(handle(tab, "first")).to_have_attribute("aria-valuenow", "1")
    expect(handle(tab, "second").locator(".label")).to_have_text("τ_post 2 nats")
    x, y = grab(tab, "first")
    tab.page.mouse.move(x - 200, y)
    held = now(tab, "first")
    wait_for_python(tab, tau_pre=held, tau_post=2)
    elsewhere.evaluate("button => button.click()")
    wait_for_python(tab, tau_pre=1.0, tau_post=2.0)
    assert now(tab, "first") == held < 1
    tab.page.mouse.up()
    wait_for_python(tab, tau_pre=held, tau_post=2)


def test_linked_thresholds_are_one_handle_that_moves_both(tab: Tab) -> None:
    tab.open("/")
    tab.page.get_by_text("Linked").click()
    expect(tab.page.locator(".handle")).to_have_count(1)
    x, y = grab(tab, "both")
    tab.page.mouse.move(x + 150, y, steps=5)
    tab.page.mouse.up()
    value = now(tab, "both")
    assert value > EDGES[30]
    wait_for_python(tab, tau_pre=value, tau_post=value)
    expect(tab.page.locator(".counts li").nth(1)).to_contain_text("at or above τ_pre = τ_post")


# In one task of the browser: no answer of Python can come between.
PRESSED = """(handle, key) => {
    handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const texts = (part) => [...handle.getRootNode().querySelectorAll(`.reading ${part}`)]
        .map(node => node.textContent);
    return [texts(".value"), texts(".delta"), handle.getAttribute("aria-valuetext")];
}"""


def test_what_follows_from_a_threshold_is_told_before_python_answers_and_stays(tab: Tab) -> None:
    tab.open("/?numbers")
    first, second = handle(tab, "first"), handle(tab, "second")
    values, deltas = tab.page.locator(".reading .value"), tab.page.locator(".reading .delta")
    expect(values).to_have_text(["969", "0.3 %", "not logged"])
    expect(deltas).to_have_text(["", "", ""])
    texts, moved, said = first.evaluate(PRESSED, "ArrowRight")
    assert texts == ["968", "0.3 %", "not logged"] and moved == ["−1", "", ""]
    assert "Occurrences 968; % of KL 0.3 %" in said
    wait_for_python(tab, tau_pre=EDGES[31], tau_post=0.3)
    expect(values).to_have_text(texts)
    expect(deltas).to_have_text(moved)
    x, y = grab(tab, "first")
    tab.page.mouse.move(x + 47, y, steps=5)
    value = now(tab, "first")
    assert value in EDGES, "a drag stands where the numbers are known"
    shown = values.all_inner_texts()
    assert shown[0] == f"{1000 - EDGES.index(value) - 1}"
    tab.page.mouse.up()
    wait_for_python(tab, tau_pre=value, tau_post=0.3)
    expect(values).to_have_text(shown)
    texts, moved, _ = second.evaluate(PRESSED, "End")
    assert texts == ["…"] * 3 and moved == [""] * 3, "a number of other thresholds"
    expect(values).to_have_text([shown[0], "20.0 %", "not logged"])
    expect(deltas).to_have_text(["", "+19.7", ""])
    expect(tab.page.locator(".readings")).to_have_attribute("aria-busy", "false")


def chart(tab: Tab, case: str) -> Locator:
    chart = tab.page.locator(f".st-key-holds-{case} .chart")
    expect(chart.locator(".handle").first).to_be_visible()
    return chart


def test_labels_of_equal_thresholds_stand_apart_and_inside_at_any_width(tab: Tab) -> None:
    tab.open("/?still")
    equal = chart(tab, "equal")
    for viewport, width in ((1280, 1120), (332, 300)):
        tab.page.set_viewport_size({"width": viewport, "height": 900})
        expect(equal.get_by_text("≥ 20")).to_have_attribute("x", str(width - 8))
        parts = [".plot", ".first .label", ".second .label", ".first .grip", ".second .grip"]
        plot, a, b, upper, lower = [
            box for part in parts if (box := equal.locator(part).bounding_box())
        ]
        assert plot["x"] <= a["x"]
        assert a["x"] + a["width"] <= b["x"]
        assert b["x"] + b["width"] <= plot["x"] + plot["width"]
        assert upper["y"] + upper["height"] <= lower["y"], "one grip hides the other"
        overflow = (
            "nodes => nodes.filter(node => node.scrollWidth > node.clientWidth)"
            ".map(node => node.className)"
        )
        assert tab.page.locator("html, .chart, .counts, .caption").evaluate_all(overflow) == []
        ticks = equal.locator(".plot text").evaluate_all(
            "texts => texts.map(text => text.textContent)"
        )
        assert {"< 0.0001", "0.001", "0.01", "0.1", "1", "≥ 20"} <= set(ticks)


def test_edge_cases_are_said_in_words_and_hostile_text_stays_text(tab: Tab) -> None:
    tab.open("/?still")
    nothing = chart(tab, "nothing")
    expect(nothing.locator("text.empty")).to_have_text("Nothing logged")
    expect(nothing.locator(".counts li")).to_have_text(
        ["before: nothing logged", "after: nothing logged"]
    )
    total = f"{BEFORE.sum():,}"
    single = chart(tab, "single").locator(".counts li")
    expect(single).to_have_text([re.compile(rf"^step 0: {BEFORE[41:].sum():,} of {total} tokens")])
    outside = chart(tab, "outside")
    expect(outside.locator(".label")).to_have_text(["τ_pre 0 nats", "τ_post 45 nats"])
    expect(outside.locator(".counts li").first).to_contain_text(
        f"before: at least {BEFORE[1:].sum():,} of {total}"
    )
    expect(outside.locator(".handle.second")).to_have_attribute("aria-valuenow", "20")
    hostile = chart(tab, "hostile")
    expect(hostile.locator(".caption")).to_contain_text(HOSTILE[1])
    expect(hostile.locator(".counts li").first).to_contain_text(HOSTILE[0])
    assert tab.page.locator(".chart :is(img, script)").count() == 0
    assert "owned" not in tab.page.title()
    drawn = tab.page.locator(".chart").evaluate_all(
        "charts => charts.map(chart => chart.outerHTML).join()"
    )
    assert "NaN" not in drawn
    assert "undefined" not in drawn


@pytest.mark.parametrize(
    ("edges", "series"),
    [
        ([0.1], {}),
        ([0.0, 1.0], {}),
        ([1.0, 0.1], {}),
        ([0.1, 1.0], {"a": [1, 2]}),
        ([0.1, 1.0], dict.fromkeys("abc", [1, 2, 3])),
    ],
)
def test_bins_that_cannot_be_drawn_are_refused(
    edges: list[float], series: dict[str, list[int]]
) -> None:
    with pytest.raises(BadHistogram):
        Histogram(edges, series, "nats")


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadHistogram, match="finite"):
        show(
            "key",
            Histogram([0.1, 1.0], {}, "nats"),
            {"tau_pre": float("nan")},
            False,
            "",
            lambda: None,
        )
