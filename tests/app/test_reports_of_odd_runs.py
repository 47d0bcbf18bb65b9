"""The report of runs that are valid and unusual, or imported: it is made, and says in words what is
missing.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import write_tiny_run
from imported_runs import KINDS
from matplotlib.figure import Figure as Drawing
from test_odd_runs import ODD, ODD_RUNS

from app import data
from rockcore.analysis.report import Asked, make_report, write_report
from rockcore.log import Run
from rockcore.rocks import Examined


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are painted, and not laid out and printed, which takes most of the time."""
    monkeypatch.setattr(Drawing, "savefig", lambda *_, **__: None)
    monkeypatch.setattr(Drawing, "draw_without_rendering", lambda _: None)


@pytest.mark.parametrize("case", [*ODD_RUNS, *KINDS])
def test_what_a_run_has_nothing_for_says_why_and_nothing_else_is_odd(case: str, tmp_path: Path):
    run = tmp_path / "run"
    if case in KINDS:
        KINDS[case](run)
    else:
        changes, change = ODD_RUNS[case]
        change(write_tiny_run(run, **changes))
    asked = Asked(Examined(Run.open(run)))
    parts = tuple(make_report(asked))
    missing = [part.missing for part in parts if part.found is None]
    assert all(reason.count(". ") >= 2 for reason in missing), missing
    html = re.sub(r'"data:[^"]*"', '""', write_report(asked, parts, "http://localhost:8501"))
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    assert not ODD.search(text), ODD.search(text)


def test_a_comparison_that_comes_later_is_in_the_next_report_of_a_dashboard(tmp_path: Path) -> None:
    run, arms = data.runs.key(str(write_tiny_run(tmp_path / "run"))), tmp_path / "arms"
    rule = data.rocks.rule("default")
    before = data.reports.part(run, rule, "arms").missing
    assert "no comparison of arms of this training" in before
    (arms / "comparison").mkdir(parents=True)
    (arms / "arms.json").write_text("{}")
    assert data.reports.part(run, rule, "arms").missing != before
