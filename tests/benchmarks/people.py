"""How many people one dashboard serves: a class in front of it, each with a session of his own.

    python tests/benchmarks/people.py [--clients 40] [--rounds 3] [--beside CHECKOUT] [--json]

On the sample runs; four in five read in Trace and change the step or the text, one in five is in
the Threshold lab and moves a knob; each waits for the page, thinks for a second, and goes on. No
browsers: the visitors speak Streamlit's websocket (visitor.py), so what is measured is the server.
What is counted:

- latency: from a change to the end of the rerun that it asked for, in seconds.
- cpu: user and system time of the server by rerun, in milliseconds, also `alone`: one visitor, who
  does not wait.
- rss: resident memory of the server, in MB: warm, and after each round.
- herd: a fresh server, and all visitors ask for the same page and rule at the same moment; how
  often each rule was worked out.

`--beside`: another checkout of this project is served too, and the rounds alternate between both.
The server has two cores (`--cores`), the visitors the others, if there are any. Needs Linux.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from streamlit.proto.WidgetStates_pb2 import WidgetState

sys.path.insert(0, str(Path(__file__).parent.parent))
from chrome import serving  # noqa: E402
from processes import descendants, stat  # noqa: E402
from visitor import Visitor  # noqa: E402

ROOT = Path(__file__).parents[2]
TRACE, LAB = "trace", "threshold_lab"
QUANTILES = (0.87, 0.88, 0.89, 0.9, 0.91, 0.92)  # of the lab's thresholds
GOALS = {"trace_p95_s": 1.5, "threshold_lab_p95_s": 2.0, "alone_cpu_ms": 35.0}
# Python imports this by itself at its start: it writes down each rule that is worked out.
COUNT = """
import importlib.abc, importlib.machinery, sys
class Counted(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "rockcore.rocks.examined":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            conclude = module.conclude
            def counted(run, detection, *more):
                with open(FILE, "a") as file:
                    file.write(f"{run.path.name} {detection.rule.short()}\\n")
                return conclude(run, detection, *more)
            module.conclude = counted
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Counted())
"""


@dataclass(frozen=True)
class Plan:
    """How much is measured. `alone`: reruns of one visitor on each page."""

    clients: int = 40
    rounds: int = 3
    seconds: float = 30.0
    think_s: float = 1.0
    lab: float = 0.2
    seed: int = 0
    cores: int = 2
    alone: int = 40


@dataclass
class Served:
    """A server at work, and what is measured of it."""

    name: str
    address: str
    counts: Path
    parent: int
    latency: dict[str, list[list[float]]] = field(default_factory=dict)  # page -> by round
    cpu_ms: list[float] = field(default_factory=list)  # by round
    rss_mb: list[float] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def cpu_s(self) -> float:
        """User and system time so far, of all its processes."""
        ticks = sum(int(n) for pid in descendants(self.parent) for n in stat(pid)[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss(self) -> float:
        """Resident memory in MB."""
        pages = sum(int(stat(pid)[21]) for pid in descendants(self.parent))
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def served(checkout: Path, plan: Plan) -> Iterator[Served]:
    """A checkout's dashboard on its sample runs, on the first cores alone."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts.txt"
        counts.touch()
        Path(folder, "sitecustomize.py").write_text(COUNT.replace("FILE", repr(str(counts))))
        path = [folder, str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
        command = ["-m", "rockcore", "app", str(checkout / "sample_runs"), "--headless", "--port"]
        ours, before = os.sched_getaffinity(0), set(descendants(os.getpid()))
        os.sched_setaffinity(0, sorted(ours)[: plan.cores])  # what is started now keeps it
        with serving(lambda port: [*command, port], Path(folder), env) as address:
            os.sched_setaffinity(0, set(sorted(ours)[plan.cores :]) or ours)
            new = set(descendants(os.getpid())) - before
            parent = next(p for p in new if int(stat(p)[1]) == os.getpid())
            yield Served(checkout.name, address, counts, parent)
        os.sched_setaffinity(0, ours)


def change(visitor: Visitor, rng: random.Random) -> WidgetState:
    """What this visitor does next."""
    if visitor.page == LAB:
        state = WidgetState(id=visitor.widgets["widget tau_quantile"].id)
        state.double_array_value.data.append(rng.choice(QUANTILES))
        return state
    if rng.random() < 0.7:
        slider = visitor.widgets["widget step"]
        state = WidgetState(id=slider.id)
        state.string_array_value.data.append(rng.choice(slider.options))
        return state
    box = visitor.widgets["widget rollout"]
    return WidgetState(id=box.id, string_value=rng.choice(box.options[:12]))


async def stays(served: Served, visitor: Visitor, plan: Plan, until: float, seed: int) -> int:
    """One visitor, up to this moment; how many reruns he has seen."""
    rng, took = random.Random(seed), served.latency[visitor.page][-1]
    reruns = 0
    await asyncio.sleep(rng.random() * plan.think_s)
    while time.perf_counter() < until:
        began = time.perf_counter()
        await visitor.rerun(change(visitor, rng))
        took.append(time.perf_counter() - began)
        reruns += 1
        await asyncio.sleep(plan.think_s)
    return reruns


async def warm(served: Served, plan: Plan) -> None:
    """Have all answered once that will be asked, and measure a visitor alone."""
    for page in (TRACE, LAB):
        visitor = await Visitor.arrives(served.address, page, "run=habit")
        await visitor.rerun()
        rng = random.Random(plan.seed)
        for _ in range(6 * len(QUANTILES)):
            await visitor.rerun(change(visitor, rng))
        cpu, began = served.cpu_s(), time.perf_counter()
        for _ in range(plan.alone):
            await visitor.rerun(change(visitor, rng))
        served.found |= {
            f"{page}_alone_cpu_ms": 1000 * (served.cpu_s() - cpu) / plan.alone,
            f"{page}_alone_s": (time.perf_counter() - began) / plan.alone,
        }
        served.errors += visitor.errors
        await visitor.leaves()
    share = {LAB: plan.lab, TRACE: 1 - plan.lab}
    served.found["alone_cpu_ms"] = sum(served.found[f"{p}_alone_cpu_ms"] * share[p] for p in share)
    served.rss_mb.append(served.rss())


async def lesson(served: Served, plan: Plan, round: int) -> None:
    """One round: all come, look around, and go."""
    lab = round_half_up(plan.lab * plan.clients)
    pages = [LAB] * lab + [TRACE] * (plan.clients - lab)
    visitors = [await Visitor.arrives(served.address, page, "run=habit") for page in pages]
    await asyncio.gather(*(v.rerun() for v in visitors))
    for page in (TRACE, LAB):
        served.latency.setdefault(page, []).append([])
    cpu, until = served.cpu_s(), time.perf_counter() + plan.seconds
    seeds = (f"{plan.seed} {round} {i}" for i in range(plan.clients))
    each = (stays(served, v, plan, until, hash_of(s)) for v, s in zip(visitors, seeds, strict=True))
    reruns = sum(await asyncio.gather(*each))
    served.cpu_ms.append(1000 * (served.cpu_s() - cpu) / max(reruns, 1))
    served.errors += [error for v in visitors for error in v.errors]
    await asyncio.gather(*(v.leaves() for v in visitors))
    served.rss_mb.append(served.rss())


def round_half_up(value: float) -> int:
    return int(value + 0.5)


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode(), "big")


