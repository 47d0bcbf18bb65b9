"""The command line: `rockcore train | score | rocks | scan | export | report | knockout | compare |
arms | compare-arms | import | app`. Only `train` and `score` load torch, and `knockout` where
something is left to answer; `arms` runs `train`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import tyro

from rockcore.commands import (
    app,
    arms,
    compare,
    compare_arms,
    export,
    imports,
    knockout,
    report,
    rocks,
    scan,
    score,
    train,
)
from rockcore.commands.console import err
from rockcore.config import SessionConfig
from rockcore.schema import RockError

# `lambda` is a word of Python's own; the flag is named here, so that a page that reads the settings
# loads no parser of command lines (a quarter of what it takes to load them)
SessionConfig.__annotations__["lambda_"] = Annotated[float | None, tyro.conf.arg(name="lambda")]

Command = (
    Annotated[SessionConfig, tyro.conf.subcommand("train")]
    | Annotated[score.Score, tyro.conf.subcommand("score")]
    | Annotated[rocks.Rocks, tyro.conf.subcommand("rocks")]
    | Annotated[scan.Scan, tyro.conf.subcommand("scan")]
    | Annotated[knockout.Knockout, tyro.conf.subcommand("knockout")]
    | Annotated[compare.Compare, tyro.conf.subcommand("compare")]
    | Annotated[arms.Arms, tyro.conf.subcommand("arms")]
    | Annotated[compare_arms.CompareArms, tyro.conf.subcommand("compare-arms")]
    | Annotated[imports.Import, tyro.conf.subcommand("import")]
    | Annotated[export.Export, tyro.conf.subcommand("export")]
    | Annotated[report.Report, tyro.conf.subcommand("report")]
    | Annotated[app.App, tyro.conf.subcommand("app")]
)
_RUN: dict[type, Callable[[Any], None]] = {
    SessionConfig: train.run,
    score.Score: score.run,
    rocks.Rocks: rocks.run,
    scan.Scan: scan.run,
    knockout.Knockout: knockout.run,
    compare.Compare: compare.run,
    arms.Arms: arms.run,
    compare_arms.CompareArms: compare_arms.run,
    imports.Import: imports.run,
    export.Export: export.run,
    report.Report: report.run,
    app.App: app.run,
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; errors a user can act on are printed without a traceback, exit code 1."""
    try:
        command = tyro.cli(
            Command,  # pyright: ignore[reportArgumentType]
            prog="rockcore",
            description="See which tokens stay hard in on-policy distillation.",
            args=arguments,
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
        )
        _RUN[type(command)](command)
    except KeyboardInterrupt:
        err.print("interrupted; what was logged is there", highlight=False)
        raise SystemExit(130) from None
    except RockError as e:
        err.print(f"[bold]error:[/] {type(e).__name__}", highlight=False)
        err.print(str(e), markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(1) from None
