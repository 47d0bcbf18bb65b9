"""A rule that finds no type says so, says why with numbers, and what would help: in the report, on
the command line and on the pages.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import brute
import pytest
from brute import Log
from hypothesis import given
from pages import words

from rockcore.cli import main
from rockcore.log import Run
from rockcore.rocks import RockReport, RockRule, RockSet, detect

CASES: dict[str, tuple[dict, str]] = {
    "K of nothing": ({"top_k": 0}, "top_k is 0"),
    "none holds enough": (
        {"score": "rock_score", "even_share": 999.0},
        "types with a score holds enough of the loss",
    ),
    "a score beyond all": ({"tau_rock": 1e9, "score": "rock_score"}, "tau_rock asks for 1e+09"),
    "nothing high": ({"tau_pre": 99.0, "tau_post": 99.0}, "No occurrence is high at both ends"),
    "nothing high after": ({"tau_pre": 0.0, "tau_post": 99.0}, "and 0 after it"),
    "nothing recurs": (
        {"window": 6, "gamma": 1.0, "tau_quantile": 0.5, "min_rollouts": 2},
        "none recurs",
    ),
    "too few are similar": (
        {"window": 1, "gamma": 0.5, "tau_quantile": 0.1, "min_support": 1000},
        "1,000 (min_support)",
    ),
    "all too rare": (
        {"score": "rock_score", "min_frequency": 1_000_000},
        "occur less than 1,000,000 times (min_frequency)",
    ),
    "all dropped": (
        {"score": "rock_score", "drop_most_frequent": 10_000},
        "the 10,000 most frequent types are dropped",
    ),
    "nothing high in matched texts": (
        {"mode": "matched", "tau_pre": 99.0, "tau_post": 99.0},
        "No occurrence is high at both ends",
    ),
    "nothing to rank in bounds": (
        {"mode": "bounds", "min_frequency": 1_000_000},
        "(min_frequency)",
    ),
}
ODD = re.compile(r"\bnan\b|\bNone\b|knee 1\b|\binf\b")


@pytest.fixture(scope="module")
def run(tiny_run) -> Path:
    return tiny_run("nothing")


@pytest.mark.parametrize("case", CASES)
def test_the_report_says_which_gate_let_nothing_through(case, run):
    changes, says = CASES[case]
    report = detect(Run.open(run), RockRule(**changes))
    assert report.ids == [] and says in report.why_empty
    assert math.isnan(report.stability.value) and report.coverage == 0
    assert not ODD.search(" ".join([report.why_empty, *report.notes]))
    assert RockReport.from_json(report.to_json()).why_empty == report.why_empty
    assert RockSet.from_json(report.rock_set.to_json()).ids == ()


def test_a_log_without_any_loss_says_that_there_is_nothing_to_rank(tmp_path):
    log = brute.eighths(2, 6, 10, 3)
    silent = Log(log.tokens, [[[0.0] * 10] * 6] * 2)
    for score in ("rock_score", "mean_kl", "joint"):
        report = detect(brute.write(tmp_path / score, silent), RockRule(score=score))
        assert f"No type has a {score} above 0" in report.why_empty


def test_neighbours_that_are_all_excluded_are_named(tmp_path):
    log = Log([[1, 2]] * 6, [[[1.0, 0.0]] * 6] * 2)
    rule = RockRule(tau_pre=0.5, tau_post=0.5, excluded_contexts=((1, 2),))
    assert "excluded_contexts" in detect(brute.write(tmp_path / "r", log), rule).why_empty


@brute.examples(60)
@given(log=brute.logs(), rule=brute.rules(widest=3))
def test_there_is_a_reason_if_and_only_if_there_is_no_set(log, rule, tmp_path_factory):
    report = detect(brute.write(tmp_path_factory.mktemp("runs") / "r", log), rule)
    assert bool(report.why_empty) == (report.ids == [])


def settings(changes: dict) -> list[str]:
    return [part for name, v in changes.items() for part in ("--set", f"{name}={v}")]


@pytest.mark.parametrize("case", CASES)
def test_the_command_line_says_so(case, run, capsys):
    changes, says = CASES[case]
    main(["rocks", str(run), *settings(changes)])
    out = " ".join(capsys.readouterr().out.split())
    below = out[out.index("No type is in the set.") :]
    assert says in below and not ODD.search(below)
    main(["rocks", str(run), "--csv", *settings(changes)])
    assert says in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("page", ["rock_tokens", "threshold_lab"])
@pytest.mark.parametrize("case", CASES)
def test_the_pages_say_so(case, page, run, open_app):
    changes, says = CASES[case]
    app = open_app(page, run, rule=RockRule(**changes).short())
    assert not app.exception
    told = "\n".join(str(e.value) for e in (*app.warning, *app.markdown)).replace("\\", "")
    assert "No type is in the set." in told and says in told
    shown = [f"{m.value} {m.delta}".removesuffix(" None") for m in app.metric]
    charts = " ".join(str(c.proto.spec) for c in app.get("plotly_chart"))
    assert "Plotly" in charts or "data" in charts
    assert not ODD.search("\n".join([words(app), *shown])) and not ODD.search(charts)
    stability = next(m for m in app.metric if m.label == "Stability")
    assert stability.value == "–"
