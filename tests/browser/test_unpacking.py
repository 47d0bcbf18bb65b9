"""What Python packs, as the browser unpacks it: number by number, in a page of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import playwright.sync_api as playwright
import pytest
from conftest import HOSTILE
from sent import content

from app.components import script
from app.components.packing import Array, message, pack

RNG = np.random.default_rng(0)
OPEN = """text => unpacked(headAndBody(Uint8Array.from(atob(text), c => c.charCodeAt(0))).body)
    .then(said => JSON.parse(JSON.stringify(said, (_, x) => ArrayBuffer.isView(x)
        ? [...x].map(y => Object.is(y, -0) ? '-0' : Number.isFinite(y) ? y : String(y)) : x)))"""


@pytest.fixture(scope="module")
def page(chromium: playwright.Browser) -> Iterator[playwright.Page]:
    page = chromium.new_page()
    page.add_script_tag(content=script("message", "base", "unpacking"))
    yield page
    page.context.close()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(page: playwright.Page, said: dict[str, Any], arrays: dict[Any, Array]) -> dict[str, Any]:
    return page.evaluate(OPEN, encoded(message(pack(said, arrays), pane="pane", part="text")))


def drawn_numbers() -> np.ndarray:
    """Of all sizes that a card writes apart, and both sides of each bound between them."""
    sizes = 10 ** RNG.uniform(-44, np.log10(9_000), 20_000)
    usual = np.concatenate([RNG.gamma(0.3, 1.0, 20_000), RNG.random(20_000)])
    bounds = np.array(
        [1e-9, 1e-4, 9.96e-4, 9.94e-4, 1e-3, 0.99994, 0.99996, 1, 99.994, 99.996, 100]
    )
    near = [bounds, np.nextafter(bounds, 0), np.nextafter(bounds, 1e9)]
    ties = np.array([1 / 32, 3 / 32, 1.125, 2.375, 100.5, 101.5])
    x = np.concatenate([sizes, usual, *near, ties, [0.0, 9_000.4]])
    return np.concatenate([x, -x, [np.nan]])


def test_a_card_writes_what_was_packed_as_it_would_write_the_value_itself(
    page: playwright.Page,
) -> None:
    x = drawn_numbers()
    body = pack({}, {("x",): Array(x, "shown")})
    assert content(body)["x"].dtype == np.int16
    plain = [None if np.isnan(v) else v for v in x.tolist()]
    wrong = page.evaluate(
        """async ([text, plain]) => {
            const raw = Uint8Array.from(atob(text), c => c.charCodeAt(0));
            const { x } = await unpacked(headAndBody(raw).body);
            return plain.map((v, i) => [v, number(v), number(x[i])]).filter(([, a, b]) => a !== b);
        }""",
        [encoded(message(body)), plain],
    )
    assert wrong == []


def test_codes_of_a_card_ascend_with_the_value() -> None:
    x = np.sort(drawn_numbers()[:-1])
    codes = content(pack({}, {("x",): Array(x, "shown")}))["x"]
    assert (np.diff(codes.astype(int)) >= 0).all()


@pytest.mark.parametrize("kind", ["float", "shown"])
def test_floats_keep_their_upper_three_bytes_or_what_is_no_number(
    page: playwright.Page, kind: str
) -> None:
    """A value too large for a code of a card is sent as a float, and all beside it."""
    bits = RNG.integers(0, 2**32, 3_000, dtype=np.uint32)
    odd = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 3.4e38, 9_999.0, -1e12], np.float32)
    x = np.concatenate([bits.view(np.float32), odd])
    x[np.isnan(x)] = np.nan  # not one that signals
    found = opened(page, {}, {("x",): Array(x, kind)})["x"]
    got = np.array([float(v) for v in found], np.float32)
    assert (np.isnan(got) == np.isnan(x)).all()
    rounded = (x.view("<u4") + np.uint32(0x80)) & np.uint32(0xFFFFFF00)
    numbers = ~np.isnan(x)
    assert (got.view("<u4")[numbers] == rounded[numbers]).all()


@pytest.mark.parametrize(
    "values",
    [[], [0], [255], [256, 0], [65_535], [65_536, 1], [2**31 - 1], [-1, 5, -(2**31)]],
    ids=str,
)
def test_whole_numbers_come_as_they_are(page: playwright.Page, values: list[int]) -> None:
    arrays = {("a", "b"): Array(np.array(values, np.int64), "int"), ("c",): Array([7], "int")}
    assert opened(page, {"a": {"d": 1}}, arrays) == {"a": {"b": values, "d": 1}, "c": [7]}


def test_text_of_any_kind_comes_as_it_is(page: playwright.Page) -> None:
    words = [*HOSTILE, "", "\0", "👩‍👩‍👧", "中文", "\ud800", "\u2028", "__proto__", "a" * 70_000]
    assert opened(page, {"words": words, "none": None}, {})["none"] is None
    sent = json.dumps(opened(page, {"words": words}, {})["words"])
    assert json.loads(sent) == words


def test_no_value_stays_none_and_no_values_stay_none(page: playwright.Page) -> None:
    found = opened(page, {}, {("x",): Array([], "shown"), ("y",): Array([np.nan], "shown")})
    assert found == {"x": [], "y": ["NaN"]}


def test_a_browser_that_cannot_inflate_is_told_which_can(page: playwright.Page) -> None:
    sent = encoded(message(pack({"words": ["a"]}, {})))
    kept = page.evaluate_handle("() => globalThis.DecompressionStream")
    page.evaluate("() => { globalThis.DecompressionStream = undefined; }")
    try:
        with pytest.raises(playwright.Error, match="cannot open.*Chrome or Edge 103"):
            page.evaluate(OPEN, sent)
    finally:
        page.evaluate("was => { globalThis.DecompressionStream = was; }", kept)
