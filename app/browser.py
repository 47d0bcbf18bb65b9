"""Opens a browser at the link to act, which no list of processes may show.

The command line of a browser can be read by every user of the machine. So it is given a file that
only its owner can read, which leads on to the link; a moment later the file is gone. It lies in the
home folder and is not hidden: browsers that are kept in a sandbox read nothing else.
"""

from __future__ import annotations

import os
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path

_KEPT_S = 60  # a browser that has to start first reads it late


@contextmanager
def opened_at(link: str) -> Iterator[None]:
    """Open a browser at `link`; on leaving, the file that led there is gone. Where none can be
    written nothing is opened: the link stands in the terminal.
    """
    try:
        number, name = tempfile.mkstemp(prefix="rockcore-", suffix=".html", dir=Path.home())
    except (OSError, RuntimeError):  # no home
        yield
        return
    file = Path(name)
    with os.fdopen(number, "w", encoding="utf-8") as opened:  # mkstemp: for its owner alone
        opened.write(
            f'<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0; url={escape(link)}"><title>Rock Token '
            "Explorer</title>"
        )
    later = threading.Timer(_KEPT_S, _remove, (file,))
    later.daemon = True
    later.start()
    threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
    try:
        yield
    finally:
        _remove(file)


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
