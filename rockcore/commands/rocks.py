"""`rockcore rocks`: the Rock Tokens of a run, as a table, JSON or CSV."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Table

from rockcore import memory
from rockcore.commands.console import err, out
from rockcore.commands.options import MemoryOption, check_top, chosen_rule
from rockcore.rocks.rule import PRESETS, RockRule
from rockcore.rocks.rule_fields import FIELDS
from rockcore.spelling import as_json, percent

if TYPE_CHECKING:
    from rockcore.rocks import Examined, RockReport

SetOption = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]],
    tyro.conf.arg(
        help="Change a field of the rule, such as tau_quantile=0.9, tau_pre=0.3 (nats) or "
        f"top_k=50. May be repeated. Fields: {', '.join(FIELDS)}."
    ),
]


@dataclass(frozen=True)
class Rocks:
    """Find the Rock Tokens of a run: types whose loss stays high in contexts that recur, and how
    sure that is.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    preset: Annotated[str | None, tyro.conf.arg(help=f"{', '.join(PRESETS)}.")] = None
    rule: Path | None = None
    """A rule as a JSON file, as the dashboard saves it; what --json prints holds one too."""
    set: SetOption = ()
    step: int | None = None
    """Checkpoint after training; default: the last one logged. The first one: --set pre_step=N."""
    joint_with: Path | None = None
    """Only with --set score=joint: the run whose losses have to be high too, in place of this
    run's first checkpoint.
    """
    categories: Path | None = None
    """Category rules as a TOML file, in front of the built-in ones; default: categories.toml in the
    run's folder, if it is there.
    """
    top: int | None = None
    """Show the first n types only; default: 30 on a terminal, all with --json and --csv."""
    json: bool = False
    """Print one JSON object instead of a table."""
    csv: bool = False
    """Print the table as CSV."""
    memory: MemoryOption = None


def run(command: Rocks) -> None:
    from rockcore.categories import load_rules
    from rockcore.log import Run
    from rockcore.rocks.examined import Examined

    check_top(command.top)
    if command.memory is not None:
        memory.take(command.memory)
    rule = _rule_of(command)
    other = None if command.joint_with is None else Run.open(command.joint_with)
    with err.status("looking for rocks") if err.is_terminal else nullcontext():
        examined = Examined(
            Run.open(command.run),
            rule,
            other,
            None if command.categories is None else load_rules(command.categories),
        )
        found = examined.report
    if command.json:
        print(as_json(found.to_dict(command.top)))
    elif command.csv:
        print(found.to_csv(command.top), end="")
        if found.why_empty:
            err.print(found.no_set, markup=False, highlight=False)
    else:
        out.print(_rock_table(found, command.top or 30, out.width))
        for line in _summary(examined):
            out.print(line, markup=False, highlight=False)


def _rule_of(command: Rocks) -> RockRule:
    """The rule the flags describe. Raises BadRule, or BadOptions for one that would be ignored."""
    from rockcore.rocks.rule_fields import BadRule

    if command.json and command.csv:
        raise BadRule("--json and --csv", "Only one of them can be printed", "Give one of them")
    rule = chosen_rule(command.rule, command.preset, command.set, command.step)
    if command.joint_with is not None and rule.score != "joint":
        raise BadRule(
            f"--joint-with {command.joint_with} with score = {rule.score}",
            "Only the score joint looks at a second run",
            "Add --set score=joint, or leave --joint-with out",
        )
    return rule


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
    "persistent": lambda r: "–" if isnan(r["persistent"]) else f"{r['persistent']:.0f}",
    "R(v), nats": lambda r: f"{r['rock_score']:.2f}",
    "change, 95 %": lambda r: (
        "–" if isnan(r["change_low"]) else f"{r['change_low']:+.2f} to {r['change_high']:+.2f}"
    ),
}


def _rock_table(found: RockReport, top: int, width: int) -> Table:
    from rich.text import Text

    from rockcore.rocks.report import named_loss

    frame, loss = found.tokens, named_loss(found.rule.column, found.estimator)
    title = f"{found.name}, {found.span}, {loss}, {found.mode}"
    ranked = "types, an unstable ranking" if found.unstable else "types"
    table = Table(
        title=Text(f"{title}: {min(top, len(frame))} of {len(frame)} {ranked}"),
        title_justify="left",
    )
    shown = list(_COLUMNS.items())[: 8 if width < 100 else 10 if width < 130 else len(_COLUMNS)]
    for name, _ in shown:
        table.add_column(
            name,
            justify="left" if name in ("token", "category", "class") else "right",
            no_wrap=name != "token",
        )
    for row in frame.head(top).to_dict("records"):
        table.add_row(*(Text(cell(row)) for _, cell in shown))
    return table


def _summary(examined: Examined) -> list[str]:
    """What stands below the table."""
    from rockcore.analysis.rock_share import rock_share

    found, share = examined.report, rock_share(examined)
    if not found.ids:
        alone = "Without a set there is no coverage and no split-half Jaccard."
        return [share.sentence, alone, _gates(found), *found.notes]
    density = found.density["occurrence"]
    shares = (
        f"type density {percent(found.density['type'] or 0.0)}, occurrence density "
        f"{'unknown' if density is None else percent(density)}"
    )
    return [share.sentence, _head(found), _gates(found), shares, *found.notes]


def _head(found: RockReport) -> str:
    """How the set was cut off, and how sure it is."""
    return f"K = {len(found.ids)} ({found.how}), {_coverage(found)}, {_stability(found)}"


def _coverage(found: RockReport) -> str:
    said, elsewhere = f"coverage {percent(found.coverage)}", found.covered_elsewhere.value
    if isnan(elsewhere):
        return said
    return f"{said} ({percent(elsewhere)} where one half chooses, the other counts)"


def _stability(found: RockReport) -> str:
    stable = found.stability
    if isnan(stable.value):
        return "split-half Jaccard unknown"
    return (
        f"split-half Jaccard {stable.value:.2f} ({found.rule.draws} splits, middle 95 %: "
        f"{stable.low:.2f} to {stable.high:.2f})"
    )


def _gates(found: RockReport) -> str:
    """How many occurrences pass each gate."""
    rule, n = found.rule, found.occurrences
    if found.single:
        return f"{n['scored']:,} occurrences at one checkpoint: which stay high is unknown"
    if n["persistent"] is None:
        persistent, kept = f"{n['persistent_low']:,} to {n['persistent_high']:,}", "unknown"
    else:
        in_set = f"{n['in_set']:,} of a type in the set"
        persistent = f"{n['persistent']:,}"
        kept = f"{n['consistent']:,} recur in similar contexts → {in_set}"
    return (
        f"τ_pre {rule.tau_pre:.3g}, τ_post {rule.tau_post:.3g} nats: {n['scored']:,} occurrences "
        f"→ {persistent} persistent → {kept}"
    )
