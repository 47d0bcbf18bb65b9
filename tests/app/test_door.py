"""Whom the server answers, seen from a plain socket: names, origins, methods, secrets."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from chrome import SECRET, serving
from patience import PATIENCE_S

from app import opening
from app.access import BadSecret, Right, Terms
from app.door import Door
from app.opening import CannotOpen

VIEWING = "for-those-who-only-look"
WANTED = {
    "host": "127.0.0.1",
    "port": 8501,
    "private": False,
    "allow_host": [],
    "trainings": 1,
    "models": [],
    "prompts": [],
    "sets": [],
    "logs": [],
}
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", KEY]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Server(NamedTuple):
    port: int
    output: Path

    def ask(self, *headers: str, target: str = "/", method: str = "GET", to: str = "") -> Answer:
        """What comes back for exactly these headers; {port} in them is the server's."""
        lines = [f"{method} {target} HTTP/1.1", *headers]
        sent = "\r\n".join([*lines, "Connection: close", "", ""]).replace("{port}", str(self.port))
        if any(line == UPGRADE[0] for line in headers):
            sent = sent.replace("Connection: close\r\n", "")
        with socket.create_connection((to or "127.0.0.1", self.port), 30) as s:
            s.sendall(sent.encode("latin-1"))
            head = b""
            while b"\r\n\r\n" not in head and (more := s.recv(65536)):
                head += more
            status = int(head.split(b" ", 2)[1])
            while status != 101 and (more := s.recv(65536)):
                head += more
        top, _, body = head.partition(b"\r\n\r\n")
        named = [line.split(": ", 1) for line in top.decode("latin-1").split("\r\n")[1:]]
        return Answer(status, {n.lower(): v for n, v in named}, body.decode(errors="replace"))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """start("--private", …) is `rockcore app` with these flags, until this file's tests end."""
    with ExitStack() as stack:
        known: dict[tuple[str, ...], Server] = {}

        def begin(*flags: str) -> Server:
            if flags not in known:
                folder = tmp_path_factory.mktemp("door")
                secrets = {"ROCKCORE_TOKEN": SECRET, "ROCKCORE_VIEW_TOKEN": VIEWING}
                command = ["-m", "rockcore", "app", *flags, "--headless", "--port"]
                address = stack.enter_context(
                    serving(lambda port: [*command, port], folder, os.environ | secrets)
                )
                known[flags] = Server(int(address.rpartition(":")[2]), folder / "server.txt")
            return known[flags]

        yield begin


@pytest.fixture
def server(start) -> Server:
    return start()


OWN = ["localhost:{port}", "127.0.0.1:{port}", "LocalHost:{port}", "[::1]:{port}"]
FOREIGN = {
    "another name": "evil.example:{port}",
    "a name that begins alike": "localhost.evil.example:{port}",
    "a name that ends alike": "evil-localhost:{port}",
    "a user": "localhost:{port}@evil.example",
    "a user before it": "evil.example@localhost:{port}",
    "another port": "localhost:1",
    "no port": "localhost",
    "an empty port": "localhost:",
    "a port too many": "localhost:{port}:{port}",
    "a port of letters": "localhost:http",
    "a dot at the end": "localhost.:{port}",
    "all addresses": "0.0.0.0:{port}",
    "another spelling of the address": "127.1:{port}",
    "the address as a number": "2130706433:{port}",
    "another address of this machine": "127.0.0.2:{port}",
    "a path": "localhost:{port}/evil.example",
    "a query": "localhost:{port}?x",
    "two names": "localhost:{port}, evil.example",
    "a space": "localhost :{port}",
    "nothing": "",
}
PATHS = ["/", "/trace", "/_stcore/health", "/_stcore/host-config", "/static/js/x.js", "/media/x"]


@pytest.mark.parametrize("host", OWN)
def test_this_machine_is_answered_under_each_of_its_own_names(host: str, server: Server) -> None:
    assert server.ask(f"Host: {host}").status == 200
    origin = f"Origin: http://{host.lower()}"
    assert server.ask(f"Host: {host}", *UPGRADE, origin, target="/_stcore/stream").status == 101


