"""The value that detection hands out: its fields, its way through JSON and back, and what it says
of what is not known.
"""

import json
import math
from dataclasses import fields
from typing import Any

import brute
import numpy as np
import pandas as pd
import pytest
from brute import Log
from hypothesis import given
from hypothesis import strategies as st

from rockcore.log import Run
from rockcore.rocks.report import RockReport
from rockcore.rocks.rockset import BadRockSet, RockSet
from rockcore.rocks.rule import PRESETS, RockRule
from rockcore.rocks.rule_fields import BadRule
from rockcore.rocks.scores import SCORES
from rockcore.rocks.search import detect

TOKEN_FIELDS = """token_id token category frequency mean_kl rock_score share coverage
persistent consistent ccr
rock_score_ctx class in_set""".split()
LOOSE = {
    "min_support": 1,
    "min_rollouts": 1,
    "window": 2,
    "gamma": 0.25,
    "tau_quantile": 0.3,
}  # something is found in a log this small


def text(seed: int) -> Log:
    """Six phrases of five tokens that come back, and losses of all sizes."""
    log = brute.eighths(3, 10, 8, 6, seed)
    phrase = [[b % 3, 7, b % 2, 9, 9] for b in range(10)]
    losses = brute.eighths(3, 10, 13, 6, seed + 1).losses
    return Log([p + row for p, row in zip(phrase, log.tokens, strict=True)], losses)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Probe texts at three checkpoints, and fresh texts at two."""
    fresh = [Log(text(s).tokens, text(s).losses[:1]) for s in (10, 20)]
    return brute.write(tmp_path_factory.mktemp("rockset") / "r", text(0), fresh, dtype="float32")


def assert_same(a: RockReport, b: RockReport) -> None:
    for field in fields(RockReport):
        mine, its = getattr(a, field.name), getattr(b, field.name)
        if isinstance(mine, pd.DataFrame):
            pd.testing.assert_frame_equal(mine, its, check_exact=True, check_dtype=False)
        else:
            assert repr(mine) == repr(its), field.name  # NaN included


def some_rule(seed: int) -> RockRule:
    rng = np.random.default_rng(seed)
    choices: dict[str, list[Any]] = {
        "name": ["default", "mine", "ünïcode 2"],
        "column": ["kl", "sampled_loss"],
        "score": sorted(SCORES),
        "mode": ["auto", "paired", "bounds", "matched"],
        "controls": ["positions", "windows", "authors"],
        "top_k": [None, None, 1, 3, 12],
        "drop_most_frequent": [0, 2],
        "excluded_types": [(), (7,), (9, 1)],
        "excluded_contexts": [(), ((-1, 7),)],
        "min_support": [0, 1, 2],
        "min_rollouts": [0, 1, 2],
        "window": [2],
        "gamma": [0.25, 0.5],
        "tau_quantile": [0.3, 0.6],
    }
    return RockRule(**{name: values[rng.integers(len(values))] for name, values in choices.items()})


@brute.examples(14)
@given(rule=st.integers(0, 10**6).map(some_rule))
def test_a_set_comes_back_from_json_as_it_was_and_its_rule_finds_it_again(run, rule):
    found = detect(run, rule)
    back = RockReport.from_json(found.to_json())
    assert_same(found, back)
    assert back.to_json() == found.to_json()
    again = detect(run, RockRule.from_dict(json.loads(found.to_json())["rule"]))
    assert (
        again.ids == found.ids
        and again.occurrences == found.occurrences
        and found.rule.top_k == len(found.ids)
    )


def test_an_empty_set_comes_back_from_json_as_it_was(run):
    found = detect(run, RockRule(score="rock_score", tau_rock=1e9))
    assert found.ids == [] and found.coverage == 0 and math.isnan(found.stability.value)
    assert_same(found, RockReport.from_json(found.to_json()))


def test_files_from_before_the_shares_of_the_loss_are_read(run):
    """A rule had no least_share and no even_share, and a set could be cut at the knee."""
    found = detect(run, RockRule(score="rock_score", top_k=3))
    old = json.loads(found.to_json()) | {"chosen_by": "knee"}
    del old["enough"], old["covered_elsewhere"]
    for rule in (old["rule"], old["asked"]):
        del rule["least_share"], rule["even_share"]
    back = RockReport.from_json(json.dumps(old))
    assert (back.ids, back.rule, back.enough) == (found.ids, found.rule, None)
    assert back.how.startswith("at the knee of coverage") and not back.unstable
    assert math.isnan(back.covered_elsewhere.value)
    small = json.loads(found.rock_set.to_json())
    del small["rule"]["least_share"], small["rule"]["even_share"]
    assert RockSet.from_json(json.dumps(small)) == found.rock_set
    assert RockSet.from_json(json.dumps(old)).ids == tuple(found.ids)


def test_a_report_without_a_stable_set_comes_back_as_it_was_and_gives_an_empty_set(run):
    found = detect(run, RockRule(score="rock_score", min_jaccard=1.0))
    assert found.unstable and found.ids == [] and found.enough > 0
    assert found.no_set.startswith("No stable set. ") and found.how == ""
    back = RockReport.from_json(found.to_json())
    assert_same(found, back)
    assert back.no_set == found.no_set
    assert RockSet.from_json(found.to_json()).ids == () == found.rock_set.ids


def test_a_rule_that_finds_nothing_finds_nothing_again(run):
    found = detect(run, RockRule(score="rock_score", tau_rock=1e9))
    assert detect(run, found.rule).ids == []


def test_losses_above_50_nats_can_be_thresholded(tmp_path):
    log = text(0)
    high = Log(log.tokens, [[[100 * x for x in row] for row in losses] for losses in log.losses])
    assert detect(brute.write(tmp_path / "r", high), RockRule(tau_quantile=1.0)).rule.tau_pre == 100


@pytest.mark.parametrize("value", [math.inf, 10**400], ids=["infinity", "10^400"])
def test_a_threshold_for_the_score_is_refused_or_gives_a_set_that_is_json(run, value):
    try:
        rule = RockRule(tau_rock=value, **LOOSE)
    except BadRule:
        return
    assert json.loads(detect(run, rule).to_json())["asked"]["tau_rock"] == value


def test_the_report_has_the_promised_fields(run):
    report = json.loads(detect(run, RockRule(**LOOSE)).to_json())
    promised = {
        "run",
        "step",
        "total_kl",
        "tokens",
        "rule",
        "mode",
        "occurrences",
        "coverage",
        "stability",
        "density",
    }
    assert promised <= set(report) and report["mode"] == "paired" and report["step"] == 20
    assert all(set(TOKEN_FIELDS) <= set(row) for row in report["tokens"])
    assert {"tau_pre", "tau_post", "window", "gamma", "eta", "min_support", "top_k"} <= set(
        report["rule"]
    )
    assert {"scored", "persistent", "consistent", "in_set"} <= set(report["occurrences"])
    assert set(report["stability"]) == {"jaccard", "low", "high"} and set(report["density"]) == {
        "type",
        "occurrence",
    }


def test_the_numbers_of_the_report_hang_together(run):
    report = detect(run, RockRule(**LOOSE, score="rock_score")).to_dict()
    tokens, n = pd.DataFrame(report["tokens"]), report["occurrences"]
    assert (
        math.isclose(tokens.rock_score.sum(), report["total_kl"])
        and tokens.frequency.sum() == n["scored"] == report["total_tokens"]
    )
    assert (tokens.persistent.sum(), tokens.consistent.sum()) == (n["persistent"], n["consistent"])
    assert n["consistent"] > 0 and (tokens.ccr == tokens.consistent / tokens.frequency).all()
    assert tokens.consistent[tokens.in_set].sum() == n["in_set"]
    assert math.isclose(report["coverage"], tokens.share[tokens.in_set].sum())
    assert math.isclose(
        report["density"]["type"], tokens.frequency[tokens.in_set].sum() / n["scored"]
    )
    assert math.isclose(report["density"]["occurrence"], n["in_set"] / n["scored"])
    assert report["rule"]["top_k"] == tokens.in_set.sum() > 0 and report["chosen_by"] in (
        "share",
        "stability",
    )
    assert tokens.in_set.is_monotonic_decreasing and tokens.rock_score.is_monotonic_decreasing


def test_bounds_never_come_with_a_number_of_consistent_occurrences(run):
    report = json.loads(detect(run, RockRule(mode="bounds", **LOOSE)).to_json())
    assert report["mode"] == "bounds" and report["density"]["occurrence"] is None
    assert {report["occurrences"][name] for name in ("persistent", "consistent", "in_set")} == {
        None
    }
    for row in report["tokens"]:
        assert row["persistent"] <= row["persistent_high"]
        assert {row[name] for name in ("consistent", "ccr", "rock_score_ctx", "precision")} == {
            None
        }
    assert any("bounded" in note for note in report["notes"]) and any(
        "R(v) instead" in note for note in report["notes"]
    )


def test_bounds_in_whole_occurrences_contain_the_truth(tmp_path):
    log = Log([[1] * 49], [[[1.0] + [0.0] * 48]])
    found = detect(
        brute.write(tmp_path / "r", None, [log, log]), RockRule(tau_pre=0.5, tau_post=0.5)
    )
    assert found.occurrences["persistent_high"] == 1


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_gives_a_set_that_is_json(run, name):
    assert json.loads(detect(run, PRESETS[name]).to_json())["asked"]["name"] == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"rule": {}}',
        "{",
        b"\xff",
        '{"rule": {}, "asked": {}, "tokens": 3}',
    ],
)
def test_what_is_no_set_is_refused(text):
    with pytest.raises(BadRockSet, match=r"no rock set.*Write it again: rockcore rocks RUN --json"):
        RockReport.from_json(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"control": '{"n": 1e999}'},  # infinity, which is no JSON
        {"tokenizer_hash": '"\\ud800"'},  # half a letter, which is in no file
        {"ids": "[true]"},
        {"ids": "[1, 1]"},
    ],
)
def test_a_small_set_that_could_not_be_written_again_or_filtered_by_is_refused(wrong):
    parts = {"rule": "{}", "ids": "[1]", "tokenizer_hash": '""', "fingerprint": '""'}
    parts |= {"control": "{}", **wrong}
    with pytest.raises(BadRockSet, match="no rock set"):
        RockSet.from_json("{" + ", ".join(f'"{k}": {v}' for k, v in parts.items()) + "}")


def test_a_set_whose_rule_is_none_says_so(run):
    broken = json.loads(detect(run, RockRule(**LOOSE)).to_json())
    broken["rule"]["gamma"] = 7
    with pytest.raises(BadRule, match="gamma = 7"):
        RockReport.from_json(json.dumps(broken))


def test_hostile_text_comes_back_from_json_and_csv_as_it_was(tiny_run, tmp_path):
    """As CSV each token is a JSON string: no formula to a spreadsheet, and line breaks stay in
    their cell.
    """
    found = detect(Run.open(tiny_run()), RockRule(**LOOSE))
    assert_same(found, RockReport.from_json(found.to_json()))
    (tmp_path / "t.csv").write_text(found.to_csv(), encoding="utf-8")
    frame = pd.read_csv(tmp_path / "t.csv")
    assert [json.loads(t) for t in frame.token] == found.tokens.token.tolist() and len(
        found.to_csv(top=3).splitlines()
    ) == 4
