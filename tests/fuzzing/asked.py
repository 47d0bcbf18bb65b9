"""The doors: commands in this process and pages without a browser, asked about a run that may be
damaged. What must never be is said as a sentence.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import traceback
import unicodedata
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from chrome import PAGES
from fuzzing.answers import Refusal
from pages import MAIN, words
from patience import PATIENCE_S
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from rockcore import cli

LONGEST = 1500  # characters of a message
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")


class Printed(NamedTuple):
    code: int
    out: str
    err: str


def command(*arguments: str) -> Printed:
    """Run a command here; texts that no terminal could print raise as they would there."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors=e) for e in ("strict", "replace"))
    code = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main(list(arguments))
        except SystemExit as e:
            code = e.code if isinstance(e.code, int) else 1
        for stream in (out, err):
            stream.flush()
    return Printed(code, *(s.buffer.getvalue().decode("utf-8") for s in (out, err)))  # type: ignore[attr-defined]


def complaint(message: str) -> str:
    """What is wrong with the message of an error; empty where it has its three parts."""
    if message.count(". ") < 2 or not message.endswith("."):
        return f"a message without its three parts: {message[:300]!a}"
    if len(message) > LONGEST:
        return f"a message of {len(message)} characters: {message[:300]!a}"
    return ""


def not_for_terminals(text: str) -> str:
    """The first character that a terminal would obey, and what stands around it."""
    for i, c in enumerate(text):
        if (unicodedata.category(c) == "Cc" and c not in "\n\t") or _BIDI.match(c):
            return f"{c!a} on the terminal: {text[max(0, i - 40) : i + 40]!a}"
    return ""


def formula(text: str) -> str:
    """The first cell of a CSV that a spreadsheet would compute."""
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not _is_number(cell):
                return f"a formula in the CSV: {cell[:80]!a}"
    return ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def printed(*arguments: str) -> tuple[Any, str]:
    """What a command says, as an answer: JSON where it was asked for, else True; and what must not
    be, empty where all is well.
    """
    code, out, err = command(*arguments)
    if code == 1:
        said = err.partition("\n")[2]
        wrong = complaint(said.strip()) or not_for_terminals(err)
        if "Traceback" in err or not err.startswith("error: "):
            wrong = f"exit code 1 without an error: {err[-500:]!a}"
        return Refusal(err.split("\n")[0].removeprefix("error: "), said), wrong
    if code:
        return None, f"exit code {code}: {err[-300:]!a}"
    if "--json" in arguments:
        try:
            found = json.loads(out, parse_constant=_no_constant)
        except ValueError as e:
            return None, f"no JSON: {e}"
        return found, not_for_terminals(out + err)
    wrong = formula(out) if "--csv" in arguments else not_for_terminals(out)
    return True, wrong or not_for_terminals(err)


def page(name: str, places: list[Path], run: str | None) -> AppTest:
    """One page on these places; raises if it does not end."""
    sys.argv = [MAIN, *map(str, places)]
    app = AppTest.from_file(MAIN, default_timeout=PATIENCE_S)
    if run is not None:
        app.query_params["run"] = run
    app._page_hash = "" if name == "overview" else calc_hash(name)
    return app.run()


def pages(run: Path, other: Path) -> list[str]:
    """What is wrong on any page of a run, and on pages of an untouched one that lies beside it."""
    wrong: list[str] = []
    asked = run.name if _is_text(run.name) and run.name != other.name else None
    around = [(name, asked) for name in PAGES]
    around += [(name, other.name) for name in ("live", "compare")]
    for name, which in around:
        where = f"page {name} of {'the run' if which == asked else 'another run'}"
        try:
            app = page(name, [run, other], which)
        except Exception:  # whatever it is, it is to be told
            wrong.append(f"{where}: {traceback.format_exc()[-600:]}")
            continue
        for e in app.exception:
            wrong.append(f"{where}: {e.value} {' '.join(map(str, e.stack_trace[-3:]))}"[:900])
        if which != asked and "cannot be opened" in words(app):
            wrong.append(f"{where}: {words(app)[:300]}")
    return wrong


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name.isprintable() and os.fsencode(name).decode() == name