@pytest.mark.parametrize("host", FOREIGN.values(), ids=FOREIGN)
def test_any_other_host_is_refused_for_pages_and_websockets(host: str, server: Server) -> None:
    answer = server.ask(f"Host: {host}")
    assert answer.status in (400, 421) and "<" not in answer.body
    assert server.ask(f"Host: {host}", *UPGRADE, target="/_stcore/stream").status in (400, 421)


@pytest.mark.parametrize("path", PATHS)
def test_a_foreign_host_is_refused_for_every_path_in_a_plain_sentence(
    path: str, server: Server
) -> None:
    answer = server.ask("Host: evil.example:{port}", target=path)
    assert answer.status == 421 and "--allow-host" in answer.body
    assert answer.headers["content-type"].startswith("text/plain")


def test_no_host_two_hosts_and_a_host_told_in_another_way_are_refused(server: Server) -> None:
    own = "Host: localhost:{port}"
    assert server.ask().status == 400
    assert server.ask(own, "Host: evil.example:{port}").status == 400
    assert server.ask(own, own).status == 400
    for header in ("X-Forwarded-Host", "Forwarded", "X-Host", "X-Original-Host"):
        told = f"{header}: {'host=' * (header == 'Forwarded')}localhost:{{port}}"
        assert server.ask("Host: evil.example:{port}", told).status == 421
        told = f"{header}: {'host=' * (header == 'Forwarded')}evil.example"
        assert server.ask(own, told).status == 200


@pytest.mark.skipif(find_spec("httptools") is not None, reason="it hands on the path alone")
def test_a_request_that_names_a_whole_address_is_refused(server: Server) -> None:
    for address in ("http://evil.example/", "http://localhost:{port}/"):
        assert server.ask("Host: localhost:{port}", target=address).status == 400


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:1", "https://localhost:{port}", "null", "http://",
     "http://127.0.0.1:{port}", "http://localhost:{port}.evil.example", "localhost:{port}",
     "http://localhost:{port}, http://evil.example", "file://"],
)  # fmt: skip
def test_another_origin_is_refused_for_pages_files_and_websockets(
    origin: str, server: Server
) -> None:
    host = "Host: localhost:{port}"
    for path in PATHS:
        assert server.ask(host, f"Origin: {origin}", target=path).status == 403
    stream = server.ask(host, *UPGRADE, f"Origin: {origin}", target="/_stcore/stream")
    assert stream.status == 403 and "own pages" in stream.body
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        asked = server.ask(
            host, f"Origin: {origin}", method=method, target="/_stcore/upload_file/x"
        )
        assert asked.status == 403
    assert server.ask(host, "Origin: http://localhost:{port}", f"Origin: {origin}").status == 403


def test_nothing_is_sent_to_the_server_but_by_the_websocket(server: Server) -> None:
    own = ("Host: localhost:{port}", "Origin: http://localhost:{port}", "Content-Length: 0")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        for path in ("/", "/_stcore/upload_file/session/file"):  # which Streamlit would take
            answer = server.ask(*own, method=method, target=path)
            assert answer.status == 405 and "GET and HEAD" in answer.body
    assert server.ask("Host: localhost:{port}", method="HEAD").status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_may_link_here_and_neither_embed_nor_load(
    site: str, server: Server
) -> None:
    def fetched(mode: str, dest: str) -> int:
        told = (f"Sec-Fetch-Site: {site}", f"Sec-Fetch-Mode: {mode}", f"Sec-Fetch-Dest: {dest}")
        return server.ask("Host: localhost:{port}", *told).status

    assert fetched("navigate", "document") == 200
    embedded = [("navigate", "iframe"), ("navigate", "object"), ("no-cors", "image")]
    loaded = [("no-cors", "script"), ("cors", "empty"), ("websocket", "empty")]
    for mode, dest in embedded + loaded:
        assert fetched(mode, dest) == 403


