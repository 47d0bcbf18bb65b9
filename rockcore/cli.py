"""The command line: `rockcore train | score | rocks | scan | export | report | knockout | compare |
arms | compare-arms | import | app`. Only `train` and `score` load torch, and `knockout` where
something is left to answer; `arms` runs `train`. A command that is named is all that is loaded; and
nothing large before `main`, which knows what to say of a Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Annotated, Any, NamedTuple, Union

from rockcore.schema import RockError

# as typed: the module of rockcore.commands, and what it can be told
COMMANDS = {
    "train": ("train", "SessionConfig"),
    "score": ("score", "Score"),
    "rocks": ("rocks", "Rocks"),
    "scan": ("scan", "Scan"),
    "knockout": ("knockout", "Knockout"),
    "compare": ("compare", "Compare"),
    "arms": ("arms", "Arms"),
    "compare-arms": ("compare_arms", "CompareArms"),
    "import": ("imports", "Import"),
    "export": ("export", "Export"),
    "report": ("report", "Report"),
    "app": ("app", "App"),
}
_ABOUT = "See which tokens stay hard in on-policy distillation."


class Asked(NamedTuple):
    """A command with its values, and what runs it."""

    command: Any
    run: Callable[[Any], None]


def read(words: list[str]) -> Asked:
    """What the words of a command line ask for; ends the process where they are no command."""
    import tyro

    named = words[0] if words and words[0] in COMMANDS else None
    kinds = {kind: (name, run) for name, kind, run in _load([named] if named else COMMANDS)}
    config = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    if named:
        command: Any = tyro.cli(*kinds, prog=f"rockcore {named}", args=words[1:], config=config)
    else:
        offered = tuple(
            Annotated[kind, tyro.conf.subcommand(name)] for kind, (name, _) in kinds.items()
        )
        command = tyro.cli(  # pyright: ignore[reportCallIssue]
            Union[offered],  # noqa: UP007  # pyright: ignore[reportArgumentType]
            prog="rockcore",
            description=_ABOUT,
            args=words,
            config=config,
        )
    return Asked(command, kinds[type(command)][1])


def _load(names: Iterable[str]) -> Iterable[tuple[str, type, Callable[[Any], None]]]:
    for name in names:
        module = import_module(f"rockcore.commands.{COMMANDS[name][0]}")
        kind = getattr(module, COMMANDS[name][1])
        if (settings := sys.modules.get("rockcore.config")) is not None:  # of train and arms
            import tyro

            # `lambda` is a word of Python's own; the flag is named here, so that a page that reads
            # the settings loads no parser of command lines (a quarter of what it takes to load
            # them)
            lambda_ = Annotated[float | None, tyro.conf.arg(name="lambda")]
            settings.SessionConfig.__annotations__["lambda_"] = lambda_
        yield name, kind, module.run


def main(arguments: list[str] | None = None) -> None:
    """Run one command; errors a user can act on are printed without a traceback, exit code 1."""
    try:
        asked = read(sys.argv[1:] if arguments is None else arguments)
        asked.run(asked.command)
    except KeyboardInterrupt:
        _say().print("interrupted; what was logged is there", highlight=False)
        raise SystemExit(130) from None
    except RockError as e:
        _say().print(f"[bold]error:[/] {type(e).__name__}", highlight=False)
        _say().print(str(e), markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(1) from None


def _say() -> Any:
    from rockcore.commands.console import err  # Rich's bars with it, which `app` has no use for

    return err
