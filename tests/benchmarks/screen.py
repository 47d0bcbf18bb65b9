"""A tab of Chromium with a stopwatch and scales: how long the page takes for one input, what a
rerun of Streamlit receives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from chrome import DONE
from playwright.sync_api import Browser, Page

QUIET_S, PATIENCE_S, WARM_UP = 0.3, 60.0, 8
# Each input leaves in `times` what it took; `work` is never more than `frame`, where the next frame
# was begun without a pause.
STOPWATCH = """() => {
    globalThis.times = [];
    const watch = () => {
        const from = performance.now(), took = { from };
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => { took.work ??= performance.now() - from; };
            port2.postMessage(0);
            requestAnimationFrame(() => {
                took.frame = performance.now() - from;
                took.work ??= took.frame;
                times.push(took);
            });
        });
    };
    for (const type of ['pointermove', 'keydown']) addEventListener(type, watch, true);
}"""
TAKEN = """n => new Promise(done => {
    const look = () => times.length > n ? done(times[n]) : requestAnimationFrame(look);
    look();
})"""
SETTLED = """([step, from]) => new URL(location).searchParams.get('step') === step
    && document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'
    && performance.now() - from"""
COLOURED = "() => [...CSS.highlights.values()].some(layer => layer.size)"


@dataclass
class Screen:
    """A tab, with all that its websocket received: (time, bytes)."""

    page: Page
    server: str
    received: list[tuple[float, int]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def opened(cls, browser: Browser, server: str) -> Iterator[Screen]:
        """In a context of its own, with nothing cached."""
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(1e3 * PATIENCE_S)
        screen = cls(context.new_page(), server)
        note = screen.received.append
        screen.page.on(
            "websocket",
            lambda ws: ws.on(
                "framereceived", lambda frame: note((time.perf_counter(), len(frame)))
            ),
        )
        yield screen
        context.close()

    def rerun(self, act: Callable[[], Any]) -> int:
        """Do what makes Streamlit run its script; bytes received until it is quiet. Raises
        RuntimeError if the script failed.
        """
        self.received.clear()
        act()
        deadline = time.perf_counter() + PATIENCE_S
        while (
            not self.received
            or time.perf_counter() - self.received[-1][0] < QUIET_S
            or not self.page.locator(DONE).count()
        ):
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{self.page.url} was not quiet within {PATIENCE_S:.0f} s")
            self.page.wait_for_timeout(20)
        if self.page.get_by_test_id("stException").count():
            raise RuntimeError(
                f"{self.page.url} shows an exception: "
                f"{self.page.get_by_test_id('stException').first.inner_text()}"
            )
        return sum(n for _, n in self.received)

    def read(self, run: str, rollout: int, step: int) -> int:
        """Open a text of the final student at a step in a new session, its first token in focus;
        bytes received.
        """
        address = f"{self.server}/trace?run={run}&source=final&rollout={rollout}&step={step}"
        sent = self.rerun(lambda: self.page.goto(address))
        self.page.evaluate(STOPWATCH)
        self.rerun(self.page.locator(".response .t").first.click)
        return sent

    def press(self, key: str) -> Callable[[], None]:
        return lambda: self.page.keyboard.press(key)

    def pick(self, box: str, option: str) -> Callable[[], None]:
        def act() -> None:
            self.page.get_by_role("combobox", name=box).click()
            self.page.get_by_role("option", name=option).first.click()

        return act

    def timed(self, act: Callable[[], Any]) -> dict[str, float]:
        """One input: when it came, and the milliseconds it took (work, frame)."""
        before = self.page.evaluate("times.length")
        act()
        return self.page.evaluate(TAKEN, before)

    def settled_ms(self, step: int, since: float) -> float:
        """Milliseconds from `since`, a time of the page, to when Streamlit has run for this step
        and the page rests.
        """
        return self.page.wait_for_function(
            SETTLED, arg=[str(step), since], polling="raf"
        ).json_value()

    def sweep(self, moves: int, held: bool = True) -> list[dict[str, float]]:
        """Drag the threshold over its scale and back, or move the pointer above it, changing
        nothing.
        """
        mouse, plot, handle = (
            self.page.mouse,
            *(self.page.locator(f".legend {part}").bounding_box() for part in (".plot", ".handle")),
        )
        assert plot and handle, "the text has no threshold to drag"
        y = handle["y"] + handle["height"] / 2 - (0 if held else 80)
        mouse.move(handle["x"] + handle["width"] / 2, y)
        if held:
            mouse.down()
        places = plot["x"] + plot["width"] * (
            0.25 + 0.6 * np.abs(np.linspace(-1, 1, moves + WARM_UP))
        )
        took = [self.timed(lambda x=x: mouse.move(float(x), y)) for x in places]
        if held:
            self.rerun(mouse.up)
        return took[WARM_UP:]
