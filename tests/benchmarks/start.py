"""How long `rockcore app RUN` takes until there is something to read, and until there is a text
with coloured tokens: one clock from the start of the process to the browser's paint.

    python tests/benchmarks/start.py RUN [--before CHECKOUT] [--rounds 5] [--page trace]
                                     [--compiled] [--pictures DIR] [--json]

CHECKOUT is a git worktree of an older state; both are started in turns. Nothing fails by time.
The clock is the system's: a page's `performance.timeOrigin` is read from it too. What is counted,
in seconds from the start of the process:

- answers: the port takes a connection. The browser is open already and goes there at that moment.
- readable: a frame has been painted that has two words in a row.
- coloured: a frame has been painted in which tokens have their colour.
- cpu: seconds of the server's processes until then.

first: nothing of Python's packages, of this project and of the run is in the system's cache of
files (what other programs have mapped stays), this project is not yet compiled (with --compiled it
is, as `pip install` leaves it), and the browser has never been here. second: all of it again, with
what the first has left in all three.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from compileall import compile_dir
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from playwright.sync_api import BrowserContext, Page, sync_playwright
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))
from chrome import CHROMIUM, FLAGS  # noqa: E402

HERE = Path(__file__).resolve().parents[2]
GOALS = {"readable": 1.0, "coloured": 2.5}
PATIENCE_S = 90
# The icons of Streamlit's buttons are words with underscores, in a font that draws them.
WATCH = """(() => {
    const seen = globalThis.seen = {};
    const wall = () => (performance.timeOrigin + performance.now()) / 1e3;
    const looks = {
        readable: () => /[A-Za-z]{2,} [A-Za-z]{2,}/.test(document.body?.innerText ?? ''),
        coloured: () => [...CSS.highlights.values()].some(layer => layer.size),
    };
    const look = () => {
        for (const [name, is] of Object.entries(looks))
            if (!(name in seen) && is()) {
                seen[name] = null;
                requestAnimationFrame(() => { seen[name] = wall(); });
            }
        if (!seen.coloured) requestAnimationFrame(look);
    };
    look();
})();"""


@dataclass(frozen=True)
class Try:
    """What is started, and what is looked at."""

    checkout: Path
    run: Path
    page: str
    port: int
    compiled: bool


@contextmanager
def started(this: Try) -> Iterator[tuple[float, int]]:
    """The moment at which `rockcore app` was started, and its process."""
    command = [sys.executable, "-m", "rockcore", "app", str(this.run), "--headless"]
    began = time.time()
    process = subprocess.Popen(
        [*command, "--port", str(this.port)],
        cwd=this.checkout,
        env=os.environ | {"PYTHONPATH": str(this.checkout)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield began, process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.002)
    raise SystemExit(f"nothing listens at port {port}")


def time_start(page: Page, this: Try, pictures: Path | None = None) -> dict[str, float]:
    with started(this) as (began, process):
        wait_for(this.port)
        found = {"answers": time.time() - began}
        page.goto(f"http://127.0.0.1:{this.port}/{this.page}", wait_until="commit")
        taken: list[tuple[float, bytes]] = []
        while pictures and time.time() < began + PATIENCE_S:
            picture = page.screenshot(animations="allow")
            taken.append((time.time() - began, picture))
            if page.evaluate("() => Boolean(globalThis.seen?.coloured)"):
                break
        page.wait_for_function("() => globalThis.seen?.coloured", timeout=1e3 * PATIENCE_S)
        found["cpu"] = cpu_of(process)
        if pictures:
            taken.append((time.time() - began, page.screenshot()))  # with the colours
        seen: dict[str, float] = page.evaluate("() => globalThis.seen")
    page.goto("about:blank")
    for at, picture in taken:
        (pictures / f"{at:06.2f}s.png").write_bytes(picture)  # type: ignore[operator]
    return found | {name: moment - began for name, moment in seen.items()}


def cpu_of(group: int) -> float:
    """Seconds of CPU of the processes of a group so far; NaN but on Linux."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else float("nan")


def forget(this: Try) -> None:
    """Drop what is on the way from the system's cache of files, and what Python has compiled of
    this project.
    """
    for folder in ("rockcore", "app"):
        for kept in (this.checkout / folder).rglob("__pycache__"):
            shutil.rmtree(kept)
        if this.compiled:
            compile_dir(this.checkout / folder, quiet=1)
    if not hasattr(os, "posix_fadvise"):
        return
    packages = Path(np.__file__).parents[1]
    for place in (packages, this.checkout / "rockcore", this.checkout / "app", this.run):
        for file in place.rglob("*"):
            if file.is_file():
                number = os.open(file, os.O_RDONLY)
                os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(number)


@contextmanager
def browser(playwright: Any, profile: Path) -> Iterator[BrowserContext]:
    """An open browser that keeps what it caches in `profile`."""
    context = playwright.chromium.launch_persistent_context(
        str(profile),
        executable_path=CHROMIUM,
        args=FLAGS.split(),
        viewport={"width": 1280, "height": 800},
    )
    context.add_init_script(WATCH)
    yield context
    context.close()


def one_round(playwright: Any, this: Try, pictures: Path | None) -> dict[str, dict[str, float]]:
    """A first start and a second, by a browser of its own."""
    with (
        tempfile.TemporaryDirectory() as profile,
        browser(playwright, Path(profile)) as context,
    ):
        page = context.pages[0]
        forget(this)
        first = time_start(page, this, pictures)
        return {"first": first, "second": time_start(page, this)}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def report(found: dict[str, list[float]], load: tuple[float, float, float]) -> Table:
    title = f"{platform.platform()}, {os.cpu_count()} cores, load {load[0]:.1f} at the start"
    table = Table("seconds from the start", "median", "least", "most", "n", "goal", title=title)
    for name, values in found.items():
        goal = GOALS.get(name.rpartition(" ")[2])
        numbers = (np.median(values), min(values), max(values))
        shown = [f"{x:.2f}" for x in numbers]
        table.add_row(name, *shown, str(len(values)), f"≤ {goal}" if goal else "")
    return table


def main(
    run: tyro.conf.Positional[Path],
    before: Path | None = None,
    rounds: int = 5,
    page: str = "trace",
    compiled: bool = False,
    pictures: Path | None = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Time the first and the second start; --pictures also keeps what the browser showed during the
    first start of an extra round, named by the time.
    """
    sides = {"before": before.resolve()} if before else {}
    sides["after"] = HERE
    found: dict[str, list[float]] = {}
    load = os.getloadavg()
    with sync_playwright() as p:
        for _ in range(rounds):
            for side, checkout in sides.items():
                times = one_round(
                    p, Try(checkout, run.resolve(), page, free_port(), compiled), None
                )
                for which, each in times.items():
                    for name, value in each.items():
                        found.setdefault(f"{which} start, {side}: {name}", []).append(value)
        for side, checkout in sides.items() if pictures else ():
            (place := pictures / side).mkdir(parents=True, exist_ok=True)  # type: ignore[operator]
            one_round(p, Try(checkout, run.resolve(), page, free_port(), compiled), place)
    Console(width=150).print(report(found, load))
    if as_json:
        print(json.dumps(found))


if __name__ == "__main__":
    if CHROMIUM is None:
        raise SystemExit("There is no chromium on the PATH: a start is timed in a real browser.")
    tyro.cli(main)
