"""What the tests of pages share that run without a browser: all words of one, and runs that are
damaged.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from chrome import APP
from streamlit.testing.v1 import AppTest

MAIN = str(APP / "main.py")
RunFactory = Callable[..., Path]


def words(app: AppTest) -> str:
    """All text of a page."""
    return "\n".join(
        str(e.value)
        for kind in ("title", "header", "subheader", "text", "markdown", "caption")
        for e in getattr(app, kind)
    )


def own_buttons(app: AppTest) -> list[str]:
    """The labels of the page's own buttons: those in its head, as above every page, left out."""
    head = ("Words", "Find a token", "Reset", "Present", "Leave")
    return [b.label for b in app.main.button if b.label not in head]


def cut_tokens(run: Path) -> None:
    file = next((run / "tokens").glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:200])


def spoil_pages(run: Path) -> None:
    """Keep the footer, so that the file opens, and overwrite what it points to."""
    for file in [
        f
        for table in ("tokens", "types", "probe/final")
        for f in (run / table).glob("step=*.parquet")
    ]:
        whole = file.read_bytes()
        file.write_bytes(b"PAR1" + b"\xff" * (len(whole) // 2) + whole[len(whole) // 2 + 4 :])


def other_version(run: Path) -> None:
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(meta | {"schema_version": 99}))


DAMAGES = {
    "a cut file": cut_tokens,
    "spoiled pages": spoil_pages,
    "another schema version": other_version,
    "no run.json": lambda run: (run / "run.json").unlink(),
    "no vocabulary": lambda run: (run / "vocab.parquet").unlink(),
    "no folder": shutil.rmtree,
}
