"""`rockcore compare-arms`: what the arms of a comparison came to, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.table import Table
from rich.text import Text

from rockcore.commands.console import err, out
from rockcore.schema import PHASES
from rockcore.spelling import as_json, visible

if TYPE_CHECKING:
    import pandas as pd

    from rockcore.log.comparisons import Comparison


@dataclass(frozen=True)
class CompareArms:
    """Compare the arms of a folder that `rockcore arms` has filled, finished or not: accuracy and
    kl with intervals, paired tests against the baseline, tokens, time. Stores it for the dashboard.
    """

    folder: tyro.conf.Positional[Path]
    """Folder of the comparison."""
    json: bool = False
    """Print one JSON object instead of tables."""


def run(command: CompareArms) -> None:
    from rockcore.analysis.arms import compare
    from rockcore.log import comparisons
    from rockcore.log.arms import ArmsFolder

    folder = ArmsFolder.open(command.folder)
    with err.status("comparing") if err.is_terminal else nullcontext():
        found = compare(folder)
    place = comparisons.write(folder, found)
    if command.json:
        print(as_json(_as_dict(found)))
        return
    for table in (make(found) for make in (_outcomes, _tests, _tokens, _times, _rocks)):
        if table.row_count:
            out.print(table)
    for line in (*found.about["verdicts"], *found.about["notes"], found.about["paper"]):
        out.print(line, markup=False, highlight=False)
    out.print(f"stored in {place}; look at it: rockcore app {command.folder}", markup=False)


def _as_dict(found: Comparison) -> dict[str, Any]:
    tables = {name: _records(frame) for name, frame in found.tables.items()}
    return {"about": found.about, **tables}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with every digit; null for what is not known."""
    known = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in known.to_dict("records")]


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    yield from frame.itertuples()


def _table(title: str, *columns: str) -> Table:
    narrow = out.width < 100
    table = Table(title=Text(title), title_justify="left", padding=(0, 0 if narrow else 1))
    for i, name in enumerate(columns):  # what does not fit is broken, not cut: it is the result
        table.add_column(name, justify="right" if i else "left", overflow="fold", no_wrap=not i)
    return table


def _outcomes(found: Comparison) -> Table:
    """The last milestone of each arm."""
    table = _table(
        f"{found.about['name']}: the last milestone, 95 % over seeds and problems",
        *("arm", "seeds", "step", "greedy", "sampled", "kl of fixed texts, nats"),
    )
    for arm in found.plan.arms:
        of = found.accuracy.loc[found.accuracy.arm == arm]
        kl = found.text_kl.loc[found.text_kl.arm == arm]
        if of.empty and kl.empty:
            continue
        last = (kl if of.empty else of).iloc[-1]
        cells = [_last(of.loc[of.decoding == d], "accuracy", ".1%") for d in ("greedy", "sampled")]
        table.add_row(arm, str(last.seeds), str(last.step), *cells, _last(kl, "kl", ".4f"))
    return table


def _last(rows: pd.DataFrame, column: str, form: str) -> str:
    if rows.empty:
        return "–"
    row = rows.iloc[-1]
    return _with_interval(row[column], row.low, row.high, form)


def _with_interval(value: float, low: float, high: float, form: str) -> str:
    if value != value:
        return "–"
    between = "" if low != low else f" ({low:{form}} to {high:{form}})"
    return f"{value:{form}}{between}"


def _tests(found: Comparison) -> Table:
    from rockcore.analysis.arms import spelled_tests

    table = _table(
        "Against the baseline: seeds and problems are crossed random effects, Holm over arms",
        *("arm", "measure", "difference", "95 %", "p", "Holm p", "dof", "seeds × problems"),
    )
    for row in _rows(spelled_tests(found.tests)):
        numbers = [_number(row.p, ".2g"), _number(row.p_holm, ".2g"), _number(row.dof, ".1f")]
        texts = (row.arm, row.measure, row.difference, row.interval)
        table.add_row(*map(str, texts), *numbers, str(row.size))
    return table


def _number(value: float, form: str) -> str:
    return "–" if value != value else f"{value:{form}}"


def _tokens(found: Comparison) -> Table:
    table = _table(
        "Tokens trained on, and sampled accuracy gained by time and tokens (points, means over "
        "seeds)",
        *("arm", "trained / written", "left out", "gain", "per minute (95 %)"),
        "per million tokens (95 %)",
    )
    for row in _rows(found.costs):
        rates = [
            _with_interval(
                100 * getattr(row, n),
                100 * getattr(row, f"{n}_low"),
                100 * getattr(row, f"{n}_high"),
                form,
            )
            for n, form in (("gain_per_minute", "+.1f"), ("gain_per_million", "+.0f"))
        ]
        written = f"{row.trained:,.0f} / {row.tokens:,.0f}"
        gain = _number(100 * row.gain, "+.1f")
        table.add_row(str(row.arm), written, f"{row.left_out:.1%}", gain, *rates)
    return table


def _times(found: Comparison) -> Table:
    phases = [phase.removesuffix("_s") for phase in PHASES]
    table = _table(
        "Time of a step, ms: medians over steps, means over seeds; saved against the baseline's, "
        "and the most that Amdahl's law allows",
        *("arm", *phases, "step but log", "saved (95 %)", "at most"),
    )
    for row in _rows(found.costs):
        table.add_row(
            str(row.arm),
            *(_number(1000 * getattr(row, n), ".0f") for n in (*PHASES, "step_s")),
            _with_interval(row.saved, row.saved_low, row.saved_high, "+.1%"),
            _number(row.bound, ".1%"),
        )
    return table


def _rocks(found: Comparison) -> Table:
    shown = " ".join(visible(token) for token in found.about["rock_tokens"][:12])
    more = " …" if len(found.about["rock_tokens"]) > 12 else ""
    table = _table("", "arm", "tokens", "kl first", "kl last", "change (95 % over seeds)")
    table.title = Text(
        f"kl of the set's types on the fixed texts of the starting student, nats: {shown}{more}"
    )
    groups: Any = found.rock_kl.groupby(["arm", "tokens"], sort=False)
    for (arm, tokens), rows in groups:
        first, last = rows.iloc[0], rows.iloc[-1]
        change = _with_interval(last.change, last.change_low, last.change_high, "+.4f")
        table.add_row(str(arm), str(tokens), f"{first.kl:.4f}", f"{last.kl:.4f}", change)
    return table
