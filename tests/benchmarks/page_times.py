"""How long a page takes from a click in the menu until it is still, for every page on the sample
runs.

    python tests/benchmarks/page_times.py [--rounds 5] [--runs habit skill] [--server URL]
    python tests/benchmarks/page_times.py --run PATH [--pages trace compare] [--most 200]

A page is still when its script has ended and nothing of it has changed for half a second; that half
second is not counted. "first" is the first visit of the browser, which also loads the scripts of
charts; the server has worked nothing out before the first run's. Nothing fails by time.

With --run every page of one run, as large as it may be, is opened once in a new tab and waited for
to its end: see page_walk.py.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import tyro
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))
from chrome import CHROMIUM, FLAGS, serving  # noqa: E402
from page_walk import WALK, Server, Walked, walk  # noqa: E402

from rockcore.log import sample_runs  # noqa: E402

GOAL_S = 1.0
# Milliseconds from the click to the last change before the page was still for half a second.
STILL = """link => new Promise(done => {
    const app = document.querySelector('[data-testid=stApp]');
    let last = performance.now();
    const from = last, before = location.pathname;
    const watch = new MutationObserver(() => (last = performance.now()));
    const what = { subtree: true, childList: true, characterData: true, attributes: true };
    watch.observe(document.body, what);
    const look = () => {
        const ended = app.dataset.testScriptState === 'notRunning';
        const there = location.pathname !== before || link.ariaCurrent === 'page';
        if (there && ended && performance.now() - last > 500) {
            watch.disconnect();
            done(last - from);
        }
        else setTimeout(look, 50);
    };
    link.click();
    look();
})"""


def visit(page: Page, server: str, run: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each page by its title, one for each round through the menu."""
    page.goto(f"{server}/?run={run}")
    links = page.get_by_test_id("stSidebarNavLink")
    links.first.wait_for()
    links.first.evaluate(STILL)
    found: dict[str, list[float]] = {name: [] for name in links.all_inner_texts()}
    for _ in range(rounds + 1):
        for i, name in reversed(list(enumerate(found))):  # so that none follows itself
            found[name].append(links.nth(i).evaluate(STILL) / 1e3)
    return found


def measure(server: str, runs: list[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    found = {}
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        for run in runs:
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            page.set_default_timeout(120_000)
            found[run] = visit(page, server, run, rounds)
            page.context.close()
        browser.close()
    return found


def report(found: dict[str, dict[str, list[float]]]) -> Table:
    table = Table("page", title="seconds: median of the later visits (their longest; the first)")
    for run in found:
        table.add_column(run)
    for name in next(iter(found.values())):
        cells = []
        for pages in found.values():
            first, *later = pages[name]
            middle = statistics.median(later)
            mark = " !" if middle > GOAL_S else ""
            cells.append(f"{middle:.2f} ({max(later):.2f}; {first:.2f}){mark}")
        table.add_row(name, *cells)
    return table


def told(name: str, found: Walked) -> str:
    """A line on one page, as soon as it has been seen."""
    first, end = ("–" if s is None else f"{s:.1f} s" for s in (found.first, found.end))
    wrong = "  TRACEBACK" if found.failed else ""
    return f"{name:36} first {first:>8}  end {end:>8}  peak {found.peak / 1e9:5.2f} GB{wrong}"


def walk_run(run: Path, pages: tuple[str, ...], most: float, folder: Path) -> None:
    """Print what each page of a run takes, on a server of its own."""
    command = ["-m", "rockcore", "app", str(run.resolve()), "--headless", "--port"]
    with sync_playwright() as p, serving(lambda port: [*command, port], folder) as address:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        for name, found in walk(browser, Server.at(address), pages or WALK, most):
            print(told(name, found), flush=True)
        browser.close()


def main(
    runs: tuple[str, ...] = ("habit", "skill", "smollm2"),
    rounds: int = 5,
    server: str = "",
    run: Path | None = None,
    pages: tuple[str, ...] = (),
    most: float = 200.0,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure every page; without --server on one of its own."""
    if CHROMIUM is None:
        raise SystemExit("There is no chromium on the PATH. Install chromium.")
    with tempfile.TemporaryDirectory() as folder:
        if run is not None:
            walk_run(run, pages, most, Path(folder))
            return
        own = serving(
            lambda port: [
                "-m",
                "rockcore",
                "app",
                str(sample_runs()),
                "--port",
                port,
                "--headless",
            ],
            Path(folder),
            dict(os.environ),
        )
        with nullcontext(server) if server else own as address:
            found = measure(address, list(runs), rounds)
    Console(width=150).print(report(found))
    if as_json:
        print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
