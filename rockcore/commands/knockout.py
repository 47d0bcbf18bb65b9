"""`rockcore knockout`: a knockout screen of a run's last student, as a table, JSON or CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.progress import BarColumn, TextColumn
from rich.table import Table

from rockcore.commands.console import Bar, err, out
from rockcore.commands.options import BadOptions, check_top
from rockcore.lazy import loaded_for_good
from rockcore.spelling import as_json

if TYPE_CHECKING:
    from rockcore.analysis.knockouts import Knockouts
    from rockcore.log.screens import Screen
    from rockcore.training.screen import ScreenProgress


@dataclass(frozen=True)
class Knockout:
    """Take tokens out of what a run's last student may write, one at a time, and measure what that
    does to its answers.

    Goes on with the screen that is there; every finished candidate is kept.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    candidates: tuple[str, ...] = ()
    """Which tokens: ids, texts of tokens (in double quotes as JSON, which a digit needs), or the
    file of a set. Without it the Rock Tokens, and the types that follow by score.
    """
    count: int | None = None
    """How many tokens by score; without it all Rock Tokens, and 50 at least."""
    random: int | None = None
    """Random types of like frequency beside them; without it 10, or none with --candidates."""
    no_windows: bool = False
    """Do not knock out tokens with their windows."""
    no_steered: bool = False
    """Do not knock out tokens with their spellings."""
    problems: int | None = None
    """Held-out problems; without it 200, or as many as there are."""
    rollouts: int | None = None
    """Answers to each problem, 4 or more; without it 4."""
    seed: int | None = None
    """Of the noise that all arms share; without it 0."""
    epsilon: float = 0.01
    """What counts as an effect, as a share of the problems."""
    alpha: float = 0.05
    """The level of a verdict."""
    correction: Literal["max-T", "BH"] = "max-T"
    """What makes the tests of a screen one family: max-T (any false verdict in a share alpha of the
    screens) or BH (a share alpha of the verdicts false).
    """
    device: str | None = None
    """cpu or cuda; default: cuda where there is one."""
    processes: int | None = None
    """Processes for a small model on a CPU; without it one a core."""
    top: int | None = None
    """Show the first n candidates only; default: 30 on a terminal, all with --json and --csv."""
    json: bool = False
    """Print one JSON object instead of a table."""
    csv: bool = False
    """Print the candidates as CSV."""


def run(command: Knockout) -> None:
    from rockcore.analysis.knockout_report import as_csv, as_dict
    from rockcore.analysis.knockouts import examine

    _refuse(command)
    found = examine(_screen(command), _levels(command))
    if command.json:
        print(as_json(as_dict(found, command.top)))
    elif command.csv:
        print(as_csv(found, command.top), end="")
    else:
        out.print(_table(found, command.top or 30))
        for line in summary(found):
            out.print(line, markup=False, highlight=False)


def _refuse(command: Knockout) -> None:
    """Raises BadOptions for flags that contradict each other or that cannot work."""
    check_top(command.top)
    if command.json and command.csv:
        raise BadOptions("--json and --csv", "Only one of them can be printed", "Give one of them")
    if command.candidates and command.count is not None:
        raise BadOptions(
            f"--count {command.count} with --candidates",
            "It is how many tokens are taken by score, where none is named",
            "Give one of them",
        )
    for name, least in (("random", 0), ("seed", 0), ("processes", 1)):
        value = getattr(command, name)
        if value is not None and value < least:
            raise BadOptions(
                f"--{name} {value}", f"It is at least {least}", f"Give {least} or more"
            )
    for name in ("epsilon", "alpha"):
        value = getattr(command, name)
        if not 0 < value < 1:
            raise BadOptions(f"--{name} {value}", "It is a share between 0 and 1", "Give one")


def _levels(command: Knockout):
    from rockcore.analysis.knockout_tests import Levels

    return Levels(command.epsilon, command.alpha, command.correction)


def _screen(command: Knockout) -> Screen:
    """The screen, gone on with where something is left or asked for; reading needs no torch."""
    from rockcore.log import Run
    from rockcore.log.screens import Screen

    asked = _wanted(command)
    settings = (command.problems, command.rollouts, command.seed)
    found = Run.open(command.run)
    if asked is None and settings == (None, None, None) and Screen.exists(found.path):
        there = Screen(found)
        if len(there.finished) == len(there.candidates) > 0:
            return there
    try:
        with loaded_for_good():
            from rockcore.training import screen
            from rockcore.training.ending import as_interrupt
    except ModuleNotFoundError as e:
        raise BadOptions(
            f"{e.name} is not installed",
            "A screen lets a model answer, which needs torch and transformers",
            'python -m pip install -e ".[train]"',
        ) from e
    with as_interrupt(), _Bar() as bar:
        return screen.run(
            found.path,
            screen.ScreenSettings(
                asked, *settings, device=command.device, processes=command.processes
            ),
            bar.listen,
            bar.say,
        )


