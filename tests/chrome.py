"""The dashboard served to Chromium: what the browser tests and the benchmark of the dashboard
share.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Locator, Page

from patience import PATIENCE_S, wait_until

from app import pages

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update "
    "--disable-sync"
)
# Opened at a page's own address, Streamlit's script first probes for its server below that path.
PROBES = ("/_stcore/health", "/_stcore/host-config")
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
WATCH = """(part, selector) => {
    window.saw = [];
    const root = part.getRootNode(), name = node => node.getAttribute("class") + node.textContent;
    const note = () => saw.push([...root.querySelectorAll(selector)].map(name).join(" "));
    const what = { subtree: true, childList: true, characterData: true, attributes: true };
    new MutationObserver(note).observe(root, what);
}"""
SECRET = "of-the-tests-and-of-nobody-else"  # who shows it may act
APP = Path(__file__).parent.parent / "app"
PAGES = [page.name for page in pages.PAGES]  # the names of the views


def charts_of(page: str) -> int:
    """How many charts a page draws where it has something for each."""
    files = (APP / "views" / page).glob("*.py")
    return sum(file.read_text(encoding="utf-8").count("st.plotly_chart(") for file in files)


@dataclass
class Tab:
    """A page with what it must not do on record."""

    page: Page
    server: str
    external: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.server + path)
        self.settle()

    def enter(self) -> None:
        """Show the secret: from now on this browser may act."""
        self.open(f"/?access={SECRET}")

    def settle(self) -> None:
        self.page.wait_for_selector(DONE)

    def rest(self) -> None:
        """Until the page has been still for half a second, and no script runs."""
        self.page.evaluate(AT_REST)

    def box(self, part: Locator) -> FloatRect:
        """Where it stands, once nothing that is drawn later can move it."""
        self.rest()
        box = part.bounding_box()
        assert box
        return box

    def watch(self, part: Locator, selector: str) -> None:
        """From now on keep the classes and words of these beside a part of the page whenever one
        changes: what stands there for a moment only is missed by who looks now and then.
        """
        part.evaluate(WATCH, selector)

    def wait_for_sight(self, *words: str) -> None:
        """Until what is watched has said each of these, be it for a moment."""
        for each in words:
            self.page.wait_for_function("words => saw.some(said => said.includes(words))", arg=each)

    def press(self, key: str, button: str) -> None:
        """Press the key of a button: it is heard once the button stands."""
        self.page.get_by_role("button", name=button).first.wait_for()
        self.rest()
        self.page.keyboard.press(key)

    def wait_for_url(self, **parameters: str) -> None:
        """Until the address bar holds these parameters, and the script run behind it has ended."""
        tests = "".join(
            f"(?=.*[?&]{name}={re.escape(value)}(&|$))" for name, value in parameters.items()
        )
        self.page.wait_for_url(re.compile(tests))
        self.settle()

    @property
    def parameters(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    def pick(self, box: str, option: str) -> None:
        """Choose an option of a selectbox by its label."""
        self.page.get_by_role("combobox", name=box).click()
        self.page.get_by_role("option", name=option).first.click()

    def tokens(self) -> list[str]:
        return self.page.locator(".response .t").evaluate_all(
            "spans => spans.map(s => s.textContent)"
        )


@contextmanager
def serving(
    command: Callable[[str], list[str]], folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address of `python COMMAND(port)` on a free port, run in a folder that also gets its
    output.
    """
    port = free_port()
    log = folder / "server.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command(str(port))],
            cwd=folder,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_port(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@contextmanager
def serving_page(folder: Path) -> Iterator[str]:
    """The address of `page.py` of this folder, with Streamlit set as the dashboard has it: where it
    is not, presses that come quickly outrun what it keeps for the browser.
    """
    shutil.copytree(APP / ".streamlit", folder / ".streamlit")
    with serving(
        lambda port: ["-m", "streamlit", "run", "page.py", "--server.port", port], folder
    ) as address:
        yield address


# Python imports this by itself at its start. At the statement that imports the module, it waits for
# code in the pipe, and runs it. (A finder of modules would hold a lock that all imports need.)
GATE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where a shell has it ignored
left = {MODULE}
def look(event, arguments):
    if event == "import" and arguments[0] in left:
        left.clear()
        with open(PIPE) as pipe:
            exec(pipe.read())
sys.addaudithook(look)
"""


@dataclass
class Held:
    """A `rockcore app` that waits before it imports a module."""

    process: subprocess.Popen[bytes]
    port: int
    output: Path
    pipe: int

    def release(self, code: str = "pass") -> None:
        """Let it go on, after it has run some code."""
        if self.pipe >= 0:
            with suppress(BrokenPipeError):  # it has ended
                os.write(self.pipe, code.encode())
            os.close(self.pipe)
            self.pipe = -1


@contextmanager
def held(folder: Path, module: str, *arguments: str) -> Iterator[Held]:
    """`rockcore app ARGUMENTS`, from when it is about to import the module."""
    pipe, output = folder / "pipe", folder / "output.txt"
    os.mkfifo(pipe)
    gate = GATE.replace("MODULE", repr(module)).replace("PIPE", repr(str(pipe)))
    (folder / "sitecustomize.py").write_text(gate)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    port = free_port()
    with output.open("wb") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "rockcore",
                "app",
                *arguments,
                "--headless",
                "--port",
                str(port),
            ],
            env=os.environ | {"PYTHONPATH": path, "ROCKCORE_TOKEN": SECRET},
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        app = Held(process, port, output, read_from(pipe, process, output))
        try:
            yield app
        finally:
            app.release()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def read_from(pipe: Path, process: subprocess.Popen[bytes], log: Path) -> int:
    """The end of a named pipe to write into, as soon as the process reads from it."""

    def opened() -> bool:
        with suppress(OSError):  # nobody reads yet
            ends.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(ends)

    ends: list[int] = []
    wait_until(opened, process, log.read_text)
    return ends[0]


def free_port() -> int:
    """A port that nothing uses, and that nothing gets before a server has started there: the system
    gives those of 32,768 and above to whoever connects to anything.
    """
    while True:
        port = secrets.randbelow(20_000) + 10_000
        with socket.socket() as s, suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    def listens() -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
            return True
        return False

    wait_until(listens, process, log.read_text)
