"""`rockcore app`: the dashboard, served on this machine only."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class App:
    """Open the dashboard in a browser, on this machine only."""

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Runs, folders of runs, or comparisons of arms; default: the sample runs and ./runs."""
    port: int = 8501
    """Port on localhost."""
    headless: bool = False
    """Do not open a browser window."""


def run(command: App) -> None:
    from rockcore.log import find_runs
    from rockcore.log.arms import find_arms

    for place in command.runs:
        if not find_runs([place]) and not find_arms([place]):
            from rockcore.log import Run  # a second to load: only to say what is wrong

            Run.open(place)
    app = Path(__file__).parents[2] / "app"
    # all that does not change from call to call stands in app/.streamlit/config.toml, which
    # Streamlit reads beside main.py
    options = {
        "server.address": "127.0.0.1",
        "server.port": command.port,
        "server.headless": str(command.headless).lower(),
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    runs = [str(p.resolve()) for p in command.runs]
    child = subprocess.Popen(
        [sys.executable, str(app / "serve.py"), "run", str(app / "main.py"), *flags, "--", *runs]
    )
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the child too, which then ends by itself
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    raise SystemExit(child.wait())
