"""What a browser gets while the dashboard is still being loaded: the page, with words in it.

Python takes a second or two to load Streamlit, and a browser takes as long to load Streamlit's
files. So both go on at once: the page and its files need none of Streamlit's Python, and are given
out from the start. Over the page lies a note that can be read until there is something else to
read; that is told by a rule of style, no script. All else that is asked for early is answered late:
it waits until the dashboard is there, and so no request fails or is asked for twice.
"""

from __future__ import annotations

import asyncio
import mimetypes
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import AbstractAsyncContextManager, suppress
from html import escape
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, Protocol

from rockcore.colours import PAGE, TEXT

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Dashboard(Protocol):
    """What is waited for: `streamlit.starlette.App`."""

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]: ...

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Answer(NamedTuple):
    body: bytes
    headers: dict[str, str]
    status: int = 200


# Where a browser does not know :has, the note would never go: there it is not shown.
NOTE = Template("""
<style>
  #opening { display: none; }
  @supports selector(:has(a)) {
    #opening { position: fixed; inset: 0; z-index: 1; display: flex; flex-direction: column;
      align-items: center; justify-content: center; gap: .5rem; padding: 1rem; text-align: center;
      background: $page; color: $text; font: 1rem/1.5 system-ui, sans-serif; }
    #opening b { font-size: 1.5rem; }
    #opening bdi { overflow-wrap: anywhere; }
    @media (prefers-color-scheme: dark) { #opening { background: $dark_page; color: $dark_text; } }
    body:has([data-testid=stMain] :is(h1, h2, h3, p)) #opening, body:has([role=dialog]) #opening
      { display: none; }
  }
</style>
<div id="opening" role="status"><b>Rock Token Explorer</b><span>Opening $what …</span></div>
""")
_PAGE = re.compile(r"/[a-z_]*")  # the pages' own addresses; what lies below one is no page
# A browser asks for Streamlit below the page first. It need not wait to hear that it is not there.
_NO_STREAMLIT = re.compile(r"/[a-z_]+/_stcore/(health|host-config)")
_MOST_NAMES = 3


drawn = threading.Event()  # a page has been drawn: what else is to be loaded is in nobody's way


def static_folder() -> Path:
    """Where Streamlit's page and its files lie; it is not loaded for this."""
    spec = find_spec("streamlit")
    assert spec is not None and spec.submodule_search_locations  # a dependency of this package
    return Path(spec.submodule_search_locations[0]) / "static"


def page_with_note(page: str, runs: Iterable[Path]) -> str:
    """Streamlit's page with a note of what is being opened."""
    names = [f"<bdi>{escape(run.name or str(run))}</bdi>" for run in runs]
    more = [f"and {len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    what = ", ".join(names[:_MOST_NAMES] + more) or "the sample runs and ./runs"
    (page_light, page_dark), (text_light, text_dark) = PAGE, TEXT
    note = NOTE.substitute(
        page=page_light, dark_page=page_dark, text=text_light, dark_text=text_dark, what=what
    )
    page = page.replace("<title>Streamlit</title>", "<title>Rock Token Explorer</title>")
    return re.sub(r"<body[^>]*>", lambda body: body[0] + note, page, count=1)


class Files:
    """The page and the files it loads."""

    def __init__(self, folder: Path, runs: Iterable[Path]):
        page = (folder / "index.html").read_text(encoding="utf-8")
        self.inline = tuple(re.findall(r"<script>(.*?)</script>", page, re.S))  # its own scripts
        self._page = page_with_note(page, runs).encode()
        found = (file for file in folder.rglob("*") if file.suffix not in (".html", ".json"))
        self._files = {f"/{file.relative_to(folder).as_posix()}": file for file in found}

    def at(self, path: str) -> Answer | None:
        """What there is at a path of the server, headed as Streamlit heads it."""
        if _PAGE.fullmatch(path):
            return Answer(
                self._page,
                {"content-type": "text/html; charset=utf-8", "cache-control": "no-cache"},
            )
        if _NO_STREAMLIT.fullmatch(path):
            return Answer(b"Not Found", {"content-type": "text/plain; charset=utf-8"}, 404)
        file = self._files.get(path)
        if file is None or not file.is_file():
            return None
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        kept = "public, immutable, max-age=31536000" if path.startswith("/static/") else "no-cache"
        return Answer(file.read_bytes(), {"content-type": kind, "cache-control": kept})


class Early:
    """An ASGI application that gives out the page while `load` makes the dashboard in a thread.
    `end` is called where that fails.
    """

    def __init__(self, files: Files, load: Callable[[], Dashboard], end: Callable[[], None]):
        self.files, self.load, self.end = files, load, end
        self.dashboard: Dashboard | None = None
        self._loaded: Dashboard | None = None
        self._waited = asyncio.Event()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if self.dashboard is None and scope["type"] == "http":
            answer = self.files.at(scope["path"])
            if answer is not None:
                await _give(scope["method"], send, answer)
                return
        await self._waited.wait()
        if self.dashboard is not None:
            await self.dashboard(scope, receive, send)
        elif scope["type"] == "http":
            gone = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}
            words = b"The dashboard was ended before it was there.\n"
            await _give(scope["method"], send, Answer(words, gone, 503))
        else:
            await send({"type": "websocket.close", "code": 1012, "reason": ""})

    def give_up(self) -> None:
        """Keep nobody waiting any longer."""
        self._waited.set()

    async def _live(self, receive: Receive, send: Send) -> None:
        """The protocol of an ASGI application's life, with the dashboard's inside."""
        await receive()
        await send({"type": "lifespan.startup.complete"})
        ended = asyncio.Event()
        opening = asyncio.create_task(self._open(ended))
        await receive()
        ended.set()
        self.give_up()
        if self.dashboard is None:
            opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        await send({"type": "lifespan.shutdown.complete"})

    async def _open(self, ended: asyncio.Event) -> None:
        loop, loaded = asyncio.get_running_loop(), asyncio.Event()

        def work() -> None:
            try:
                self._loaded = self.load()
            finally:
                with suppress(RuntimeError):  # the server has ended meanwhile
                    loop.call_soon_threadsafe(loaded.set)

        threading.Thread(target=work, daemon=True).start()
        await loaded.wait()
        try:
            if self._loaded is not None:  # else the thread has said why
                async with self._loaded.lifespan()(self):
                    self.dashboard = self._loaded
                    self._waited.set()
                    await ended.wait()
        finally:
            if self.dashboard is None and not ended.is_set():
                self.end()
                self.give_up()


async def _give(method: str, send: Send, answer: Answer) -> None:
    headers = {**answer.headers, "content-length": str(len(answer.body))}
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": named})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})
