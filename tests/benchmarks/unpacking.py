"""How long the browser needs to open a text of 8,000 and of 32,000 tokens at eight steps, and how
long its page stands still meanwhile.

    python tests/benchmarks/unpacking.py [--rounds 9]

Nothing fails by time. `whole`: from the message to what the pane reads; `still`: the longest time
between two turns of a loop that goes on beside it, `idle` the same with nothing to do: medians and,
in brackets, the least, which a busy machine does not lengthen.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

import numpy as np
import tyro
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))
import long_log  # noqa: E402
from chrome import CHROMIUM, FLAGS  # noqa: E402

from app import data  # noqa: E402
from app.components import script  # noqa: E402
from app.components.packing import Body, message  # noqa: E402

LENGTHS = (8_000, 32_000)
SIGNALS = Path(script.__code__.co_filename).parent / "token_pane" / "signals.js"
TIMED = """async (parts) => {
    const given = Object.entries(parts).map(([name, text]) =>
        [name, Uint8Array.from(atob(text), c => c.charCodeAt(0))]);
    let still = 0, before = performance.now(), on = true;
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
        const now = performance.now();
        still = Math.max(still, now - before);
        before = now;
        if (on) port2.postMessage(0);
    };
    port2.postMessage(0);
    await new Promise(done => setTimeout(done, 100));
    const idle = still, from = performance.now();
    still = 0;
    await Promise.all(given.map(async ([name, bytes]) =>
        DECODE[name](await unpacked(headAndBody(bytes).body))));
    const whole = performance.now() - from;
    await new Promise(done => setTimeout(done, 50));
    on = false;
    return [whole, still, idle];
}"""


def timed(page: Page, parts: dict[str, Body]) -> tuple[float, float, float]:
    page.goto("about:blank")
    page.add_script_tag(content=script("message", "base", "unpacking", SIGNALS))
    sent = {n: base64.b64encode(message(body)).decode() for n, body in parts.items()}
    return tuple(page.evaluate(TIMED, sent))


def main(rounds: int = 9) -> None:
    """Measure it in Chromium."""
    if CHROMIUM is None:
        raise SystemExit("There is no chromium on the PATH: a browser is measured. Install it.")
    shape = long_log.Shape(long_log.STEPS, [1_000], {"final": LENGTHS})
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        run = data.runs.key(str(long_log.write(Path(folder) / "texts", shape)))
        page = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split()).new_page()
        for rollout, length in enumerate(LENGTHS):
            at = ("final", long_log.STEPS[-1], rollout)
            text, values = data.texts.text(run, *at), data.texts.values(run, *at)
            parts = {"text": text.body, "values": values.body}
            took = [timed(page, parts) for _ in range(rounds)]
            each = zip(np.median(took, axis=0), np.min(took, axis=0), strict=True)
            whole, still, idle = (f"{middle:.0f} ({least:.0f}) ms" for middle, least in each)
            print(f"{length:6,} tokens: whole {whole}, still {still}, idle {idle}")


if __name__ == "__main__":
    tyro.cli(main)
