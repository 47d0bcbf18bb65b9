"""`rockcore compare`: two runs, or two steps of one, side by side."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Table

from rockcore.commands.console import err, out
from rockcore.commands.options import BadOptions, check_top, from_settings
from rockcore.commands.rocks import SetOption
from rockcore.rocks.rule import PRESETS, RockRule, preset

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Compare:
    """Set two runs, or two steps of one, side by side: which Rock Tokens they share, and which
    types changed rank.
    """

    a: tyro.conf.Positional[Path]
    """Folder of run A."""
    b: tyro.conf.Positional[Path]
    """Folder of run B; the same one compares two of its steps."""
    step_a: int | None = None
    """Rank the types of this step by Rock Score, in place of a rule over the whole run; default:
    the last, of one run the first.
    """
    step_b: int | None = None
    """The same for B; default: the last."""
    preset: Annotated[
        str | None,
        tyro.conf.arg(help=f"The rule for two whole runs: {', '.join(PRESETS)}; default: default."),
    ] = None
    set: SetOption = ()
    top: int | None = None
    """Where steps are ranked: so many types count as rocks; default: 20."""
    json: bool = False
    """Print one JSON object instead of a table."""


def run(command: Compare) -> None:
    from rockcore.analysis import compare, standings
    from rockcore.log import Run
    from rockcore.rocks.report import named_loss

    rule = _rule_of(command)
    with err.status("comparing") if err.is_terminal else nullcontext():
        sides = compare.rankings(
            Run.open(command.a),
            Run.open(command.b),
            rule,
            (command.step_a, command.step_b),
            standings.TOP if command.top is None else command.top,
        )
    if command.json:
        print(compare.to_json(sides))
        return
    shared = standings.overlap(sides.a.ids, sides.b.ids)
    out.print(_change_table(standings.rank_changes(*sides).head(30)))
    for letter, side in zip("AB", sides, strict=True):
        which = f"{len(side.ids)} of {len(side.types)} types by {side.score}"
        loss = named_loss(side.column, side.estimator)
        line = f"{letter}: {side.name}, {side.where}, {which}, {loss}"
        out.print(line, markup=False, highlight=False)
        if side.no_set:
            out.print(f"{letter}: {side.no_set}", markup=False, highlight=False)
    only_a, both, only_b = (len(ids) for ids in shared)
    jaccard = f"Jaccard {shared.jaccard:.2f}" if any(shared) else "no type is in either set"
    line = f"{both} in both, {only_a} only in A, {only_b} only in B, {jaccard}"
    out.print(line, markup=False, highlight=False)


def _rule_of(command: Compare) -> RockRule:
    """The rule for two whole runs. Raises BadRule, or BadOptions for a flag that does not enter."""
    check_top(command.top)
    steps = [f"--step-{x}" for x in "ab" if getattr(command, f"step_{x}") is not None]
    of_steps = bool(steps) or command.a.resolve() == command.b.resolve()
    if of_steps and (command.preset is not None or command.set):
        raise BadOptions(
            f"{'--set' if command.set else '--preset'} where "
            f"{' and '.join(steps) or 'one run on both sides'} asks for two steps",
            "Steps are ranked by Rock Score alone, and no rule enters",
            "Leave the rule out, or compare two whole runs",
        )
    if not of_steps and command.top is not None:
        raise BadOptions(
            f"--top {command.top} where a rule ranks",
            "The rule says how many types are in the set",
            "Give --set top_k=N, or steps to compare",
        )
    return from_settings(preset(command.preset or "default"), command.set)[0]


def _change_table(rows: pd.DataFrame) -> Table:
    from rich.text import Text

    table = Table()
    cells = {
        "token": "{!r}",
        "where": "{}",
        "rank_a": "{}",
        "rank_b": "{}",
        "moved": "{:+}",
        "score_a": "{:.3f}",
        "score_b": "{:.3f}",
    }
    for name in cells:
        table.add_column(
            name.replace("_a", " A").replace("_b", " B"),
            justify="left" if name in ("token", "where") else "right",
        )
    for row in (
        rows[list(cells)].astype(object).where(rows[list(cells)].notna(), None).to_dict("records")
    ):
        table.add_row(
            *(
                Text("–" if row[name] is None else form.format(row[name]))
                for name, form in cells.items()
            )
        )
    return table
