"""A cold start as a browser sees it: words at once, and the dashboard without a reload."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chrome import DONE, PROBES, held
from conftest import write_tiny_run

if TYPE_CHECKING:
    import playwright.sync_api as playwright
else:
    playwright = pytest.importorskip("playwright.sync_api")


@pytest.mark.skipif(os.name == "nt", reason="holds a process by a named pipe")
def test_the_note_can_be_read_before_streamlit_is_there_and_makes_room_for_the_page(
    browser: playwright.Browser, tmp_path: Path
) -> None:
    run, bad = write_tiny_run(tmp_path / "tiny"), []
    page = browser.new_context(color_scheme="dark").new_page()
    page.on("requestfailed", lambda request: bad.append(request.url))
    page.on("console", lambda said: bad.append(said.text) if said.type == "error" else None)
    page.on(
        "response",
        lambda got: bad.append(got.url) if got.status > 399 and PROBES[0] not in got.url else None,
    )
    with held(tmp_path, "streamlit.errors", str(run)) as app:
        page.goto(f"http://127.0.0.1:{app.port}/?run=tiny", wait_until="commit")
        note = page.locator("#opening")
        playwright.expect(note).to_have_text("Rock Token ExplorerOpening tiny …")
        playwright.expect(note).to_be_visible()
        page.evaluate("globalThis.sameDocument = true")
        app.release()
        playwright.expect(page.locator("h1")).to_have_text("tiny")
        playwright.expect(note).to_be_hidden()
        page.wait_for_selector(DONE)
        assert page.evaluate("globalThis.sameDocument") and not bad
        page.close()
