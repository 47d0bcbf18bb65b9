"""Ranking the types of one step by Rock Score: the sums are those of the tokens, whatever the order
of the rows.
"""

import numpy as np
import pytest
from small_logs import VOCAB, meta, tokens

from rockcore.log import Run, RunWriter
from rockcore.rocks import ranking


def written(path, *steps):
    writer = RunWriter.create(path, meta(), VOCAB)
    for step, columns in steps:
        writer.append("tokens", step, columns)
    return Run.open(path)


def test_rock_scores_sum_to_the_kl_of_all_tokens_and_shares_to_one(tmp_path):
    columns = tokens(3, rollouts=20)
    frame = ranking.rank(written(tmp_path / "r", (3, columns)))
    assert np.isclose(frame.rock_score.sum(), columns["kl"].sum(dtype=np.float64), rtol=1e-12)
    assert np.isclose(frame.share.sum(), 1) and np.isclose(frame.coverage.iloc[-1], 1)
    assert np.allclose(frame.mean_kl * frame.frequency, frame.rock_score)
    assert frame.rock_score.is_monotonic_decreasing


def test_the_order_of_rows_is_irrelevant(tmp_path):
    columns = tokens(0, rollouts=20)
    shuffled = np.random.default_rng(0).permutation(len(columns["kl"]))
    a = ranking.rank(written(tmp_path / "a", (0, columns)))
    b = ranking.rank(
        written(tmp_path / "b", (0, {name: values[shuffled] for name, values in columns.items()}))
    )
    assert a.token_id.tolist() == b.token_id.tolist() and np.allclose(a.rock_score, b.rock_score)


def test_ties_are_broken_by_token_id(tmp_path):
    columns = tokens(0)
    columns["token_id"] = np.array([2, 0, 1, 2, 0, 1, 2, 0, 1, 1])
    columns["kl"] = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], np.float32)
    assert ranking.rank(written(tmp_path / "r", (0, columns))).token_id.tolist() == [0, 1, 2]


def test_the_last_step_is_ranked_unless_another_is_asked_for(tmp_path):
    run = written(tmp_path / "r", (0, tokens(0)), (10, tokens(10)))
    assert ranking.rank(run).rock_score.sum() == pytest.approx(
        float(tokens(10)["kl"].sum(dtype=np.float64))
    )
    assert ranking.rank(run, step=0).rock_score.sum() == pytest.approx(
        float(tokens(0)["kl"].sum(dtype=np.float64))
    )


def test_a_step_without_any_loss_ranks_without_dividing_by_zero(tmp_path):
    columns = {**tokens(0), "kl": np.zeros(10, np.float32)}
    assert ranking.rank(written(tmp_path / "r", (0, columns))).share.tolist() == [0.0] * len(
        set(columns["token_id"])
    )


def test_a_run_without_tokens_says_so(tmp_path):
    with pytest.raises(ranking.NothingLogged, match="no logged tokens"):
        ranking.rank(written(tmp_path / "r"))
