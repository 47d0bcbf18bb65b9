"""Every page works with the network cut off, for the browser and for the server, and neither tries to reach anything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chrome import PAGES, serving
from test_browser import Tab, browser, playwright, tab  # noqa: F401  (fixtures; `tab` refuses what is not on this machine)

from rockcore.log import sample_runs

# Python imports this by itself at its start. What it refuses it writes down.
NO_NETWORK = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[1][0] if event == "socket.connect" and isinstance(arguments[1], tuple) else arguments[0]
        if isinstance(host, str) and host not in ("127.0.0.1", "::1", "localhost"):
            with open(FILE, "a") as file:
                file.write(f"{event} {host}\\n")
            raise OSError("The network is cut off.")
sys.addaudithook(refuse)
"""


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where Python, started in this module, writes down its attempts to reach another machine."""
    folder = tmp_path_factory.mktemp("offline")
    (folder / "sitecustomize.py").write_text(NO_NETWORK.replace("FILE", repr(str(folder / "refused.txt"))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield folder / "refused.txt"


@pytest.fixture(scope="module")
def server(refused: Path) -> Iterator[str]:
    with serving(lambda port: ["-m", "rockcore", "app", str(sample_runs()), "--port", port, "--headless"], refused.parent) as address:
        yield address


@pytest.mark.parametrize("page", PAGES)
def test_a_page_works_without_a_network_and_asks_for_none(tab: Tab, refused: Path, page: str) -> None:  # noqa: F811
    tab.page.set_default_timeout(60_000)
    tab.open("/" if page == "overview" else f"/{page}")
    tab.rest()
    playwright.expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
    assert tab.page.get_by_test_id("stException").count() == 0
    assert not refused.exists(), refused.read_text()


def test_a_server_that_asks_for_another_machine_is_found_out(refused: Path) -> None:
    ask = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    assert "The network is cut off." in done.stderr and "192.0.2.1" in refused.read_text()
    refused.unlink()
