"""Every page of one run to its end, each in a new tab of one server: what
`page_times.py --run PATH` measures.

"first" is until something of the run is to be read, a text or a sentence with a number; "end"
until the page's script has ended and nothing is being worked out for it. The memory is the
server's: its peak while the page was open. What one page has worked out the next ones have too, so
the first that asks for the rule pays for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as BrowserError

# A page, and its other figures; first those that ask for no rule.
WALK = (
    *("overview", "trace", "steps", "steps?view=type", "steps?view=category", "learn", "live"),
    *("notes", "session", "imports", "rock_tokens", "rock_tokens?figure=control"),
    *("rock_tokens?figure=densities", "rock_tokens?figure=flow", "rock_tokens?figure=changes"),
    *("token", "gradients", "gradients?gradient_figure=types"),
    *("gradients?gradient_figure=unequal", "gradients?gradient_figure=left_out"),
    *("gradients?gradient_figure=checks", "compare", "compare?panes=difference"),
    *("threshold_lab", "knockout", "arms"),
)
TEXT = ".response .t"  # the tokens of a text
# What else is to be read: no bare title, and no note of what is being worked out (· ·· ···)
FIRST = """() => {
    const main = document.querySelector('[data-testid=stMain]');
    const kinds = 'stMetric stDataFrame stPlotlyChart stText stCode stMarkdown stCaptionContainer';
    const names = kinds.split(' ').map(kind => `[data-testid=${kind}]`).join();
    return [...main?.querySelectorAll(names) ?? []].some(
        e => /\\d/.test(e.innerText) && !/·\\s*$/.test(e.innerText));
}"""
ENDED = """() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState
    === 'notRunning'"""
WRONG = "[data-testid=stException]"
_LOOK_MS = 50


class Walked(NamedTuple):
    """Seconds from the address to the first answer and to the end, None where that took longer
    than was waited; the server's peak in bytes; whether a traceback was shown.
    """

    first: float | None
    end: float | None
    peak: int
    failed: bool


class Server(NamedTuple):
    """Where it answers, and its process."""

    address: str
    process: Path  # its folder in /proc

    @classmethod
    def at(cls, address: str) -> Server:
        """The server that was told to take the port of an address."""
        port = address.rpartition(":")[2].encode()
        found = [
            folder
            for folder in Path("/proc").iterdir()
            if folder.name.isdecimal() and b"app" in (of := _command(folder)) and port in of
        ]
        return cls(address, found[0])

    def forget_peak(self) -> None:
        (self.process / "clear_refs").write_text("5")

    def peak(self) -> int:
        status = (self.process / "status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10


def _command(folder: Path) -> list[bytes]:
    try:
        return (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return []


def walk(
    browser: Browser, server: Server, pages: Sequence[str], most_s: float
) -> Iterator[tuple[str, Walked]]:
    """Open one page after the other, and wait at most `most_s` for each."""
    warm = browser.new_page()  # the scripts of Streamlit, once
    warm.goto(f"{server.address}/imports")
    warm.wait_for_function(ENDED)
    warm.close()
    for name in pages:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        server.forget_peak()
        yield name, _open(page, server, name, most_s)
        page.close()


def _open(page: Page, server: Server, name: str, most_s: float) -> Walked:
    began = time.perf_counter()
    page.goto(f"{server.address}/{name}")
    first, ended = None, 0.0  # ended: since when, as far as is known
    while (now := time.perf_counter() - began) < most_s:
        try:
            if first is None and (page.evaluate(FIRST) or page.locator(TEXT).count()):
                first = now
            ended = (ended or now) if page.evaluate(ENDED) else 0.0
        except BrowserError:  # the page is being replaced by Streamlit's
            ended = 0.0
        if ended and now - ended > 0.5:
            break
        page.wait_for_timeout(_LOOK_MS)
    failed = page.locator(WRONG).count() > 0
    end = max(ended, first or 0.0) if ended else None  # the browser draws after the script
    return Walked(first or end, end, server.peak(), failed)
