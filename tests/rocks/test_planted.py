"""Detection against planted truth: what was made stubborn is found, and nothing is said to be
learned where nothing was.
"""

import dataclasses
import json

import numpy as np
import planted
import pytest
from benchmarks.detect import null_rates

from rockcore.log import Run
from rockcore.rocks.change import STAYS
from rockcore.rocks.detection import Detection
from rockcore.rocks.examined import classes_of
from rockcore.rocks.gather import Material, gather
from rockcore.rocks.rule import RockRule
from rockcore.schema import Texts

NULL_LOGS = 25


@pytest.fixture(scope="session")
def log():
    """A hundred thousand positions in memory, with their truth."""
    corpus, truth = planted.corpus(planted.Plan.sized(100_000))
    return Material("paired", Texts.FINAL, corpus.steps, (corpus,)), truth


@pytest.fixture(scope="session")
def null():
    return null_rates(NULL_LOGS)


def best(material, truth, **rule):
    """Kinds of the best types, as many as there are planted rocks."""
    found = Detection(material, RockRule(**rule))
    return truth.kind[found.corpus.types[found.order[: len(truth.rocks)]]]


def test_planted_rocks_are_found_at_k_equal_to_their_number(log):
    # as many as are planted, so that precision and recall are one number; 0.90 to 0.95 over eight
    # seeds
    assert (best(*log) == planted.ROCK).mean() >= 0.85


def test_ten_times_the_text_of_one_world_gives_the_same_number_of_rocks_and_no_false_ones(log):
    """benchmarks/size_of_log.py goes on to ten million positions."""
    few, truth = log
    plan = dataclasses.replace(planted.Plan.sized(100_000), positions=1_000_000)
    corpus, same = planted.corpus(plan)
    assert np.array_equal(truth.rocks, same.rocks)
    many = Material("paired", Texts.FINAL, corpus.steps, (corpus,))
    ks = []
    for material in (few, many):
        found = Detection(material, RockRule())
        ids = material.last.types[found.in_set]
        assert np.isin(ids, truth.rocks).mean() >= 0.95
        assert found.cutoff.chosen_by == "share" and found.cutoff.stability.value >= 0.7
        ks.append(len(ids))
    assert ks[0] >= 25 and abs(ks[1] - ks[0]) <= 0.1 * ks[0]


def test_where_nothing_was_planted_there_is_no_set():
    for seed in range(4):
        corpus, _ = planted.corpus(planted.Plan.null(seed))
        material = Material("paired", Texts.FINAL, corpus.steps, (corpus,))
        found = Detection(material, RockRule())
        assert found.cutoff.k == 0 and found.scores.any()


def test_hard_types_in_no_recurring_context_are_refused_by_context_and_taken_without_it(log):
    with_context, without = best(*log), best(*log, score="rock_score")
    assert not np.isin(with_context, (planted.SCATTERED, planted.NOISY)).any()
    assert (without == planted.SCATTERED).sum() >= 3


def test_kept_occurrences_are_the_planted_ones(log):
    material, truth = log
    found, stubborn = Detection(material, RockRule(top_k=len(truth.rocks))), truth.stubborn
    kept = found.rock_occurrences
    assert (kept & stubborn).sum() >= 0.93 * kept.sum()
    assert (kept & stubborn).sum() >= 0.93 * (
        found.high & stubborn
    ).sum()  # one below tau by chance cannot be found


def test_learned_types_are_called_learned_and_rocks_rocks(log):
    material, truth = log
    name = classes_of(material, RockRule())["class"].to_numpy()
    kind = truth.kind[material.last.types]
    assert np.isin(name[kind == planted.ROCK], ("learned", "resolved", "relapsed")).sum() == 0
    assert (name[kind == planted.ROCK] == STAYS).mean() >= 0.75
    assert (name[kind == planted.LEARNED] == STAYS).sum() == 0
    assert (
        np.isin(name[kind == planted.LEARNED], ("learned", "resolved")).mean() >= 0.4
    )  # the others: too few rollouts to say


def test_a_written_log_reads_back_as_the_one_in_memory(tmp_path):
    plan = planted.Plan.sized(20_000, seed=3)
    corpus, truth = planted.corpus(plan)
    written = planted.write(tmp_path / "log", plan)
    read = gather(Run.open(tmp_path / "log"), RockRule()).last
    assert read.steps == corpus.steps and len(read) == plan.positions
    for a, b in zip(
        (read.token_id, read.starts, *read.losses),
        (corpus.token_id, corpus.starts, *corpus.losses),
        strict=True,
    ):
        assert np.array_equal(a, b)
    written.save(tmp_path / "truth.npz")
    again = planted.Truth.load(tmp_path / "truth.npz")
    assert np.array_equal(again.kind, truth.kind) and np.array_equal(again.stubborn, truth.stubborn)


def test_where_nothing_was_learned_a_cross_fitted_test_says_so_and_a_naive_one_does_not(null):
    for choice in ("hard", "top"):
        naive, crossed = null[f"naive {choice}"], null[f"crossed {choice}"]
        assert crossed["low"] <= 0.05  # nominal: 0.025
        assert naive["value"] > 1.4 * crossed["value"]
    assert null["naive hard"]["low"] > null["crossed hard"]["high"]
    assert null["naive top"]["low"] > 0.05


def test_where_nothing_was_learned_a_group_falls_only_if_it_chose_itself(null):
    mean, error = null["group"]["naive"]
    assert mean < -5 * error
    mean, error = null["group"]["crossed"]
    assert abs(mean) < 3 * error


def test_where_nothing_was_learned_almost_no_type_is_called_learned(null):
    assert null["label"]["high"] < 0.01 and null["label of chosen"]["high"] < 0.02
    json.dumps(null)
