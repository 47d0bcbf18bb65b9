"""Logs that are valid and unusual: a scan says of each what a detection of the whole says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from imported_runs import KINDS

from rockcore.log import Run
from rockcore.rocks import RockReport, RockRule
from rockcore.rocks.examined import Examined
from rockcore.scale.engines import here
from rockcore.scale.merged import report
from rockcore.scale.plan import plan
from rockcore.scale.scan import scan
from rockcore.schema import RockError

RULES = {
    "default": RockRule(),
    "sampled": RockRule(column="sampled_loss", tau_quantile=0.6, min_jaccard=0.0),
    "authors": RockRule(score="authors", column="sampled_loss", controls="authors", top_k=4),
}


def said(ask: Callable[[], RockReport]) -> tuple:
    """What was found, or why nothing is."""
    try:
        found = ask()
    except RockError as e:
        return type(e), *e.parts[:2]
    control = {name: value for name, value in found.control.items() if name != "mean"}
    return found.ids, found.occurrences, found.notes, found.no_set, control


ASKED = [(kind, "default") for kind in KINDS]
ASKED += [(kind, "sampled") for kind in ("one step", "one text", "kl alone", "rollouts alone")]
ASKED += [(kind, "authors") for kind in ("sampled loss", "one step")]


@pytest.mark.parametrize(("kind", "rule"), ASKED)
def test_an_odd_log_is_answered_or_refused_as_a_whole(kind: str, rule: str, tmp_path: Path):
    log, asked = KINDS[kind](tmp_path / "log"), RULES[rule]

    def scanned() -> RockReport:
        return report(Run.open(log), scan(plan(str(log), asked, 30), tmp_path / "out", here), "")

    whole = said(lambda: Examined(Run.open(log), asked).report)
    assert said(scanned) == whole


TABLES = ("probe", "evals", "metrics", "rollouts", "types", "tokens")


@pytest.mark.parametrize(
    "gone", [TABLES, TABLES[:5], ("tokens",), ("probe/final",), ("probe",)], ids=" ".join
)
def test_a_log_without_some_of_its_tables_is_too(tiny_run, gone: tuple[str, ...], tmp_path: Path):
    log, asked = tiny_run(), RockRule(tau_quantile=0.5, min_jaccard=0.0)
    for table in gone:
        shutil.rmtree(log / table, ignore_errors=True)

    def scanned() -> RockReport:
        return report(Run.open(log), scan(plan(str(log), asked, 30), tmp_path / "out", here), "")

    assert said(scanned) == said(lambda: Examined(Run.open(log), asked).report)
