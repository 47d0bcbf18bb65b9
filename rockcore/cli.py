"""The command line: `rockcore train | rocks | app`. Only `train` loads torch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

from rockcore.config import BadConfig, SessionConfig
from rockcore.schema import RockError

if TYPE_CHECKING:
    import pandas as pd

_out, _err = Console(), Console(stderr=True)


@dataclass(frozen=True)
class Rocks:
    """Rank the token types of a run by Rock Score: how much of the summed kl falls on each."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    step: int | None = None
    """Step to rank; default: the last one logged."""
    top: int | None = None
    """Show the first n types only; default: 30 on a terminal, all with --json."""
    json: bool = False
    """Print one JSON object instead of a table."""


@dataclass(frozen=True)
class App:
    """Open the dashboard in a browser, on this machine only."""

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Runs, or folders of runs; default: the sample runs and ./runs."""
    port: int = 8501
    """Port on localhost."""
    headless: bool = False
    """Do not open a browser window."""


Command = (
    Annotated[SessionConfig, tyro.conf.subcommand("train")]
    | Annotated[Rocks, tyro.conf.subcommand("rocks")]
    | Annotated[App, tyro.conf.subcommand("app")]
)


def main(arguments: list[str] | None = None) -> None:
    """Run one command; errors a user can act on are printed without a traceback, with exit code 1."""
    command = tyro.cli(
        Command,  # pyright: ignore[reportArgumentType]
        prog="rockcore",
        description="See which tokens stay hard in on-policy distillation.",
        args=arguments,
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    try:
        if isinstance(command, SessionConfig):
            _train(command)
        elif isinstance(command, Rocks):
            _rocks(command)
        else:
            _app(command)
    except KeyboardInterrupt:
        _err.print("interrupted; what was logged is there", highlight=False)
        raise SystemExit(130) from None
    except RockError as e:
        _err.print(f"[bold]error:[/] {type(e).__name__}", highlight=False)
        _err.print(str(e), markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(1) from None


def _train(config: SessionConfig) -> None:
    try:
        from rockcore.session import train
    except ModuleNotFoundError as e:
        raise BadConfig(f"{e.name} is not installed", "Training needs torch and transformers", 'python -m pip install -e ".[train]"') from e
    from rockcore.progress import TrainingBar

    if config.out is None and not config.resume:
        config = replace(config, out=config.resolved().out)
    what = "going on" if config.resume else f"a new run of {'your pair' if config.prompts else config.scenario}"
    _out.print(f"{config.out}: {what}", markup=False, highlight=False)
    with TrainingBar(_out) as bar:
        meta = train(config, bar.listen)
    _out.print(f"{meta.status}: {config.out}" + (f" ({meta.reason})" if meta.reason else ""), markup=False, highlight=False)
    _out.print(f"look at it: rockcore app {config.out}", markup=False, highlight=False)


def _rocks(command: Rocks) -> None:
    from rockcore import rocks
    from rockcore.log import Run

    run = Run.open(command.run)
    if command.json:
        print(json.dumps(rocks.report(run, command.step, command.top)))
        return
    step = rocks.last_step(run) if command.step is None else command.step
    _out.print(_rock_table(rocks.rank(run, step), f"{run.meta.name}, step {step}, kl: {run.meta.estimator}", command.top or 30))


def _rock_table(frame: pd.DataFrame, title: str, top: int) -> Table:
    from rich.text import Text

    table = Table(title=Text(f"{title}: {min(top, len(frame))} of {len(frame)} types"), title_justify="left")
    for name in ("token", "category", "n", "mean kl", "R(v), nats", "share", "coverage"):
        table.add_column(name, justify="left" if name in ("token", "category") else "right")
    for row in frame.head(top).itertuples():
        numbers = f"{row.frequency:,}", f"{row.mean_kl:.4f}", f"{row.rock_score:.2f}", f"{row.share:.1%}", f"{row.coverage:.1%}"
        table.add_row(Text(repr(row.token)), row.category, *numbers)
    return table


def _app(command: App) -> None:
    from rockcore.log import Run, find_runs

    for place in command.runs:
        if not find_runs([place]):
            Run.open(place)  # says what is wrong with it
    main_file = Path(__file__).parent.parent / "app" / "main.py"
    # all that does not change from call to call stands in app/.streamlit/config.toml, which Streamlit reads beside main.py
    options = {"server.address": "127.0.0.1", "server.port": command.port, "server.headless": str(command.headless).lower()}
    flags = [f"--{name}={value}" for name, value in options.items()]
    runs = [str(p.resolve()) for p in command.runs]
    child = subprocess.Popen([sys.executable, "-m", "streamlit", "run", str(main_file), *flags, "--", *runs])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the child too, which then ends by itself
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    raise SystemExit(child.wait())
