"""Runs to test on, written through the real RunWriter. Their numbers are drawn, not trained."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: they compete for the cores
os.environ["ROCKCORE_CACHE"] = ""  # what a test reads it reads itself; those of the cache set one

import re
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chrome import CHROMIUM, FLAGS, PROBES, SECRET, Tab, serving
from hypothesis import HealthCheck, settings
from pages import MAIN
from patience import PATIENCE_S
from small_logs import write_small_log
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from app import access
from app.less import search_nothing
from rockcore.log import RunWriter, sample_runs
from rockcore.schema import TOP_ALTERNATIVES, RunMeta

if TYPE_CHECKING:
    import playwright.sync_api as playwright

# the machines are shared: a slow example is no failure
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A page is run as the server runs it: the search through the descriptions of all installed packages
# was most of the time of a page without a browser.
search_nothing()

PAGE_MS = 120_000  # of patience: a page that breaks fails many tests
MOST_WORKERS = 4  # each has a server and a Chromium of its own


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker a core, but none of them for a few tests: starting takes longer than they do."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    named = [Path(argument.split("::")[0]) for argument in config.args]
    few = config.option.keyword or config.option.lf or (len(named) < 3 and named[0].is_file())
    return 0 if few or cores == 1 else min(cores, MOST_WORKERS)


# Text that a careless page would run, format, reorder or lose.
HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<style>*{display:none}</style>",
    "</span><b>",
    "**bold**",
    "[link](http://example.invalid/x)",
    "![i](http://example.invalid/i.png)",
    ":red[x]",
    "$x^2$",
    "=1+1",
    "\u202egnihtyna",
    "\x00",
    "\\xff",
)
PLAIN = (
    "<pad>",
    "<eos>",
    "\n",
    "\n\n",
    ".\n",
    " ",
    "\t",
    "So",
    " Let",
    " the",
    " apples",
    "\\frac",
    "\\boxed",
    "{",
    "}",
    "$",
    " =",
    " +",
    "**",
)
WORDS = (*PLAIN, *(str(d) for d in range(10)), *HOSTILE)
STEPS = (0, 10, 20)
ROLLOUTS = 4


def _values(rng: np.random.Generator, step: int, tokens_BT: list[np.ndarray]) -> dict[str, Any]:
    """Columns of `tokens` for B responses: kl falls with the steps, sampled_loss has both signs."""
    ids = np.concatenate(tokens_BT)
    n = len(ids)
    kl = rng.gamma(0.3, 1.0, n) * (1 + ids % 5) / (1 + 0.05 * step)
    student_logp = -rng.gamma(0.5, 1.0, n)
    sampled_loss = rng.normal(0.1, 1.0, n)
    return {
        "step": np.full(n, step),
        "rollout_id": np.repeat(np.arange(len(tokens_BT)), [len(t) for t in tokens_BT]),
        "position": np.concatenate([np.arange(len(t)) for t in tokens_BT]),
        "token_id": ids,
        "kl": kl,
        "sampled_loss": sampled_loss,
        "student_logp": student_logp,
        "teacher_logp": student_logp - sampled_loss,
        "student_entropy": rng.gamma(1.0, 0.5, n),
        "teacher_entropy": rng.gamma(1.0, 0.4, n),
        "grad_norm": np.minimum(kl, 1.4),
        "weight": np.ones(n),
    }


def _alternatives(rng: np.random.Generator, ids: np.ndarray) -> dict[str, Any]:
    columns = {}
    for who in ("student", "teacher"):
        top = np.stack([rng.permutation(len(WORDS))[:TOP_ALTERNATIVES] for _ in ids])
        top[:, 1] = np.where((top == ids[:, None]).any(axis=1), top[:, 1], ids)
        p = np.sort(rng.dirichlet(np.ones(TOP_ALTERNATIVES) * 0.5, len(ids)), axis=1)[:, ::-1]
        columns[f"{who}_top_ids"] = top
        columns[f"{who}_top_logps"] = np.log(np.maximum(p, 1e-4))
    return columns


def _texts(step: int, tokens_BT: list[np.ndarray]) -> dict[str, Any]:
    b = len(tokens_BT)
    return {
        "step": [step] * b,
        "rollout_id": list(range(b)),
        "prompt": [f"Mia has {i} apples. <b>How many</b> has she now?" for i in range(b)],
        "teacher_prompt": [
            f"Style: brisk. Mia has {i} apples. <b>How many</b> has she now?" for i in range(b)
        ],
        "response": ["".join(WORDS[t] for t in row) for row in tokens_BT],
        "answer": [str(i) for i in range(b)],
        "correct": [None if i == 3 else i % 2 == 0 for i in range(b)],
        "truncated": [i == 2 for i in range(b)],
    }


def write_tiny_run(path: Path, steps: tuple[int, ...] = STEPS, seed: int = 0, **meta: Any) -> Path:
    """A run of three steps, four rollouts, both probe sets and evals; every word of WORDS occurs at
    every step.
    """
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {
        "student": "tiny-student",
        "teacher": "tiny-teacher",
        "tokenizer_hash": "0" * 16,
        "status": "finished",
    }
    fields |= {
        "scenario": "habit",
        "origin": "The student learned other habits.",
        "steps_planned": 20,
        "max_new_tokens": 64,
    }
    writer = RunWriter.create(
        path, RunMeta(name=path.name, vocab_size=len(WORDS), **(fields | meta)), _vocab()
    )
    probes = {"first": _sample(rng), "final": _sample(rng)}
    for probe_set, tokens_BT in probes.items():
        writer.write_probe_rollouts(probe_set, _texts(0, tokens_BT))
    for step in steps:
        tokens_BT = _sample(rng)
        values = _values(rng, step, tokens_BT)
        writer.append("rollouts", step, _texts(step, tokens_BT))
        writer.append("tokens", step, values)
        for probe_set, probe_BT in probes.items():
            probe = _values(rng, step, probe_BT)
            del probe["weight"]
            writer.append_probe(probe_set, step, probe | _alternatives(rng, probe["token_id"]))
        writer.append("metrics", step, _metrics(step, values["kl"]))
        writer.append("evals", step, _evals(rng, step))
    return path


def _vocab() -> dict[str, Any]:
    return {
        "token_id": range(len(WORDS)),
        "token": list(WORDS),
        "special": [w in ("<pad>", "<eos>") for w in WORDS],
    }


def _sample(rng: np.random.Generator) -> list[np.ndarray]:
    every = rng.permutation(len(WORDS))
    return [np.concatenate([every, rng.integers(2, len(WORDS), 20), [1]]) for _ in range(ROLLOUTS)]


def _metrics(step: int, kl: np.ndarray) -> dict[str, Any]:
    values = {
        "step": step,
        "rollouts": ROLLOUTS,
        "tokens": len(kl),
        "kl_mean": kl.mean(),
        "kl_stderr": kl.std() / len(kl) ** 0.5,
    }
    values |= {"accuracy": 0.5, "learning_rate": 1e-4, "update_norm": 1.0}
    values |= {"sample_s": 0.5, "teacher_s": 0.2, "student_s": 0.6, "update_s": 0.05, "log_s": 0.02}
    return {name: [value] for name, value in values.items()}


def _evals(rng: np.random.Generator, step: int, problems: int = 32) -> dict[str, Any]:
    return {
        "step": [step] * 2 * problems,
        "problem_id": [*range(problems)] * 2,
        "decoding": ["greedy"] * problems + ["sampled"] * problems,
        "correct": (rng.random(2 * problems) < 0.4 + step / 50).tolist(),
    }


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A factory: tiny_run("name", status="running") is the path of a new run in a folder of its
    own.
    """

    def make(name: str = "tiny", **changes: Any) -> Path:
        return write_tiny_run(tmp_path_factory.mktemp("runs") / name, **changes)

    return make


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    return write_small_log(tmp_path / "r")