def test_every_answer_forbids_frames_and_other_hosts(server: Server) -> None:
    paths = [*PATHS, "/favicon.png", "/no/such/page", "/static/no.js", "/?access=wrong"]
    paths += [f"/?access={SECRET}", "/..%2f..%2fetc/passwd", "/_stcore/metrics"]
    for host in ("localhost:{port}", "evil.example"):
        for path in paths:
            headers = server.ask(f"Host: {host}", target=path).headers
            policy = headers["content-security-policy"]
            assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
            assert "unsafe-eval" not in policy and "*" not in policy and "http" not in policy
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "evil.example" not in policy


# The secret.


def test_the_link_leaves_a_cookie_and_leads_to_the_same_page_without_the_secret(
    server: Server,
) -> None:
    asked = f"/trace?run=habit&access={SECRET}&step=10"
    answer = server.ask("Host: localhost:{port}", target=asked)
    assert answer.status == 303 and answer.headers["location"] == "/trace?run=habit&step=10"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"rockcore_{server.port}={SECRET};")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert SECRET not in answer.body and answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "///evil.example"])
def test_the_link_never_leads_to_another_host(path: str, server: Server) -> None:
    answer = server.ask("Host: localhost:{port}", target=f"{path}?access={SECRET}")
    assert not re.match(r"[/\\]{2}|\w+:", answer.headers.get("location", ""))


@pytest.mark.parametrize("secret", ["", "wrong", SECRET[:-1], f"{SECRET}x", "%00", "%ED%A0%80"])
def test_a_link_with_another_secret_is_refused_in_words(secret: str, server: Server) -> None:
    answer = server.ask("Host: localhost:{port}", target=f"/?access={secret}")
    assert answer.status == 403 and "printed last" in answer.body
    assert "set-cookie" not in answer.headers


def test_the_secret_is_printed_once_and_stands_in_no_list_of_processes(server: Server) -> None:
    assert server.output.read_text().count(SECRET) == 1
    if sys.platform == "linux":
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert SECRET.encode() not in file.read_bytes()
            except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                continue


@pytest.mark.skipif(os.name == "nt", reason="a browser that is a shell script")
def test_the_browser_is_opened_by_a_file_that_only_its_owner_can_read_and_that_goes(
    tmp_path: Path,
) -> None:
    """The stand-in of a browser writes down what it was called with, and what it found there."""
    told, seen = tmp_path / "told", tmp_path / "seen"
    os.mkfifo(seen)
    script = tmp_path / "browser.sh"
    script.write_text(
        '#!/bin/sh\nfile="${1#file://}"\necho "$@" >"$0.args"\n'
        f'{{ stat -c %a "$file" || stat -f %Lp "$file"; cat "$file"; }} >{shlex.quote(str(seen))}\n'
    )
    script.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    known = {"BROWSER": f"{script} %s", "HOME": str(home), "ROCKCORE_TOKEN": SECRET}
    with told.open("w") as output:
        app = subprocess.Popen(
            [sys.executable, "-m", "rockcore", "app", "--port", "0"],
            env=os.environ | known,
            stdout=output,
        )
        rights, page = seen.read_text().split("\n", 1)  # waits for the browser
        app.terminate()
        assert app.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert rights == "600" and f"?access={SECRET}" in page
    assert SECRET not in (tmp_path / "browser.sh.args").read_text()
    assert SECRET in told.read_text() and not list(home.glob("*.html"))


def cookie(server: Server, secret: str) -> str:
    return f"Cookie: other=1; rockcore_{server.port}={secret}; strange; x=y"


