"""What Streamlit leaves to the browser to keep is there when it is shown again, also where a page
looks for news for minutes and then two keys are pressed within one trip to the server.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chrome import DONE, serving_page
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

if TYPE_CHECKING:
    import playwright.sync_api as playwright
else:
    playwright = pytest.importorskip("playwright.sync_api")

LOOKS = 32  # for news: five minutes of a run in training
SCRIPT = """
import streamlit as st

n = st.slider("n", 0, 9)
st.text("AB"[n % 2] * 20_000)
st.fragment(lambda: st.button("Look"))()
st.session_state["drawn"] = st.session_state.get("drawn", 0) + 1
st.caption(f"drawn {st.session_state['drawn']} times")
"""


class Held:
    """The server's messages of one page, some of which reach it late."""

    def __init__(self, page: playwright.Page):
        self.page, self.ended, self.holds = page, 0, False
        self.late: list[bytes] = []
        page.route_web_socket("**/_stcore/stream", self._connect)

    def _connect(self, tab: playwright.WebSocketRoute) -> None:
        self.tab = tab
        tab.connect_to_server().on_message(self._pass_on)

    def _pass_on(self, message: str | bytes) -> None:
        assert isinstance(message, bytes)
        self.ended += ForwardMsg.FromString(message).WhichOneof("type") == "script_finished"
        pass_on = self.late.append if self.holds else self.tab.send
        pass_on(message)

    def let_go(self) -> None:
        self.holds = False
        for message in self.late:
            self.tab.send(message)

    def run(self, act: Callable[[], object]) -> None:
        """Act, and wait until the server is done with what that asks for."""
        before = self.ended
        act()
        while self.ended == before:
            self.page.wait_for_timeout(5)


def test_two_presses_within_one_trip_show_a_text_again_that_was_sent_long_ago(
    browser: playwright.Browser, tmp_path: Path
) -> None:
    (tmp_path / "page.py").write_text(SCRIPT)
    with serving_page(tmp_path) as address:
        page = browser.new_page()
        server = Held(page)
        page.goto(address)
        page.wait_for_selector(DONE)
        button = page.get_by_role("button", name="Look")
        for _ in range(LOOKS):
            server.run(lambda: button.evaluate("button => button.click()"))
        page.wait_for_selector(DONE)
        server.holds, slider = True, page.get_by_role("slider")
        server.run(lambda: slider.press("ArrowRight"))
        there = len(server.late)
        slider.press("ArrowLeft")
        while len(server.late) == there:  # asked for before the page has heard of the first
            page.wait_for_timeout(5)
        server.let_go()
        page.wait_for_function(
            "() => document.body.innerText.includes('drawn 3 times')"
            " || document.querySelector('[role=dialog]')"
        )
        assert not page.get_by_role("dialog").count() and page.get_by_text("AAA").is_visible()
        page.close()