# Pages without a browser.


@pytest.fixture
def may_act(monkeypatch: pytest.MonkeyPatch) -> None:
    """The visitor has shown the secret, as behind the link of `rockcore app`."""
    monkeypatch.setattr(access, "may_act", lambda: True)


@pytest.fixture
def open_app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., AppTest]:
    """open_app(page, place, …, step="10") runs that page on these places with this URL; the folder
    is an empty one. The visitor may only look, but for a test that also asks for `may_act`.
    """
    monkeypatch.chdir(tmp_path)

    def run(page: str, *places: Path, **url: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", [MAIN, *map(str, places)])
        app = AppTest.from_file(MAIN, default_timeout=PATIENCE_S)
        for name, value in url.items():
            app.query_params[name] = value
        # switch_page knows a page by its url_path only after a run, of another page
        app._page_hash = "" if page == "overview" else calc_hash(page)
        return app.run()

    return run


# Pages in a browser.

# Python imports this by itself at its start. What it refuses it writes down.
NO_NETWORK = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
        if event == "socket.connect":
            host = arguments[1][0] if isinstance(arguments[1], tuple) else None
        if isinstance(host, str) and host not in ("127.0.0.1", "::1", "localhost"):
            with open(FILE, "a") as file:
                file.write(f"{event} {host}\\n")
            raise OSError("The network is cut off.")
sys.addaudithook(refuse)
"""


@pytest.fixture(scope="session")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a Python with this file's folder on its path writes down whom it tried to reach."""
    file = tmp_path_factory.mktemp("offline") / "refused.txt"
    (file.parent / "sitecustomize.py").write_text(NO_NETWORK.replace("FILE", repr(str(file))))
    return file


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs that the server offers beside the bundled ones. A test file may add its
    own, under names of its own: the server finds them.
    """
    folder = tmp_path_factory.mktemp("served")
    write_tiny_run(folder / "tiny")
    write_tiny_run(folder / "second", seed=1)
    return folder


@pytest.fixture(scope="session")
def server(served: Path, refused: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`rockcore app` on a free port, cut off from the network, in a folder whose app.py must not be
    mistaken for ours.
    """
    folder = tmp_path_factory.mktemp("cwd")
    (folder / "app.py").write_text("raise SystemExit('a stranger')")
    path = os.pathsep.join([str(refused.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    runs = [str(sample_runs()), str(served)]
    with serving(
        lambda port: ["-m", "rockcore", "app", *runs, "--port", port, "--headless"],
        folder,
        os.environ | {"PYTHONPATH": path, "ROCKCORE_TOKEN": SECRET},
    ) as address:
        yield address


@pytest.fixture(scope="session")
def chromium() -> Iterator[playwright.Browser]:
    """One Chromium for all tests of this process."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("no chromium on the PATH")
    assert CHROMIUM, "CI has no chromium on the PATH"
    api.expect.set_options(timeout=PAGE_MS)
    with api.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split(), timeout=PAGE_MS)
        for name in ("new_context", "new_page"):
            setattr(chromium, name, _patient(getattr(chromium, name)))
        yield chromium
        chromium.close()


def _patient(make: Callable[..., Any]) -> Callable[..., Any]:
    """The same, of contexts and pages that wait as long as `expect` does."""

    def made(**options: Any) -> Any:
        new = make(**options)
        new.set_default_timeout(PAGE_MS)
        return new

    return made


@pytest.fixture
def browser(chromium: playwright.Browser) -> Iterator[playwright.Browser]:
    """The Chromium, in which a test leaves no page open."""
    others = chromium.contexts
    yield chromium
    for context in chromium.contexts:
        if context not in others:
            context.close()


@pytest.fixture
def tab(browser: playwright.Browser, server: str) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = Tab(context.new_page(), server)

    def guard(route: playwright.Route) -> None:
        if route.request.url.startswith((server, "data:", "blob:")):
            route.continue_()
        else:
            tab.external.append(route.request.url)
            route.abort()

    def console(message: playwright.ConsoleMessage) -> None:
        if message.type == "error" and not message.location["url"].endswith(PROBES):
            tab.errors.append(message.text)

    def websocket(opened: playwright.WebSocket) -> None:  # no route sees one
        if not opened.url.startswith(server.replace("http", "ws")):
            tab.external.append(opened.url)

    context.route("**/*", guard)
    tab.page.on("console", console)
    tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.page.on("websocket", websocket)
    yield tab
    context.close()
    assert tab.external == [], "the page asked for something outside this machine"
    assert tab.errors == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a picture of every page that a failed browser test has open, in a folder that git
    ignores.
    """
    report = yield
    browser = getattr(item, "funcargs", {}).get("browser")
    if report.failed and browser is not None:
        folder = item.config.rootpath / "test-screenshots"
        folder.mkdir(exist_ok=True)
        name = re.sub(r"[^\w.=,-]+", " ", item.name)
        for i, page in enumerate(
            [page for context in browser.contexts for page in context.pages], 1
        ):
            page.screenshot(path=folder / f"{name} {i}.png")
    return report
