"""How long a reader of the threshold lab waits for a moved threshold, in Chromium.

    python tests/benchmarks/lab_moves.py --run PATH [--moves 12]

An arrow key moves the handle by one bar. "high" is from the key to the first painted frame with
other numbers of what is high, which the thresholds alone decide; "end" until the whole set is there
again, which is a detection where the threshold was not looked at before. Every fourth move comes
back to a threshold that was. PYTHONPATH says which checkout is measured, this one or one before.
Nothing fails by time.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import tyro
from playwright.sync_api import Locator, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))
from chrome import CHROMIUM, FLAGS, serving  # noqa: E402
from page_walk import ENDED  # noqa: E402

KEYS = ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft")
# The first numbers are those of what is high; the page is at its end when its script is for 0.4 s.
MOVED = """(handle, key) => new Promise(done => {
    const app = document.querySelector('[data-testid=stApp]');
    const own = handle.getRootNode().querySelector('.reading .value');
    const high = () => (own ?? document.querySelector('[data-testid=stMetricValue]'))?.textContent;
    const before = high(), from = performance.now(), found = {};
    let last = from, ran = false;
    const look = () => {
        const now = performance.now(), shown = high();
        if (!found.seen && shown && shown !== before) {
            found.seen = true;
            last = now;
            setTimeout(() => (found.high = performance.now())); // this frame has been painted
        }
        if (app.dataset.testScriptState !== 'notRunning') { ran = true; last = now; }
        if (ran && now - last > 400)
            done({ high: (found.high ?? NaN) - from, end: last - from });
        else requestAnimationFrame(look);
    };
    handle.focus();
    for (const type of ['keydown', 'keyup'])
        handle.dispatchEvent(new KeyboardEvent(type, { key, bubbles: true }));
    requestAnimationFrame(look);
})"""


def move(handle: Locator, key: str) -> dict[str, float]:
    """Milliseconds to the numbers of what is high, and to the end."""
    found: dict[str, Any] = handle.evaluate(MOVED, key)
    return found


def main(run: Path, moves: int = 12) -> None:
    """Move the threshold of a run, and print what each move took."""
    if CHROMIUM is None:
        raise SystemExit("There is no chromium on the PATH. Install chromium.")
    command = ["-m", "rockcore", "app", str(run.resolve()), "--headless", "--port"]
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(lambda port: [*command, port], Path(folder)) as address,
        sync_playwright() as p,
    ):
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(600_000)
        page.goto(f"{address}/threshold_lab")
        handle = page.locator(".handle").first
        handle.wait_for()
        page.wait_for_function(ENDED)
        page.wait_for_timeout(1000)  # a script that is begun right after the first
        page.wait_for_function(ENDED)
        high = []
        for i in range(moves):
            found = move(handle, KEYS[i % len(KEYS)])
            high += [] if math.isnan(found["high"]) else [found["high"]]
            print(
                f"move {i + 1}: high {found['high']:.0f} ms, end {found['end']:.0f} ms", flush=True
            )
        print(f"high: median {statistics.median(high):.0f} ms, longest {max(high):.0f} ms")
        browser.close()


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
