"""Who gets in, seen by real pages in Chromium: another name, another port, a frame, no secret."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from chrome import CHROMIUM, DONE, FLAGS, SECRET, Tab, serving

if TYPE_CHECKING:
    import playwright.sync_api as playwright
else:
    playwright = pytest.importorskip("playwright.sync_api")

# What a hostile page tries, and what it gets to see of it.
TRIES = """async server => {
    const opens = url => new Promise(done => {
        const socket = new WebSocket(url, ['streamlit']);
        socket.onopen = () => done('open');
        socket.onerror = () => done('refused');
    });
    const loads = (tag, url) => new Promise(done => {
        const element = document.createElement(tag);
        element.onload = () => done('loaded');
        element.onerror = () => done('refused');
        element.src = url;
        document.body.append(element);
    });
    const reads = (url, settings) => fetch(url, settings).then(() => 'loaded', () => 'refused');
    return {
        socket: await opens(server.replace('http', 'ws') + '/_stcore/stream'),
        fetched: await reads(server + '/_stcore/health'),
        blindly: await reads(server + '/_stcore/health', { mode: 'no-cors' }),
        posted: await reads(server + '/', { method: 'POST', mode: 'no-cors', body: 'x' }),
        image: await loads('img', server + '/favicon.png'),
        script: await loads('script', server + '/static/js/index.js'),
    };
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[str]:
    """Another server of this machine, with an empty page."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>stranger</title><body>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def page(browser: playwright.Browser) -> playwright.Page:
    """A page that nobody watches for errors: it is meant to be refused."""
    return browser.new_context().new_page()


def test_a_page_of_another_name_that_leads_to_this_machine_is_refused(
    chromium: playwright.Browser, server: str
) -> None:
    port = urlsplit(server).port
    rule = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    misled = chromium.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS.split(), rule])
    try:
        page = misled.new_page()
        for path in ("/session", f"/?access={SECRET}", "/_stcore/health"):
            answer = page.goto(f"http://evil.example:{port}{path}")
            assert answer is not None and answer.status == 421
            playwright.expect(page.locator("body")).to_contain_text("not a name it answers to")
        seen = page.evaluate(TRIES, f"http://evil.example:{port}")
        assert seen["socket"] == "refused" and seen["image"] == seen["script"] == "refused"
        assert not page.context.cookies()
    finally:
        misled.close()


def test_a_page_of_another_port_opens_no_websocket_and_reads_nothing(
    page: playwright.Page, stranger: str, server: str
) -> None:
    """Also where the browser holds the secret: cookies do not know ports."""
    page.goto(f"{server}/?access={SECRET}")
    page.goto(stranger)
    assert page.evaluate(TRIES, stranger) | {"socket": "", "posted": "", "script": ""} == {
        "socket": "",
        "fetched": "loaded",
        "blindly": "loaded",
        "posted": "",
        "image": "refused",
        "script": "",
    }  # of its own server it reads what there is: the tries work
    seen = page.evaluate(TRIES, server)
    assert set(seen.values()) == {"refused"}, seen


@pytest.mark.parametrize("path", ["/session", "/", "/_stcore/health", f"/?access={SECRET}"])
def test_no_page_can_frame_the_dashboard(
    path: str, page: playwright.Page, stranger: str, server: str
) -> None:
    page.goto(stranger)
    page.evaluate(
        """url => new Promise(done => {
            const frame = document.createElement('iframe');
            frame.onload = done;
            frame.src = url;
            document.body.append(frame);
        })""",
        server + path,
    )
    assert page.frames[1].url.startswith("chrome-error:")
    assert page.frames[1].locator("[data-testid=stApp]").count() == 0


def test_the_link_of_the_terminal_lets_act_and_leaves_the_address(
    page: playwright.Page, server: str
) -> None:
    button = page.get_by_role("button", name="Start training")
    page.goto(f"{server}/session?run=tiny")
    playwright.expect(page.get_by_text("Here you can look at trainings")).to_be_visible()
    assert button.count() == 0
    page.goto(f"{server}/session?run=tiny&access={SECRET}")
    playwright.expect(button).to_be_visible()
    assert SECRET not in page.url and "access" not in page.url and "run=tiny" in page.url
    assert SECRET not in page.evaluate("document.cookie + document.referrer + location.href")
    (cookie,) = [c for c in page.context.cookies() if c["value"] == SECRET]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    page.go_back()
    assert SECRET not in page.url


def test_where_all_need_a_link_a_link_from_elsewhere_opens_the_page_and_lets_look(
    page: playwright.Page, stranger: str, tmp_path: Path
) -> None:
    environment = os.environ | {"ROCKCORE_VIEW_TOKEN": "for-those-who-only-look"}
    command = ["-m", "rockcore", "app", "--host", "0.0.0.0", "--headless", "--port"]
    with serving(lambda port: [*command, port], tmp_path, environment) as address:
        page.goto(f"{address}/trace")
        playwright.expect(page.locator("body")).to_contain_text("needs the link")
        page.goto(stranger)
        page.evaluate(
            "url => { const a = document.createElement('a'); a.href = url; a.click(); }",
            f"{address}/session?access=for-those-who-only-look",
        )
        page.wait_for_selector(DONE)
        playwright.expect(page.get_by_text("Here you can look at trainings")).to_be_visible()
        assert "access" not in page.url


def test_a_token_type_in_a_link_is_no_secret(tab: Tab) -> None:
    tab.open("/token?run=tiny&token=7")
    tab.wait_for_url(run="tiny", token="7")
