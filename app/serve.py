"""Starts the dashboard's server behind its door, and meanwhile loads what the first page will need.

    python app/serve.py '{"host": "127.0.0.1", "port": 8501, …}'

The fields are those of `rockcore app`, which calls it. The secrets are made here, so that no list
of processes shows them. The browser takes a second or two to load Streamlit's own files; the server
would sit idle, and then import pandas.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # not this folder, whose modules are a package

import streamlit  # noqa: E402
from streamlit.starlette import App  # noqa: E402

from app import access, browser, opening  # noqa: E402
from app.door import Door  # noqa: E402
from rockcore.schema import RockError  # noqa: E402

FIRST = (
    "pandas",
    "pyarrow.parquet",
    "duckdb",
    "rockcore.rocks",
    "scipy.stats",  # a second of CPU, and the first page needs it
    "plotly.graph_objects",
)  # never a page or a component: that wants a script run to register in


class Guarded(App):
    """The dashboard as an ASGI application behind its door."""

    def __init__(self, wanted: Mapping[str, Any]):
        super().__init__(HERE / "main.py", lifespan=self._announce)
        self.wanted, self.terms = wanted, opening.terms_of(wanted)
        self.door = Door(super().__call__, self.terms, inline_scripts())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.door(scope, receive, send)

    @asynccontextmanager
    async def _announce(self, _: App) -> AsyncGenerator[None, None]:
        """Once the server is about to answer: print the links, open a browser, load the rest."""
        self.terms = replace(self.terms, port=streamlit.get_option("server.port"))
        self.door.terms = self.terms
        access.open_on(self.terms)
        host = self.wanted["host"]
        print(opening.announcement(host, self.terms), flush=True)
        threading.Thread(target=load, daemon=True).start()
        link = opening.link_to_act(host, self.terms)
        with nullcontext() if self.wanted["headless"] else browser.opened_at(link):
            yield
        turns = sys.modules.get("app.data.turns")  # not loaded, none was started
        if turns and (left := opening.left_waiting(turns.waiting())):
            print(left, flush=True)


def inline_scripts() -> tuple[str, ...]:
    """The scripts inside Streamlit's own page."""
    page = Path(streamlit.__file__).parent / "static" / "index.html"
    return tuple(re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.S))


def load() -> None:
    """Import what the pages use."""
    for name in FIRST:
        importlib.import_module(name)


def main() -> None:
    wanted = json.loads(sys.argv[1])
    sys.argv = [str(HERE / "main.py"), *wanted["runs"]]  # what the script reads
    try:
        guarded = Guarded(wanted)
        opening.refuse_taken(wanted["host"], wanted["port"])
    except RockError as e:
        raise SystemExit(f"error: {type(e).__name__}\n{e}") from None
    # all that does not change from call to call stands in app/.streamlit/config.toml, which
    # Streamlit reads beside main.py
    options = {
        "server.address": wanted["host"],
        "server.port": wanted["port"],
        "server.allowedHosts": ["*"],  # the door knows better
        "logger.hideWelcomeMessage": True,
    }
    with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
        guarded.run(config=options)


if __name__ == "__main__":
    main()
