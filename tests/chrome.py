"""The dashboard served to Chromium: what the browser tests and the benchmark of the dashboard
share.
"""

from __future__ import annotations

import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app import pages

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update "
    "--disable-sync"
)
DONE = "[data-testid=stApp][data-test-script-state=notRunning]"
AT_REST = """() => new Promise(done => {
    const app = document.querySelector('[data-testid=stApp]');
    const ended = () => app.dataset.testScriptState === 'notRunning';
    let timer;
    const look = () => ended() ? (watch.disconnect(), done()) : again();
    const again = () => { clearTimeout(timer); timer = setTimeout(look, 500); };
    const watch = new MutationObserver(again);
    const what = { subtree: true, childList: true, characterData: true, attributes: true };
    watch.observe(document.body, what);
    again();
})"""
APP = Path(__file__).parent.parent / "app"
PAGES = [page.name for page in pages.PAGES]  # the names of the views


@contextmanager
def serving(command: Callable[[str], list[str]], folder: Path) -> Iterator[str]:
    """The address of `python COMMAND(port)` on a free port, run in a folder that also gets its
    output.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    log = folder / "server.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command(str(port))],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_port(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            select.select([], [], [], 0.05)  # there is no event to wait on before the port is open
    raise RuntimeError(f"the server did not start: {log.read_text()}")
