"""What is said of both ends where the texts differ: bounds, matches, or another run, each under its
own name.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import brute
import pytest
from brute import Log
from hypothesis import given
from test_detection import ALL, chosen, examined, one_type_each, where

from rockcore.analysis.standings import Ranking
from rockcore.rocks import RockReport
from rockcore.rocks.examined import Examined
from rockcore.rocks.rule import RockRule
from rockcore.rocks.search import detect


def test_the_mode_says_what_the_texts_allow():
    log, other = brute.eighths(2, 4, 8, 3), brute.eighths(1, 5, 8, 3, seed=1)
    fresh = (Log(log.tokens, log.losses[:1]), other)
    for probes, mode, want in (
        (log, "auto", "paired"),
        (None, "auto", "bounds"),
        (log, "bounds", "bounds"),
        (None, "matched", "matched"),
    ):
        assert examined(probes, RockRule(mode=mode), fresh).material.mode == want


def test_matched_detections_hold_what_comparing_every_pair_finds():
    before, after = brute.eighths(1, 6, 10, 2), brute.eighths(1, 7, 12, 2, seed=1)
    rule = RockRule(mode="matched", tau_pre=0.25, tau_post=0.5, window=1)
    found = examined(None, rule, (before, after))
    assert (where(after, found.high), found.unmatched) == brute.matched(
        before, after, (0.25, 0.5), rule
    )


@brute.examples(30)
@given(brute.logs())
def test_bounds_contain_the_truth(log):
    """The same texts at both ends, once with and once without the knowledge which position is
    which.
    """
    halves = tuple(Log(log.tokens, [losses]) for losses in log.losses)
    low, high = examined(None, replace(ALL, mode="bounds"), halves).bounds
    truth = examined(log, ALL).persistent
    assert (low <= truth + 1e-9).all() and (truth <= high + 1e-9).all()


@brute.examples(30)
@given(brute.logs(checkpoints=1), brute.logs(checkpoints=1))
def test_the_lower_bound_is_never_above_the_upper_one_also_where_the_texts_differ(before, after):
    low, high = examined(None, replace(ALL, mode="bounds"), (before, after)).bounds
    assert (low <= high).all()


def test_a_type_that_did_not_occur_before_may_have_been_high_or_not():
    before, after = one_type_each([1.0]), Log([[1, 1, 1]], [[[1.0, 1.0, 0.0]]])
    low, high = examined(None, replace(ALL, mode="bounds"), (before, after)).bounds
    assert (low[0], high[0]) == (0, pytest.approx(2))


def test_without_pairs_the_rock_score_ranks_in_place_of_r_ctx():
    log = one_type_each([1.0, 0.5])
    found = examined(None, RockRule(top_k=2), (Log(log.tokens, log.losses[:1]),) * 2)
    assert (
        found.score == "rock_score"
        and found.consistent is None
        and found.rock_occurrences is None
        and chosen(found) == [0, 1]
    )


@pytest.mark.parametrize("rule", [RockRule(mode="bounds"), RockRule(score="rock_score")])
def test_where_thresholds_and_contexts_do_not_change_the_set_it_is_said(rule, tmp_path):
    log = brute.eighths(2, 8, 12, 4)
    run = brute.write(tmp_path / "r", log, [Log(log.tokens, [each]) for each in log.losses])
    rule = replace(rule, top_k=2)
    sets = []
    for changes in (
        {},
        {"tau_quantile": 0.1},
        {"tau_pre": 9.0, "tau_post": 9.0},
        {"window": 1, "gamma": 1.0, "eta": 1.0, "min_support": 9},
    ):
        report = detect(run, replace(rule, **changes))
        assert "do not change this set" in " ".join(report.notes)
        sets.append(report.ids)
    assert len(sets[0]) == 2 and all(ids == sets[0] for ids in sets)
    assert "do not change this set" not in " ".join(detect(run, RockRule(top_k=2)).notes)


def test_the_joint_score_of_two_runs_is_high_only_where_both_are():
    log, other = one_type_each([1.0, 0.5, 0.25]), one_type_each([0.0, 0.5, 1.0])
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            brute.write(Path(folder) / name, texts) for name, texts in (("a", log), ("b", other))
        ]
        found = Examined(runs[0], replace(ALL, score="joint"), other=runs[1]).detection
    assert found.scores.tolist() == pytest.approx([0, 0.5 / 1.75, 0.25 / 1.75])


def test_a_report_and_a_comparison_name_the_score_that_ranks(tmp_path):
    log = brute.eighths(2, 8, 12, 4)
    fresh = [Log(log.tokens, [each]) for each in log.losses]
    rule = RockRule(top_k=2)
    bounds = detect(brute.write(tmp_path / "bounds", None, fresh), rule)
    paired = detect(brute.write(tmp_path / "paired", log), rule)
    assert (bounds.score, paired.score) == ("rock_score", "rock_score_ctx")
    assert bounds.rule.score == "rock_score_ctx", "the rule stays as it was given"
    assert Ranking.of_set(bounds).score == "rock_score"


def test_how_a_report_of_old_chose_k_is_told_in_words(tmp_path):
    log = brute.eighths(2, 8, 12, 4)
    report = detect(brute.write(tmp_path / "r", log), RockRule(score="rock_score", top_k=2))
    for chosen_by, says in (("stability", "as many as are stable"), ("knee", "at the knee")):
        old = {k: v for k, v in report.to_dict().items() if k not in ("enough", "why_empty")}
        how = RockReport.from_json(json.dumps(old | {"chosen_by": chosen_by})).how
        assert how.startswith(says) and "None" not in how
