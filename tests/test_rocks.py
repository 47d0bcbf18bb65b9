"""Ranking by Rock Score: the sums are those of the tokens, whatever the order of the rows."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_log import VOCAB, meta, tokens

from rockcore import rocks
from rockcore.log import Run, RunWriter
from rockcore.scores import SCORES, mean_kl, rock_score


def written(path, *steps):
    writer = RunWriter.create(path, meta(), VOCAB)
    for step, columns in steps:
        writer.append("tokens", step, columns)
    return Run.open(path)


def test_rock_scores_sum_to_the_kl_of_all_tokens_and_shares_to_one(tmp_path):
    columns = tokens(3, rollouts=20)
    frame = rocks.rank(written(tmp_path / "r", (3, columns)))
    assert np.isclose(frame.rock_score.sum(), columns["kl"].sum(dtype=np.float64), rtol=1e-12)
    assert np.isclose(frame.share.sum(), 1) and np.isclose(frame.coverage.iloc[-1], 1)
    assert np.allclose(frame.mean_kl * frame.frequency, frame.rock_score)
    assert frame.rock_score.is_monotonic_decreasing


def test_the_order_of_rows_is_irrelevant(tmp_path):
    columns = tokens(0, rollouts=20)
    shuffled = np.random.default_rng(0).permutation(len(columns["kl"]))
    a = rocks.rank(written(tmp_path / "a", (0, columns)))
    b = rocks.rank(written(tmp_path / "b", (0, {name: values[shuffled] for name, values in columns.items()})))
    assert a.token_id.tolist() == b.token_id.tolist() and np.allclose(a.rock_score, b.rock_score)


def test_ties_are_broken_by_token_id(tmp_path):
    columns = tokens(0)
    columns["token_id"] = np.array([2, 0, 1, 2, 0, 1, 2, 0, 1, 1])
    columns["kl"] = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], np.float32)
    assert rocks.rank(written(tmp_path / "r", (0, columns))).token_id.tolist() == [0, 1, 2]


def test_the_last_step_is_ranked_unless_another_is_asked_for(tmp_path):
    run = written(tmp_path / "r", (0, tokens(0)), (10, tokens(10)))
    assert rocks.report(run)["step"] == 10
    assert rocks.report(run, step=0)["total_kl"] == pytest.approx(float(tokens(0)["kl"].sum(dtype=np.float64)))


def test_a_step_without_any_loss_ranks_without_dividing_by_zero(tmp_path):
    columns = {**tokens(0), "kl": np.zeros(10, np.float32)}
    assert rocks.rank(written(tmp_path / "r", (0, columns))).share.tolist() == [0.0] * len(set(columns["token_id"]))


def test_a_run_without_tokens_says_so(tmp_path):
    with pytest.raises(rocks.NothingLogged, match="no logged tokens"):
        rocks.rank(written(tmp_path / "r"))


def test_the_report_is_json_with_the_promised_fields(tmp_path):
    report = json.loads(json.dumps(rocks.report(written(tmp_path / "r", (0, tokens(0))))))
    assert {"run", "step", "total_kl", "tokens"} <= set(report)
    promised = {"token_id", "token", "category", "frequency", "mean_kl", "rock_score", "share", "coverage"}
    assert all(promised <= set(row) for row in report["tokens"])


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 5)), min_size=1, max_size=20))
def test_scores_are_finite_and_not_negative(rows):
    n = np.array([r[0] for r in rows])
    kl_sum = np.array([r[0] * r[1] for r in rows])
    for score in SCORES.values():
        assert np.isfinite(score(n, kl_sum)).all() and (score(n, kl_sum) >= 0).all()
    assert np.allclose(mean_kl(n, kl_sum) * n, rock_score(n, kl_sum))
