"""What is answered before the dashboard is there, seen from plain sockets: the page at once, the
rest late, nothing twice and nothing never.

A real `rockcore app` is held where it loads a module, until a test has seen what it wanted to see.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import pytest
from chrome import SECRET, held
from conftest import write_tiny_run
from patience import PATIENCE_S

from app import early
from app.data import ahead

pytestmark = pytest.mark.skipif(os.name == "nt", reason="holds a process by a named pipe")
STREAMLIT = "streamlit.errors"  # among the first that Streamlit loads of its own
READABLE = "Rock Token Explorer</b>"
Ask = Callable[..., tuple[int, str]]


@contextmanager
def asking(port: int) -> Iterator[Ask]:
    """ask(path, method, **headers) by one connection that is kept open: the status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        connection.request(
            method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")

    yield ask
    connection.close()


def test_the_page_and_its_files_are_there_before_streamlit_is(tmp_path: Path) -> None:
    run = write_tiny_run(tmp_path / "<b>a & b")
    with held(tmp_path, STREAMLIT, str(run)) as app, asking(app.port) as ask:
        for path in ("/", "/trace"):
            status, page = ask(path)
            assert (
                status == 200
                and READABLE in page
                and "Opening <bdi>&lt;b&gt;a &amp; b</bdi>" in page
            )
            assert ask(path, "HEAD") == (200, "")
        linked = re.findall(r'(?:src|href)="\.(/static/[^"]+)"', page)
        assert len(linked) > 9
        assert all(ask(path)[0] == 200 for path in linked)
        # below a page a browser looks for Streamlit first: it hears at once that it is not there
        below = [ask(f"/trace/_stcore/{what}") for what in ("health", "host-config")]
        app.release()
        assert ask("/_stcore/health") == (200, "ok")
        assert below == [ask("/trace/_stcore/health")] * 2 and below[0][0] == 404


def test_the_doors_hold_before_streamlit_is_there(tmp_path: Path) -> None:
    with held(tmp_path, STREAMLIT, "--private") as app, asking(app.port) as ask:
        for path in ("/", "/trace", "/static/x.js", "/favicon.png"):
            status, words = ask(path)
            assert status == 403 and "needs the link" in words
            assert ask(path, Host="evil.example")[0] == 421
            assert ask(path, Origin="http://evil.example")[0] == 403
            assert ask(path, "POST")[0] == 405
        assert ask(f"/?access={SECRET}")[0] == 303
        status, page = ask("/", Cookie=f"rockcore_{app.port}={SECRET}")
        assert status == 200 and READABLE in page


def test_what_is_asked_for_early_is_answered_once_and_never_refused(tmp_path: Path) -> None:
    """Fifty connections, kept open, while one server takes over from the other."""
    there, paths = (
        Event(),
        ("/", "/trace", "/favicon.png", "/_stcore/health", "/_stcore/host-config"),
    )

    def visit(path: str, ask: Ask) -> list[tuple[int, str]]:
        answers = [ask(path)]
        while not there.is_set():
            answers.append(ask(path))
        return [*answers, ask(path)]

    with ExitStack() as stack:
        app = stack.enter_context(held(tmp_path, STREAMLIT))
        pool = stack.enter_context(ThreadPoolExecutor(51))
        asks = [stack.enter_context(asking(app.port)) for _ in range(50)]
        visits = [pool.submit(visit, paths[n % 5], ask) for n, ask in enumerate(asks)]
        early_socket = pool.submit(upgrade, app.port)
        app.release()
        with asking(app.port) as ask:
            assert ask("/_stcore/health") == (200, "ok")
        there.set()
        answers = [one for visit in visits for one in visit.result(PATIENCE_S)]
        assert {status for status, _ in answers} == {200} and len(answers) >= 100
        assert early_socket.result(PATIENCE_S) == b"HTTP/1.1 101"
        assert READABLE in visits[0].result()[0][1] and READABLE not in visits[0].result()[-1][1]


def test_no_request_is_written_to_the_terminal_as_streamlit_would_have_it(tmp_path: Path) -> None:
    with held(tmp_path, STREAMLIT) as app:
        app.release()
        for _ in range(2):  # the second connection begins after Streamlit has said what it wants
            with asking(app.port) as ask:
                assert ask("/_stcore/health") == (200, "ok")
        assert "GET /" not in app.output.read_text()


def upgrade(port: int) -> bytes:
    """The first words of the answer to a websocket."""
    lines = [
        "GET /_stcore/stream HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as s:
        s.sendall("\r\n".join([*lines, "", ""]).encode())
        return s.recv(12)


@pytest.mark.parametrize("module", ["uvicorn", STREAMLIT, "_duckdb"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_before_streamlit_while_that_is_loaded_and_after(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    with (
        held(tmp_path, module) as app,
        socket.create_connection(("127.0.0.1", app.port), PATIENCE_S) as s,
    ):
        request = f"GET /_stcore/health HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n\r\n"
        s.sendall(request.encode())
        app.process.send_signal(number)
        assert app.process.wait(PATIENCE_S) == (0 if number == signal.SIGINT else 128 + number)
    assert "Traceback" not in app.output.read_text()


def test_a_signal_ends_it_without_a_traceback_before_it_knows_what_is_asked_for(
    tmp_path: Path,
) -> None:
    with held(tmp_path, "tyro") as app:
        app.process.send_signal(signal.SIGINT)
        assert app.process.wait(PATIENCE_S) == 130
    assert "Traceback" not in app.output.read_text()


def test_where_streamlit_cannot_be_loaded_it_ends_and_says_why(tmp_path: Path) -> None:
    with held(tmp_path, STREAMLIT) as app, asking(app.port) as ask:
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(ask, "/_stcore/health")
            app.release("raise ImportError('a broken package')")
            assert late.result(PATIENCE_S)[0] == 503
        assert app.process.wait(PATIENCE_S) == 3 and "a broken package" in app.output.read_text()


def test_a_note_goes_into_any_page_and_names_a_few_runs() -> None:
    page = early.page_with_note("<html><body class=x><i></i></body></html>", map(Path, "abcde"))
    assert page.startswith("<html><body class=x>\n<style>")
    assert "<bdi>a</bdi>, <bdi>b</bdi>, <bdi>c</bdi>, and 2 more" in page


def test_no_path_leads_out_of_the_folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "index.html").write_text("<body></body>")
    (tmp_path / "secret.txt").write_text("x")
    files = early.Files(tmp_path / "static", [])
    for path in (
        "/../secret.txt",
        "/static/../../secret.txt",
        "//secret.txt",
        "/index.html",
        "/a/b",
    ):
        assert files.at(path) is None


def printed(code: str) -> list[str]:
    """The words that a Python of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_its_websockets_are_as_streamlits_own_server_would_have_them() -> None:
    code = """
from app import serve
serve.load({"host": "127.0.0.1"}, 8501)
from streamlit.web.server.starlette import starlette_server
theirs = starlette_server._get_uvicorn_config_kwargs()
print(*(name for name in theirs if name.startswith("ws")))
print(*(name for name in serve.SOCKETS if serve.SOCKETS[name] == theirs[name]))
"""
    names = printed(code)
    assert len(names) == 10 and names[:5] == names[5:]


def test_streamlit_is_loaded_without_plotly_and_charts_have_its_colours() -> None:
    code = """
import sys
from app import serve
serve.load({"host": "127.0.0.1"}, 8501)
print("plotly" in sys.modules)
from app import charts
import plotly.io
print(plotly.io.templates.default)
"""
    assert printed(code) == ["False", "streamlit"]


def test_what_a_first_page_asks_is_worked_out_before_it_and_garbage_is_collected_after(
    tmp_path: Path,
) -> None:
    run = write_tiny_run(tmp_path)
    code = f"""
import gc, sys, threading
from app import early, serve
sys.argv = ["main.py", {str(run)!r}]
gc.disable()
early.drawn.set()
serve.prepare(sys.argv[1:])
from app.data import rocks, runs, texts
from app.work import is_known
run = runs.key({str(run)!r})
print(is_known(runs.facts, run), is_known(texts.scale, run, "kl"), gc.isenabled())
"""
    assert printed(code) == ["True"] * 3


def test_a_run_that_cannot_be_read_is_left_to_its_page(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    ahead.begin([str(tmp_path)])
    ahead.begin([str(tmp_path / "no such run")])


def test_a_command_that_is_named_is_all_that_is_loaded() -> None:
    code = "import sys; from rockcore.cli import read; read(['app']); print(*sys.modules)"
    assert not {"numpy", "pyarrow", "streamlit", "rockcore.commands.arms"} & set(printed(code))
