"""How fast the dashboard is in Chromium: a dragged threshold, another step, a cold start, and what
a rerun sends.

    python tests/benchmarks/browser.py [--quick] [--repeats 60] [--starts 5] [--json]

The logs are drawn (long_log.py): texts of 8,000 and 32,000 tokens at eight steps, and a run of a
million positions. Nothing fails by time. What is counted:

- recolour, step change: from an event's arrival in the page (a pointer move while the handle is
  held; a key press) to the start of the second animation frame after it: the first has been painted
  by then. So it comes in whole frames of 16.7 ms; the wait of an input for its frame is not in it.
  `frame_ms` is the same for a move that changes nothing: the least there can be. `work` ends where
  the page's own thread is done with the frame, without the wait for the next.
- step settled: from the key press until Streamlit's rerun for it has ended; 300 ms of it are the
  pause after which the pane tells Python of its last change.
- cold start: from the start of `rockcore app RUN` to a first text with coloured tokens, in a
  browser that is open but has nothing cached; the server's files are in the memory of the system.
  `server` ends where the port answers.
- bytes of a rerun: all that the websocket receives until it is quiet. "again": what this session
  has been sent before.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))
import long_log  # noqa: E402
from chrome import CHROMIUM, FLAGS, serving  # noqa: E402
from screen import COLOURED, Screen  # noqa: E402

from rockcore.log import sample_runs  # noqa: E402

GOALS = {
    "recolour_8k_ms": 20,
    "recolour_32k_ms": 60,
    "step_change_ms": 150,
    "cold_start_s": 4,
    "rerun_bytes": 1_000_000,
}
TEXTS = "texts"
SHORT, LONG = 0, 4  # the first rollouts of 8,000 and of 32,000 tokens


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    repeats: int  # moves of the handle at each length, and step changes
    starts: int
    reruns: int  # rounds of them
    rerun_lengths: tuple[str, ...] = ("8,000 tokens", "32,000 tokens")
    pages: int | None = None  # of the sample run; None: all
    texts: long_log.Shape = long_log.LONG
    positions: long_log.Shape = long_log.MILLION


QUICK = Plan(
    repeats=3,
    starts=1,
    reruns=1,
    rerun_lengths=("8,000 tokens",),
    pages=1,
    texts=long_log.Shape(
        (0, 40), [500], {"final": [n // 10 for n in long_log.LONG.probes["final"]]}
    ),
    positions=long_log.Shape((0, 40), [1_000] * 4, {"final": [1_000] * 4}),
)


def cold_starts(browser: Browser, run: Path, plan: Plan) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"cold_start_s": [], "cold_start_server_s": []}
    for _ in range(plan.starts):
        start = time.perf_counter()
        with serving(
            lambda port: ["-m", "rockcore", "app", str(run), "--port", port, "--headless"],
            run.parent,
        ) as server:
            found["cold_start_server_s"].append(time.perf_counter() - start)
            with Screen.opened(browser, server) as screen:
                screen.page.goto(f"{server}/trace", wait_until="commit")
                screen.page.locator(".response .t").first.wait_for()
                screen.page.wait_for_function(COLOURED, polling="raf")
                found["cold_start_s"].append(time.perf_counter() - start)
    return found


def recolour(screen: Screen, plan: Plan) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name, rollout in (("8k", SHORT), ("32k", LONG)):
        screen.read(TEXTS, rollout, plan.texts.steps[-1])
        if rollout == SHORT:
            found["frame_ms"] = [took["frame"] for took in screen.sweep(plan.repeats, held=False)]
        took = screen.sweep(plan.repeats)
        found |= {
            f"recolour_{name}_ms": [t["frame"] for t in took],
            f"recolour_{name}_work_ms": [t["work"] for t in took],
        }
    return found


def change_steps(screen: Screen, plan: Plan) -> dict[str, list[float]]:
    """Walk down and up the steps by key, one when the last has settled; the first is warm-up."""
    steps, painted, settled = plan.texts.steps, [], []
    at, way = len(steps) - 1, -1
    screen.read(TEXTS, SHORT, steps[at])
    for _ in range(plan.repeats + 1):
        way = way if 0 <= at + way < len(steps) else -way
        at += way
        took = screen.timed(screen.press("]" if way > 0 else "["))
        painted.append(took["frame"])
        settled.append(screen.settled_ms(steps[at], took["from"]))
    return {"step_change_ms": painted[1:], "step_settled_ms": settled[1:]}


def text_reruns(screen: Screen, plan: Plan) -> dict[str, list[float]]:
    """Bytes by what is done to the page of a text, each round in a new session."""
    found: dict[str, list[float]] = {}
    token = screen.page.locator(".response .t")
    for _ in range(plan.reruns):
        for kind in plan.rerun_lengths:
            rollout, more = (
                (SHORT, min(LONG - SHORT - 1, plan.reruns)) if kind == "8,000 tokens" else (LONG, 1)
            )
            found.setdefault(f"first text, {kind}", []).append(
                screen.read(TEXTS, rollout, plan.texts.steps[-1])
            )
            acts = {
                "another step": [screen.press("[")],
                "that step again": [screen.press("]")],
                "another text": [screen.press("k")] * more,
                "that text again": [screen.press("j")] * more,
                "another colour": [screen.pick("Colour", "sampled loss")],
                "another token": [token.nth(9).click],
            }
            for name, each in acts.items():
                found.setdefault(f"{name}, {kind}", []).extend(screen.rerun(act) for act in each)
            screen.page.locator(".legend .handle").focus()
            found.setdefault(f"another threshold, {kind}", []).append(
                screen.rerun(screen.press("ArrowRight"))
            )
    return found


def page_reruns(screen: Screen, plan: Plan) -> dict[str, list[float]]:
    """Bytes of opening each page on a sample run, and of running it again."""
    found: dict[str, list[float]] = {}
    screen.rerun(lambda: screen.page.goto(screen.server))
    links = screen.page.get_by_test_id("stSidebarNavLink")
    for i, name in list(enumerate(links.all_inner_texts()))[: plan.pages][::-1]:
        found[f"open {name}"] = [screen.rerun(links.nth(i).click)]
        found[f"{name} again"] = [screen.rerun(screen.press("r")) for _ in range(plan.reruns)]
    return found


def environment(browser: Browser) -> dict[str, Any]:
    packages = {
        name: version(name) for name in ("streamlit", "duckdb", "pyarrow", "plotly", "playwright")
    }
    load = [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None
    known = {"python": platform.python_version(), "chromium": browser.version, **packages}
    return {"system": platform.platform(), "cores": os.cpu_count(), "load_average": load, **known}


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "n": len(values),
    }


def measure(folder: Path, plan: Plan) -> dict[str, Any]:
    """All of it, on logs written into `folder`."""
    texts, positions = (
        long_log.write(folder / name, shape)
        for name, shape in ((TEXTS, plan.texts), ("positions", plan.positions))
    )
    runs = [str(sample_runs()), str(texts)]
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        about = environment(browser)
        found = cold_starts(browser, positions, plan)
        with serving(
            lambda port: ["-m", "rockcore", "app", *runs, "--port", port, "--headless"], folder
        ) as server:
            with Screen.opened(browser, server) as screen:
                screen.read(
                    TEXTS, SHORT, plan.texts.steps[-1]
                )  # what the server works out once about a run is not measured
                sent = page_reruns(screen, plan)
            with Screen.opened(browser, server) as screen:
                found |= recolour(screen, plan) | change_steps(screen, plan)
                sent |= text_reruns(screen, plan)
        browser.close()
    found["rerun_bytes"] = [n for each in sent.values() for n in each]
    by_kind = {kind: summary(each) for kind, each in sent.items()}
    return {
        **{name: summary(each) for name, each in found.items()},
        "rerun_bytes_by_kind": by_kind,
        "environment": about,
    }


def report(results: dict[str, Any]) -> Table:
    about = ", ".join(f"{name} {value}" for name, value in results["environment"].items())
    table = Table("measured", "median", "95th percentile", "n", "goal", title=about)
    rows = {name: r for name, r in results.items() if "median" in r}
    for name, r in {
        **rows,
        **{f"bytes: {kind}": r for kind, r in results["rerun_bytes_by_kind"].items()},
    }.items():
        digits = 0 if "bytes" in name else 2 if name.endswith("_s") else 1
        goal = f"≤ {GOALS[name]:,}" if name in GOALS else ""
        table.add_row(
            name, f"{r['median']:,.{digits}f}", f"{r['p95']:,.{digits}f}", str(r["n"]), goal
        )
    return table


def main(
    repeats: int = 60,
    starts: int = 5,
    quick: bool = False,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure the dashboard in Chromium; --quick only shows that it can be measured, on texts of a
    tenth of their lengths.
    """
    if CHROMIUM is None:
        raise SystemExit(
            "There is no chromium on the PATH. The dashboard is measured in a real browser. "
            "Install chromium."
        )
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), QUICK if quick else Plan(repeats, starts, reruns=3))
    Console(width=150).print(report(results))
    if as_json:
        print(json.dumps(results))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
