"""The one answer to "what share do the Rock Tokens have": against sums over single tokens."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rockcore.analysis import rollout_sums
from rockcore.analysis.rock_share import rock_share
from rockcore.log import Run, sample_runs
from rockcore.rocks import Examined, RockRule
from rockcore.rocks.change import CLASSES, STAYS
from rockcore.rocks.corpus import Corpus
from rockcore.spelling import percent
from rockcore.stats import share_over_rollouts


@pytest.fixture(scope="module")
def habit() -> Examined:
    return Examined(Run.open(sample_runs() / "habit"))


def test_the_shares_are_those_of_the_single_tokens_of_the_set(habit):
    share, last = rock_share(habit), habit.run.steps("probe/final")[-1]
    file = habit.run.path / f"probe/final/step={last:06d}.parquet"
    tokens = pq.read_table(file).to_pandas()
    rocks = tokens[tokens.token_id.isin(habit.report.ids)]
    assert (share.tokens, share.of_tokens) == (len(rocks), len(tokens)) and share.step == last
    assert share.texts == tokens.rollout_id.nunique() and share.types == len(habit.report.ids)
    assert share.kl.value == pytest.approx(rocks.kl.sum() / tokens.kl.sum(), rel=1e-5)
    gradient = rocks.grad_norm.sum() / tokens.grad_norm.sum()
    assert share.gradient.value == pytest.approx(gradient, rel=1e-5)
    assert share.token_share.value == habit.report.density["type"]
    assert share.kl.value == habit.report.coverage
    for one in (share.token_share, share.kl, share.gradient):
        assert 0 < one.low < one.value < one.high < 1
        assert percent(one.value) in share.sentence
    assert share.sentence.startswith(f"Rule default: {share.types} Rock Tokens, ")
    assert share.sentence.endswith(f"({share.texts} texts of the final student, step {last})")


def test_without_a_stable_set_the_sentence_says_why_and_gives_no_share():
    share = rock_share(Examined(Run.open(sample_runs() / "skill")))
    assert share.types == 0 and share.token_share is share.kl is share.gradient is None
    assert share.sentence.startswith("Rule default: no Rock Tokens (96 texts") and not share.shares
    assert "No stable set. " in share.sentence and not share.about


def test_where_the_gradient_is_not_logged_its_share_is_unknown(tmp_path: Path):
    run = shutil.copytree(sample_runs() / "habit", tmp_path / "habit")
    for file in run.rglob("step=*.parquet"):
        table = pq.read_table(file)
        if "grad_norm" in table.column_names:
            pq.write_table(table.drop_columns(["grad_norm"]), file)
    share = rock_share(Examined(Run.open(run)))
    assert share.gradient is None and "an unknown share of the gradient" in share.sentence
    assert "not logged" in share.about


def test_a_rule_on_another_loss_names_that_loss_and_no_kl(habit):
    share = rock_share(habit.under(RockRule(column="sampled_loss", top_k=5)))
    assert share.kl is None and "of the sampled loss" in share.sentence
    assert "KL" not in share.sentence and share.sentence.startswith("Rule default with ")


def test_the_interval_of_a_share_covers_it_in_95_of_100_samples_of_rollouts():
    """A ratio of 0.3 on average; a normal interval of 12 rollouts would be too narrow."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        whole = rng.uniform(1, 3, 12)
        low, high = share_over_rollouts(whole * rng.beta(3, 7, 12), whole)[1:]
        covered += low <= 0.3 <= high
    assert 0.92 < covered / 600 < 0.98


def test_one_rollout_gives_a_share_without_an_interval_and_nothing_gives_none():
    value, low, high = share_over_rollouts(np.ones(1), np.full(1, 4.0))
    assert value == 0.25 and np.isnan(low) and np.isnan(high)
    with pytest.raises(ValueError, match="sum to 0"):
        share_over_rollouts(np.zeros(3), np.zeros(3))


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.0001, "less than 0.1 %"),
        (0.0331, "3.3 %"),
        (0.09951, "10 %"),
        (0.55, "55 %"),
        (0.9999, "more than 99 %"),
        (1.0, "100 %"),
        (-0.02, "-2.0 %"),
        (float("nan"), "an unknown share"),
    ],
)
def test_a_share_is_written_alike_everywhere_and_never_as_none_or_all_of_it(share, text):
    assert percent(share) == text


def test_the_class_of_types_that_stay_hard_is_not_called_a_rock():
    assert STAYS == "stays hard" in CLASSES and not any("rock" in name for name in CLASSES)


@pytest.mark.parametrize("at_once", [1, 50, 10_000])
def test_sums_a_part_at_a_time_are_those_of_all_occurrences_to_the_bit(at_once, monkeypatch):
    monkeypatch.setattr(rollout_sums, "_AT_ONCE", at_once)
    draw = np.random.default_rng(1)
    for lengths in ([1], [300], draw.integers(1, 60, 40)):
        starts, n = np.cumsum(lengths) - lengths, int(np.sum(lengths))
        ids, values = draw.integers(0, 9, n), draw.gamma(1, 1, n).astype(np.float32)
        corpus = Corpus((0,), np.arange(len(lengths)), starts, ids, (values,))
        for of in (None, ids < 3, ids < 0):
            rows = slice(None) if of is None else of
            want = np.bincount(corpus.rollout[rows], values[rows], len(lengths))
            found = rollout_sums.sums_by_rollout(corpus, values, of)
            np.testing.assert_array_equal(found, want)