@pytest.mark.parametrize("flags", [("--private",), ("--host", "0.0.0.0")], ids=str)
def test_where_looking_needs_a_link_nothing_is_answered_without_it(
    flags: tuple[str, ...], start
) -> None:
    server = start(*flags)
    host = "Host: localhost:{port}"
    assert server.ask(host, target="/_stcore/health").body == "ok"
    for path in set(PATHS) - {"/_stcore/health"}:
        for shown in ((), (cookie(server, "wrong"),), (f"Cookie: rockcore_1={SECRET}",)):
            answer = server.ask(host, *shown, target=path)
            assert answer.status == 403 and "terminal" in answer.body
    assert server.ask(host, *UPGRADE, target="/_stcore/stream").status == 403
    stream = f"/_stcore/stream?access={SECRET}"
    assert server.ask(host, *UPGRADE, target=stream).status == 403  # links are for pages
    for secret in (VIEWING, SECRET):
        answer = server.ask(host, target=f"/?access={secret}")
        assert answer.status == 303 and f"={secret};" in answer.headers["set-cookie"]
        assert "SameSite=Lax" in answer.headers["set-cookie"]  # a link in a mail leads here
        assert server.ask(host, cookie(server, secret)).status == 200
        shown = (host, *UPGRADE, cookie(server, secret))
        assert server.ask(*shown, target="/_stcore/stream").status == 101


def test_the_application_gets_no_cookie_but_the_dashboards_and_no_quotes_are_undone() -> None:
    """To undo quotes takes time that grows with the square of their number: any visitor could stop
    the server for all.
    """
    seen: list[list[bytes]] = []

    async def application(scope, receive, send) -> None:
        seen.append([value for name, value in scope["headers"] if name == b"cookie"])

    async def receive() -> dict[str, object]:
        return {}

    async def send(_: object) -> None:
        pass

    door = Door(application, Terms(acting=SECRET))
    quoted = b'"' + b"\\\\" * 25_000 + b'"'
    own = f"rockcore_8501={SECRET}".encode()
    for kind in ("http", "websocket"):
        for sent in (b"x=" + quoted + b"; " + own, own + b";y", b"rockcore_8501=" + quoted, b"="):
            headers = [(b"host", b"localhost:8501"), (b"cookie", sent)]
            scope = {"type": kind, "path": "/", "method": "GET", "headers": headers}
            with ThreadPoolExecutor(1) as thread:  # this one may have a browser's loop
                thread.submit(asyncio.run, door(scope, receive, send)).result()
    assert seen == [[own], [own], [], []] * 2


def test_who_may_act_keeps_that_right_on_opening_the_link_to_look(start) -> None:
    server = start("--private")
    answer = server.ask(
        "Host: localhost:{port}", cookie(server, SECRET), target=f"/?access={VIEWING}"
    )
    assert answer.status == 303 and "set-cookie" not in answer.headers


def test_open_to_a_network_it_answers_to_the_address_it_was_reached_at_and_to_its_own_name(
    start,
) -> None:
    server = start("--host", "0.0.0.0")
    shown = cookie(server, VIEWING)
    name = socket.gethostname().lower()
    assert server.ask(f"Host: {name}:{{port}}", shown).status == 200
    assert server.ask("Host: 127.0.0.2:{port}", shown, to="127.0.0.2").status == 200
    assert server.ask("Host: 127.0.0.2:{port}", shown).status == 421  # not where it came in
    for host in ("evil.example:{port}", "0.0.0.0:{port}", f"{name}.evil.example:{{port}}"):
        assert server.ask(f"Host: {host}", shown).status == 421
    told = server.output.read_text()
    assert "OPEN TO THE NETWORK" in told and "Nothing is encrypted" in told
    assert told.count(f"?access={VIEWING}") == 1 and told.count(f"?access={SECRET}") == 1


def test_further_names_are_those_that_the_command_line_allows(start) -> None:
    server = start("--allow-host", "Rocks.Example", "--allow-host", "other.example:444")
    shown = cookie(server, VIEWING)
    for host in ("rocks.example", "rocks.example:{port}", "other.example:444", "localhost:{port}"):
        assert server.ask(f"Host: {host}", shown).status == 200, host
        # a proxy that answers to this name lets the whole network in
        assert server.ask(f"Host: {host}").status == 403, host
    for host in ("rocks.example:1", "other.example", "other.example:{port}", "x.rocks.example"):
        assert server.ask(f"Host: {host}", shown).status == 421, host
    # behind a proxy that ends TLS
    origin = "Origin: https://rocks.example"
    assert server.ask("Host: rocks.example", origin, shown).status == 200
    own = ("Host: localhost:{port}", "Origin: https://localhost:{port}")
    assert server.ask(*own, shown).status == 403


