"""The command line: `rockcore train | rocks | compare | app`. Only `train` loads torch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

from rockcore.config import BadConfig, SessionConfig
from rockcore.schema import RockError

if TYPE_CHECKING:
    import pandas as pd

    from rockcore.rockset import RockSet
    from rockcore.rule import RockRule

_out, _err = Console(), Console(stderr=True)


@dataclass(frozen=True)
class Rocks:
    """Find the Rock Tokens of a run: types whose loss stays high in contexts that recur, and how sure that is."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    preset: str | None = None
    """default, paper, authors, strict or lenient."""
    rule: Path | None = None
    """A rule as a JSON file, as the dashboard saves it; what --json prints holds one too."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Change a field of the rule: tau_quantile=0.9, tau_pre=0.3 (nats), window=4, top_k=50, … May be repeated."""
    step: int | None = None
    """Checkpoint after training; default: the last one logged. The first one: --set pre_step=N."""
    joint_with: Path | None = None
    """For score=joint: the run whose losses have to be high too, in place of this run's first checkpoint."""
    categories: Path | None = None
    """Category rules as a TOML file, in front of the built-in ones; default: categories.toml in the run's folder, if it is there."""
    top: int | None = None
    """Show the first n types only; default: 30 on a terminal, all with --json and --csv."""
    json: bool = False
    """Print one JSON object instead of a table."""
    csv: bool = False
    """Print the table as CSV."""


@dataclass(frozen=True)
class Compare:
    """Set two runs, or two steps of one, side by side: which Rock Tokens they share, and which types changed rank."""

    a: tyro.conf.Positional[Path]
    """Folder of run A."""
    b: tyro.conf.Positional[Path]
    """Folder of run B; the same one compares two of its steps."""
    step_a: int | None = None
    """Rank the types of this step by Rock Score, in place of a rule over the whole run; default: the last, of one run the first."""
    step_b: int | None = None
    """The same for B; default: the last."""
    preset: str = "default"
    """The rule for two whole runs: default, paper, authors, strict or lenient."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Change a field of the rule, as for rocks."""
    top: int = 20
    """Where steps are ranked: so many types count as rocks."""
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
    | Annotated[Compare, tyro.conf.subcommand("compare")]
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
        elif isinstance(command, Compare):
            _compare(command)
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
    if not config.resume:
        config = replace(config, out=config.resolved().out)  # what is wrong with the settings is told before torch is loaded
    try:
        from rockcore.session import train
    except ModuleNotFoundError as e:
        raise BadConfig(f"{e.name} is not installed", "Training needs torch and transformers", 'python -m pip install -e ".[train]"') from e
    from rockcore.progress import TrainingBar

    what = "going on" if config.resume else f"a new run of {'your pair' if config.prompts else config.scenario}"
    _out.print(f"{config.out}: {what}", markup=False, highlight=False)
    with TrainingBar(_out) as bar:
        meta = train(config, bar.listen, bar.say)
    _out.print(f"{meta.status}: {config.out}" + (f" ({meta.reason})" if meta.reason else ""), markup=False, highlight=False)
    _out.print(f"look at it: rockcore app {config.out}", markup=False, highlight=False)


def _rocks(command: Rocks) -> None:
    from rockcore.categories import load_rules
    from rockcore.log import Run
    from rockcore.rocks import detect

    rule = _rule(command)
    other = None if command.joint_with is None else Run.open(command.joint_with)
    with _err.status("looking for rocks") if _err.is_terminal else nullcontext():
        found = detect(Run.open(command.run), rule, other, None if command.categories is None else load_rules(command.categories))
    if command.json:
        print(json.dumps(found.to_dict(command.top), allow_nan=False))
    elif command.csv:
        print(found.to_csv(command.top), end="")
    else:
        _out.print(_rock_table(found, command.top or 30, _out.width))
        for line in _summary(found):
            _out.print(line, markup=False, highlight=False)


def _rule(command: Rocks) -> RockRule:
    """The rule the flags describe. Raises BadRule."""
    from rockcore.rule import BadRule, RockRule, preset

    if command.rule is not None and command.preset is not None:
        raise BadRule("--rule and --preset", "Either is a whole rule", "Give one of them, and change its fields with --set")
    if command.json and command.csv:
        raise BadRule("--json and --csv", "Only one of them can be printed", "Give one of them")
    if command.rule is not None:
        try:
            rule = RockRule.from_json(command.rule.read_bytes())
        except OSError as e:
            raise BadRule(f"{command.rule} cannot be read ({e.strerror})", "It should hold a rule as JSON", "Check the path") from e
    else:
        rule = preset(command.preset or "default")
    rule = rule.with_settings(command.set)
    return rule if command.step is None else rule.changed(post_step=command.step)