def _wanted(command: Knockout):
    """What is asked for; None where no flag says it."""
    from rockcore.analysis.knockout_candidates import Wanted

    plain = command.no_windows or command.no_steered
    if not command.candidates and command.count is None and command.random is None and not plain:
        return None
    return Wanted(
        command.candidates,
        command.count,
        command.random,
        steered=not command.no_steered,
        windows=not command.no_windows,
    )


class _Bar(Bar):
    """Shows how far a screen is, on standard error: the table is what is printed."""

    def __init__(self) -> None:
        super().__init__(
            err,
            TextColumn("{task.fields[phase]}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
        )
        self.tasks = {}

    def say(self, sentence: str) -> None:
        err.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def listen(self, now: ScreenProgress) -> None:
        if now.phase not in self.tasks:
            self.tasks[now.phase] = self.bar.add_task("", total=now.total, phase=now.phase)
        counted = f"{now.finished} of {now.candidates} candidates"
        phase = counted if now.phase == "candidates" else now.phase
        self.bar.update(self.tasks[now.phase], completed=now.done, phase=phase)


_COLUMNS = {  # heading -> cell; on a narrow terminal the last ones are left out
    "token": lambda r: repr(r["token"]) if r["kind"] != "window" else f"W({r['token']!r})",
    "kind": lambda r: r["kind"] if len(r["ids"]) == 1 else f"{r['kind']} of {len(r['ids'])}",
    "Δ points": lambda r: f"{100 * r['delta']:+.2f}",
    "95 %": lambda r: f"{100 * r['low']:+.2f} to {100 * r['high']:+.2f}",
    "verdict": lambda r: r["verdict"] + (", needed" if r["needed"] else ""),
    "max-T": lambda r: f"{r['p_max']:.3f}",
    "BH": lambda r: f"{r['q_bh']:.3f}",
    "p": lambda r: f"{r['p']:.3f}",
    "changed": lambda r: f"{r['changed']:.0%}",
    "instead": lambda r: r["replaced"],
}


def _table(found: Knockouts, top: int) -> Table:
    from rich.text import Text

    plan, n = found.plan, len(found.candidates)
    title = (
        f"{found.screen.run.path.name}, step {plan.step}: {plan.problems} problems × "
        f"{plan.rollouts} rollouts, {min(top, n)} of {n} candidates"
    )
    table = Table(title=Text(title), title_justify="left")
    width = out.width
    shown = list(_COLUMNS.items())[: 5 if width < 90 else 9 if width < 130 else len(_COLUMNS)]
    for name, _ in shown:
        left = name in ("token", "kind", "verdict", "instead")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "instead")
    for row in found.candidates.head(top).to_dict("records"):
        table.add_row(*(Text(cell(row)) for _, cell in shown))
    return table


def summary(found: Knockouts) -> list[str]:
    """What stands below the table."""
    accuracy, naive, centred = found.accuracy, found.signs.naive, found.signs.centred
    lines = [
        f"Baseline accuracy {accuracy.value:.1%} ({accuracy.low:.1%} to {accuracy.high:.1%}); "
        f"ε = {100 * found.levels.epsilon:g} in points, level {found.levels.alpha:g}."
    ]
    for row in found.census.to_dict("records"):
        counts = ", ".join(
            f"{row[v]} {v}" for v in ("Strong Pillar", "Neutral", "Strong Stumbling", "undecided")
        )
        needed = f" ({row['pillars_needed']} Pillars the answer needs)"
        decides = ", which decides" if row["decides"] else ""
        lines.append(f"{row['how']}{decides}: {counts}{needed if row['pillars_needed'] else ''}")
    if found.placebo:
        band = found.placebo
        lines.append(
            f"{band.n} shams: mean {100 * band.mean:+.2f} points, 95 % within "
            f"{100 * band.low:+.2f} to {100 * band.high:+.2f}, {band.rejected} with p <= "
            f"{found.levels.alpha:g}."
        )
    lines.append(
        f"Signs centred on the shams: {centred.negative} cost, {centred.positive} gain, p = "
        f"{centred.p:.3f} (naive, which one shared baseline shifts: {naive.negative} and "
        f"{naive.positive}, p = {naive.p:.3f})."
    )
    left = found.settings["planned"] - found.settings["finished"]
    more = [f"{left} candidates are not finished: run the command again."] if left else []
    return [*lines, found.power.sentence(found.levels.epsilon), *found.notes, *more]