# The terms.


def test_without_rockcore_app_nobody_may_act_and_everyone_may_look() -> None:
    for secret in ("", "x"):
        assert Terms().right_of(secret) is Right.LOOK


def test_each_start_makes_new_secrets_and_takes_those_of_the_environment_out_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = opening.terms_of(WANTED), opening.terms_of(WANTED)
    assert first.acting != second.acting and len(first.acting) > 40 and not first.looking
    monkeypatch.setenv("ROCKCORE_TOKEN", SECRET)
    assert opening.terms_of(WANTED).acting == SECRET
    assert opening.terms_of(WANTED).acting != SECRET


@pytest.mark.parametrize("secret", ["short", "with a space in it ....", "ümläute" * 5, "a;b" * 9])
def test_a_secret_that_protects_nothing_or_cannot_be_sent_is_refused(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROCKCORE_TOKEN", secret)
    with pytest.raises(BadSecret) as refused:
        opening.terms_of(WANTED)
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"port": 70000}, "65535"),
        ({"port": -1}, "65535"),
        ({"trainings": 0}, "1 or more"),
        ({"allow_host": ["http://x"]}, "--allow-host"),
        ({"allow_host": ["*"]}, "--allow-host"),
        ({"allow_host": [""]}, "--allow-host"),
    ],
)
def test_terms_that_cannot_be_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(CannotOpen, match=says):
        opening.terms_of(WANTED | wrong)


@pytest.mark.parametrize("host", ["203.0.113.77", "no.such.host.invalid", "x" * 90, "2001:db8::77"])
def test_an_address_that_this_machine_has_not_is_refused_in_words(host: str) -> None:
    with pytest.raises(CannotOpen, match="no address or name of this machine"):
        opening.listen(host, 0)


def test_a_port_that_is_taken_is_refused_in_words_and_one_that_was_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotOpen, match=f"--port {port} is taken.*another --port"):
            opening.listen("127.0.0.1", port)
    opening.listen("127.0.0.1", port).close()


def test_the_dashboard_itself_refuses_what_it_cannot_listen_on_without_a_traceback() -> None:
    command = ["-m", "rockcore", "app", "--headless", "--host", "203.0.113.77"]
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert ended.returncode == 1 and "--host 203.0.113.77" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost", "LOCALHOST"])
def test_an_address_of_this_machine_alone_opens_nothing(host: str) -> None:
    assert not opening.terms_of(WANTED | {"host": host}).looking


@pytest.mark.parametrize("name", ["localhost:8600", "LOCALHOST", "[::1]:80", "127.0.0.1:9"])
def test_a_further_name_of_this_machine_alone_opens_nothing(name: str) -> None:
    """As at the end of an ssh tunnel, whose port is another one."""
    assert not opening.terms_of(WANTED | {"allow_host": [name]}).looking
    terms = opening.terms_of(WANTED | {"allow_host": [name, "rocks.example"]})
    assert terms.looking and "rocks.example" in opening.announcement("127.0.0.1", terms)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "fe80::1", "box.example", "1"])
def test_any_other_address_makes_looking_need_a_link(host: str) -> None:
    terms = opening.terms_of(WANTED | {"host": host})
    assert terms.looking and terms.looking != terms.acting
    assert "OPEN TO THE NETWORK" in opening.announcement(host, terms)


def test_what_still_waits_at_the_end_is_told_by_name() -> None:
    assert opening.left_waiting([Path("runs/a"), Path("runs/b")]).endswith("waiting: a, b")
    assert opening.left_waiting([]) == ""


def test_a_folder_that_is_none_is_told_before_anything_is_opened(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rockcore", "app", "--models", str(tmp_path / "gone")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "NoFolder" in done.stderr and "gone is no folder" in done.stderr
