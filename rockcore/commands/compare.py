"""`rockcore compare`: two runs, or two steps of one, side by side."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.table import Table

from rockcore.commands.console import err, out

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
    preset: str = "default"
    """The rule for two whole runs: default, paper, authors, strict or lenient."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Change a field of the rule, as for rocks."""
    top: int = 20
    """Where steps are ranked: so many types count as rocks."""
    json: bool = False
    """Print one JSON object instead of a table."""


def run(command: Compare) -> None:
    from rockcore.analysis import compare
    from rockcore.log import Run
    from rockcore.rocks.rule import preset

    rule = preset(command.preset).with_settings(command.set)
    with err.status("comparing") if err.is_terminal else nullcontext():
        sides = compare.rankings(
            Run.open(command.a),
            Run.open(command.b),
            rule,
            (command.step_a, command.step_b),
            command.top,
        )
    if command.json:
        print(compare.to_json(sides))
        return
    shared = compare.overlap(sides.a.ids, sides.b.ids)
    out.print(_change_table(compare.rank_changes(*sides).head(30)))
    for letter, side in zip("AB", sides, strict=True):
        which = f"{len(side.ids)} of {len(side.types)} types by {side.score}"
        line = f"{letter}: {side.name}, {side.where}, {which}, {side.column}: {side.estimator}"
        out.print(line, markup=False, highlight=False)
    both = f"{len(shared.both)} in both, {len(shared.only_a)} only in A, {len(shared.only_b)} only in B"
    out.print(f"{both}, Jaccard {shared.jaccard:.2f}", markup=False, highlight=False)


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
