"""Starts the dashboard's server behind its door. The port is taken before anything large is loaded.

    python app/serve.py '{"host": "127.0.0.1", "port": 8501, …}'

The fields are those of `rockcore app`, which runs this file in its own process. The secrets are
made here, so that no list of processes shows them.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # not this folder, whose modules are a package, nor the current one

from app import access, browser, early, opening  # noqa: E402
from app.access import Terms  # noqa: E402
from app.door import Door  # noqa: E402
from app.less import hidden, search_nothing  # noqa: E402
from rockcore.schema import RockError  # noqa: E402

if TYPE_CHECKING:
    from streamlit.starlette import App

# What the pages use, in the order in which a first text needs it; never a page or a component: that
# wants a script run to register in.
NEXT = ("pandas", "pyarrow.parquet", "duckdb", "rockcore.analysis.course", "app.data.rocks")
LATER = ("scipy.stats", "plotly.graph_objects")  # a second of CPU, and a text is drawn without
# Of its websockets what Streamlit's own server says: it would have to be loaded to be asked.
SOCKETS: dict[str, Any] = {
    "ws": "websockets-sansio",
    "ws_ping_interval": 30,
    "ws_ping_timeout": 30,
    "ws_max_size": 200_000_000,
    "ws_per_message_deflate": False,
}
_SWITCH_S = 0.0005  # tenfold as often as usual: an import must not keep the browser waiting
_USUAL_S = sys.getswitchinterval()
_PATIENCE_S = 20.0  # how long that waits for a text to be drawn


def load(wanted: Mapping[str, Any], port: int) -> App:
    """Streamlit, and the dashboard as an ASGI application. All that does not change from call to
    call stands in app/.streamlit/config.toml, which Streamlit reads beside main.py.
    """
    with hidden("plotly"):
        from streamlit.starlette import App
        from streamlit.web.bootstrap import load_config_options

    search_nothing()
    dashboard = App(HERE / "main.py")
    load_config_options(
        {
            "server.address": wanted["host"],
            "server.port": port,
            "server.allowedHosts": ["*"],  # the door knows better
        }
    )
    return dashboard


def prepare(runs: Sequence[str]) -> None:
    """Import what the pages use, and ask what the first one will."""
    try:
        for name in NEXT:
            importlib.import_module(name)
        from app.data import ahead

        ahead.begin(runs)
        early.drawn.wait(_PATIENCE_S)
    finally:
        sys.setswitchinterval(_USUAL_S)
        gc.freeze()  # what was loaded stays
        gc.enable()
    for name in LATER:
        importlib.import_module(name)


def serve(wanted: Mapping[str, Any], terms: Terms, listener: socket) -> None:
    """Answer at the socket until a signal ends it."""
    import uvicorn

    class Server(uvicorn.Server):
        failed = False

        def handle_exit(self, sig: int, frame: Any) -> None:
            super().handle_exit(sig, frame)
            application.give_up()

    def end() -> None:
        server.should_exit = server.failed = True

    def begin() -> App:
        dashboard = load(wanted, terms.port)
        threading.Thread(target=prepare, args=(wanted["runs"],), daemon=True).start()
        return dashboard

    files = early.Files(early.static_folder(), map(Path, wanted["runs"]))
    application = early.Early(files, begin, end)
    door = Door(application, terms, files.inline)
    config = uvicorn.Config(
        door,
        access_log=False,
        log_level="warning",
        use_colors=False,
        lifespan="on",
        **SOCKETS,
    )
    server = Server(config)
    # by a filter, as Streamlit sets their levels at a moment of its loading
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).addFilter(lambda said: said.levelno >= logging.WARNING)
    sys.setswitchinterval(_SWITCH_S)
    gc.disable()  # until a page is drawn: it would search what is loaded, of which nothing goes
    server.run([listener])
    if server.failed:
        raise SystemExit(3)  # the thread that loads it has said why


def main() -> None:
    wanted = json.loads(sys.argv[1])
    sys.argv = [str(HERE / "main.py"), *wanted["runs"]]  # what the script reads
    try:
        terms = opening.terms_of(wanted)
        listener = opening.listen(wanted["host"], wanted["port"])
    except RockError as e:
        raise SystemExit(f"error: {type(e).__name__}\n{e}") from None
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # as shells count
    with suppress(KeyboardInterrupt), listener:  # Ctrl-C is how it ends
        terms = replace(terms, port=listener.getsockname()[1])
        access.open_on(terms)
        print(opening.announcement(wanted["host"], terms), flush=True)
        link = opening.link_to_act(wanted["host"], terms)
        with nullcontext() if wanted["headless"] else browser.opened_at(link), farewell():
            serve(wanted, terms, listener)


@contextmanager
def farewell() -> Iterator[None]:
    """On leaving, tell of the trainings whose turn never came."""
    try:
        yield
    finally:
        turns = sys.modules.get("app.data.turns")  # not loaded, none was started
        if turns and (left := opening.left_waiting(turns.waiting())):
            print(left, flush=True)


if __name__ == "__main__":
    main()
