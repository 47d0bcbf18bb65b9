"""Starts the dashboard's server: streamlit, which meanwhile loads what the first page will need.

    python app/serve.py run app/main.py -- RUN_OR_FOLDER ...

The browser takes a second or two to load Streamlit's own files; the server would sit idle, and then
import pandas.
"""

import importlib
import sys
import threading
import time
from pathlib import Path

sys.path[0] = str(
    Path(__file__).resolve().parent.parent
)  # not this folder, whose modules are a package

from streamlit import runtime  # noqa: E402
from streamlit.web import cli  # noqa: E402

FIRST = (
    "pandas",
    "pyarrow.parquet",
    "duckdb",
    "rockcore.rocks",
)  # never app: components want a page to register


def load() -> None:
    """Import what the pages use, once the server answers."""
    while not runtime.exists():
        time.sleep(0.02)
    for name in FIRST:
        importlib.import_module(name)


if __name__ == "__main__":
    threading.Thread(target=load, daemon=True).start()
    cli.main(prog_name="streamlit")