async def herd(served: Served, plan: Plan) -> None:
    """All ask the same at once, of a server that has shown nothing but its first page."""
    first = await Visitor.arrives(served.address, "", "run=habit")
    await first.rerun()
    asked = [await Visitor.arrives(served.address, LAB, "run=habit") for _ in range(plan.clients)]
    began, cpu, took = time.perf_counter(), served.cpu_s(), []

    async def ask(visitor: Visitor) -> None:
        await visitor.rerun()
        took.append(time.perf_counter() - began)

    await asyncio.gather(*map(ask, asked))
    counts = Counter(served.counts.read_text().splitlines())
    served.found["herd"] = {
        "p50_s": float(np.median(took)),
        "last_s": max(took),
        "cpu_s": served.cpu_s() - cpu,
        "rules": len(counts),
        "worked_out": sum(counts.values()),
    }
    for visitor in [first, *asked]:
        served.errors += visitor.errors
        await visitor.leaves()


def summary(served: Served) -> dict[str, Any]:
    pages = {
        f"{page}_{name}_s": float(np.percentile([t for each in rounds for t in each], q))
        for page, rounds in served.latency.items()
        for name, q in (("p50", 50), ("p95", 95))
    }
    counted = {f"{page}_reruns": sum(map(len, each)) for page, each in served.latency.items()}
    return {
        **pages,
        **counted,
        "cpu_ms": float(np.mean(served.cpu_ms)),
        "rss_mb": [round(n) for n in served.rss_mb],
        **served.found,
        "errors": len(served.errors),
        "first_errors": served.errors[:3],
    }


def measure(checkouts: list[Path], plan: Plan) -> dict[str, Any]:
    """All of it, by checkout; of two, one round of this after one of the other."""
    herds = {}
    for checkout in checkouts:
        with served(checkout, plan) as one:
            asyncio.run(herd(one, plan))
            herds[checkout] = one
    results: dict[str, Any] = {}
    if len(checkouts) == 2:
        with served(checkouts[0], plan) as a, served(checkouts[1], plan) as b:
            sides = [a, b]
            asyncio.run(rounds(sides, plan))
    else:
        with served(checkouts[0], plan) as a:
            sides = [a]
            asyncio.run(rounds(sides, plan))
    for checkout, side in zip(checkouts, sides, strict=True):
        side.found |= herds[checkout].found
        side.errors += herds[checkout].errors
        results[str(checkout)] = summary(side)
    return results


async def rounds(sides: list[Served], plan: Plan) -> None:
    for side in sides:
        await warm(side, plan)
    for round in range(plan.rounds):
        for side in sides:
            await lesson(side, plan, round)


def report(results: dict[str, Any], about: dict[str, Any]) -> Table:
    title = ", ".join(f"{name} {value}" for name, value in about.items())
    table = Table("measured", *(Path(name).name for name in results), "goal", title=title)
    for name in next(iter(results.values())):
        cells = [shown(each[name]) for each in results.values()]
        table.add_row(name, *cells, f"≤ {GOALS[name]:g}" if name in GOALS else "")
    return table


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(each)}" for name, each in value.items())
    return f"{value:.3g}" if isinstance(value, float) and value < 100 else str(value)


def main(
    clients: int = 40,
    rounds: int = 3,
    seconds: float = 30.0,
    lab: float = 0.2,
    cores: int = 2,
    seed: int = 0,
    beside: Path | None = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure the dashboard under a class of visitors."""
    if sys.platform != "linux":
        raise SystemExit("The server's time and memory are read from /proc: this needs Linux.")
    plan = Plan(clients, rounds, seconds, lab=lab, cores=cores, seed=seed)
    checkouts = [ROOT, *([beside.resolve()] if beside else [])]
    results = measure(checkouts, plan)
    load = [round(x, 2) for x in os.getloadavg()]
    about = {"cores": len(os.sched_getaffinity(0)), "load average": load}
    about |= {"python": platform.python_version(), "streamlit": version("streamlit")}
    Console(width=140).print(report(results, about | {"clients": clients}))
    if as_json:
        print(json.dumps({"results": results, "environment": about}))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