_COLUMNS = {  # heading -> cell; on a narrow terminal the last ones are left out
    "token": lambda r: repr(r["token"]),
    "set": lambda r: "●" if r["in_set"] else "",
    "category": lambda r: r["category"],
    "n": lambda r: f"{r['frequency']:,}",
    "mean": lambda r: f"{r['mean']:.3f}",
    "share": lambda r: f"{r['share']:.1%}",
    "kept": lambda r: "–" if isnan(r["consistent"]) else f"{r['consistent']:.0f}",
    "class": lambda r: r["class"],
    "CCR": lambda r: "–" if isnan(r["ccr"]) else f"{r['ccr']:.2f}",
    "persistent": lambda r: f"{r['persistent']:.0f}",
    "R(v), nats": lambda r: f"{r['rock_score']:.2f}",
    "change, 95 %": lambda r: "–" if isnan(r["change_low"]) else f"{r['change_low']:+.2f} to {r['change_high']:+.2f}",
}


def _rock_table(found: RockSet, top: int, width: int) -> Table:
    from rich.text import Text

    frame, rule = found.tokens, found.rule
    title = f"{found.name}, steps {found.steps[0]} to {found.steps[-1]}, {rule.column}: {found.estimator}, {found.mode}"
    table = Table(title=Text(f"{title}: {min(top, len(frame))} of {len(frame)} types"), title_justify="left")
    shown = list(_COLUMNS.items())[: 8 if width < 100 else 10 if width < 130 else len(_COLUMNS)]
    for name, _ in shown:
        table.add_column(name, justify="left" if name in ("token", "category", "class") else "right", no_wrap=name != "token")
    for row in frame.head(top).to_dict("records"):
        table.add_row(*(Text(cell(row)) for _, cell in shown))
    return table


def _summary(found: RockSet) -> list[str]:
    """What stands below the table."""
    rule, n, stable = found.rule, found.occurrences, found.stability
    how = {"given": "as asked", "stability": "the largest stable one", "knee": "the knee of coverage", "tau_rock": "by τ_R"}
    kept = "unknown" if n["consistent"] is None else f"{n['consistent']:,} recur in similar contexts → {n['in_set']:,} of a type in the set"
    persistent = f"{n['persistent_low']:,} to {n['persistent_high']:,}" if n["persistent"] is None else f"{n['persistent']:,}"
    density = "unknown" if found.density["occurrence"] is None else f"{found.density['occurrence']:.1%}"
    return [
        f"K = {len(found.ids)} ({how[found.chosen_by]}), coverage {found.coverage:.1%}, split-half Jaccard {stable.value:.2f} "
        f"({stable.low:.2f} to {stable.high:.2f} over {rule.draws} splits)",
        f"τ_pre {rule.tau_pre:.3g}, τ_post {rule.tau_post:.3g} nats: {n['scored']:,} occurrences → {persistent} persistent → {kept}",
        f"type density {found.density['type']:.1%}, occurrence density {density}",
        *found.notes,
    ]


def _compare(command: Compare) -> None:
    from rockcore import compare
    from rockcore.log import Run
    from rockcore.rule import preset

    rule = preset(command.preset).with_settings(command.set)
    with _err.status("comparing") if _err.is_terminal else nullcontext():
        sides = compare.rankings(Run.open(command.a), Run.open(command.b), rule, (command.step_a, command.step_b), command.top)
    if command.json:
        print(compare.to_json(sides))
        return
    shared = compare.overlap(sides.a.ids, sides.b.ids)
    _out.print(_change_table(compare.rank_changes(*sides).head(30)))
    for letter, side in zip("AB", sides, strict=True):
        which = f"{len(side.ids)} of {len(side.types)} types by {side.score}"
        line = f"{letter}: {side.name}, {side.where}, {which}, {side.column}: {side.estimator}"
        _out.print(line, markup=False, highlight=False)
    both = f"{len(shared.both)} in both, {len(shared.only_a)} only in A, {len(shared.only_b)} only in B"
    _out.print(f"{both}, Jaccard {shared.jaccard:.2f}", markup=False, highlight=False)


def _change_table(rows: pd.DataFrame) -> Table:
    from rich.text import Text

    table = Table()
    cells = {"token": "{!r}", "where": "{}", "rank_a": "{}", "rank_b": "{}", "moved": "{:+}", "score_a": "{:.3f}", "score_b": "{:.3f}"}
    for name in cells:
        table.add_column(name.replace("_a", " A").replace("_b", " B"), justify="left" if name in ("token", "where") else "right")
    for row in rows[list(cells)].astype(object).where(rows[list(cells)].notna(), None).to_dict("records"):
        table.add_row(*(Text("–" if row[name] is None else form.format(row[name])) for name, form in cells.items()))
    return table


def _app(command: App) -> None:
    from rockcore.files import find_runs

    for place in command.runs:
        if not find_runs([place]):
            from rockcore.log import Run  # a second to load: only to say what is wrong

            Run.open(place)
    app = Path(__file__).parent.parent / "app"
    # all that does not change from call to call stands in app/.streamlit/config.toml, which Streamlit reads beside main.py
    options = {"server.address": "127.0.0.1", "server.port": command.port, "server.headless": str(command.headless).lower()}
    flags = [f"--{name}={value}" for name, value in options.items()]
    runs = [str(p.resolve()) for p in command.runs]
    child = subprocess.Popen([sys.executable, str(app / "serve.py"), "run", str(app / "main.py"), *flags, "--", *runs])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the child too, which then ends by itself
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    raise SystemExit(child.wait())
