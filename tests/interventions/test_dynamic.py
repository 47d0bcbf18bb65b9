"""The arm dynamic on logs whose kl is planted: which types move, by its equation alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rockcore.interventions import dynamic
from rockcore.interventions.dynamic import FLOOR, PROGRESS, RATE
from rockcore.log import Run, RunWriter
from rockcore.schema import RunMeta

V, TEXTS = 8, 24
EASY, STUCK, FALLS, NOISY, RARE = 2, 3, 4, 5, 6


def write(path: Path, seed: int = 0) -> RunWriter:
    """Three scorings of fixed texts: STUCK stays, FALLS halves each time, NOISY goes up in one half
    of the texts and down in the other, RARE stands in two texts alone.
    """
    rng = np.random.default_rng(seed)
    about = {"student": "s", "teacher": "t", "tokenizer_hash": "0" * 16}
    writer = RunWriter.create(
        path,
        RunMeta(name=path.name, vocab_size=V, **about),
        {"token_id": range(V), "token": [str(i) for i in range(V)], "special": [False] * V},
    )
    ids = [
        np.array([EASY] * 12 + [STUCK, FALLS, NOISY] * 2 + [RARE] * (b < 2)) for b in range(TEXTS)
    ]
    rollout = np.repeat(np.arange(TEXTS), [len(i) for i in ids])
    token = np.concatenate(ids)
    base = np.where(token == EASY, 0.02, 1.0) * rng.uniform(0.9, 1.1, len(token))
    for s, step in enumerate((0, 5, 10)):
        kl = base * np.select(
            [token == FALLS, token == NOISY],
            [0.5**s, np.where(rollout % 2 == 0, 1.7**s, 0.5**s)],
            1.0,
        )
        zeros = dict.fromkeys(
            ["sampled_loss", "student_logp", "teacher_logp", "student_entropy", "teacher_entropy"],
            np.zeros(len(token)),
        )
        top = {
            f"{m}_top_{n}": np.zeros((len(token), 8))
            for m in ("student", "teacher")
            for n in ("ids", "logps")
        }
        columns = {
            "step": np.full(len(token), step),
            "rollout_id": rollout,
            "position": np.concatenate([np.arange(len(i)) for i in ids]),
            "token_id": token,
            "kl": kl,
            **zeros,
            **top,
        }
        writer.append_probe("first", step, columns)
    return writer


def test_what_is_hard_and_does_not_move_goes_down_and_what_moves_comes_back(tmp_path):
    run = Run(write(tmp_path / "r").path, Run.open(tmp_path / "r").meta)
    start = np.ones(V, np.float32)
    one = dynamic.moved(run, 0, 5, start)
    table = one.table.set_index("token_id")
    assert table.moved.to_dict() == {EASY: 0, STUCK: -1, FALLS: 0, NOISY: 0, RARE: 0}
    assert table.change[FALLS] == pytest.approx(-0.5) and table.change[STUCK] == pytest.approx(0)
    assert one.weight[STUCK] == np.float32(1 - RATE) and one.weight[FALLS] == 1
    assert one.weight[[0, 1, EASY, NOISY, RARE, 7]].tolist() == [1] * 6
    assert start.tolist() == [1] * V  # what is handed in stays as it is
    low = np.full(V, np.float32(0.2))
    two = dynamic.moved(run, 5, 10, low)
    assert two.table.set_index("token_id").moved[FALLS] == 1
    assert two.weight[FALLS] == np.float32(0.2 + RATE * (1 - np.float64(np.float32(0.2))))
    least = dynamic.moved(run, 5, 10, np.full(V, np.float32(FLOOR)))
    assert least.weight[STUCK] == np.float32(FLOOR)
    assert least.table.set_index("token_id").moved[STUCK] == 0


def test_a_move_follows_from_the_logged_interval_alone(tmp_path):
    """The equation of the docstring, row by row, over logs of several seeds."""
    for seed in range(4):
        run = Run(write(tmp_path / str(seed), seed).path, Run.open(tmp_path / str(seed)).meta)
        old = np.random.default_rng(seed).uniform(0.1, 1, V).astype(np.float32)
        found = dynamic.moved(run, 5, 10, old)
        for row in found.table.itertuples():
            was = float(old[row.token_id])
            assert np.isnan(row.low) or row.low <= row.change + 1e-9
            if row.moved == 1:
                assert row.high < -PROGRESS
                assert row.weight == np.float32(was + RATE * (1 - was))
            elif row.moved == -1:
                assert row.low > -PROGRESS and row.token_id != EASY
                assert row.weight == np.float32(max(FLOOR, (1 - RATE) * was))
            else:
                assert row.weight == old[row.token_id]
                easy_or_unknown = row.token_id == EASY or np.isnan(row.low)
                assert easy_or_unknown or row.low <= -PROGRESS <= row.high


def test_the_weights_are_read_back_as_they_were_logged(tmp_path):
    writer = write(tmp_path / "r")
    run = Run(writer.path, writer.meta)
    assert dynamic.weight_of(run, V)[0] == 0 and dynamic.weight_of(run, V)[1].tolist() == [1] * V
    weight = np.random.default_rng(0).uniform(0.1, 1, V).astype(np.float32)
    for previous, step in ((0, 5), (5, 10)):
        found = dynamic.moved(run, previous, step, weight)
        writer.append("weights", step, {n: c.to_numpy() for n, c in found.table.items()})
        weight = found.weight
        at, again = dynamic.weight_of(run, V)
        seen = found.table.token_id
        assert at == step and np.array_equal(again[seen], weight[seen])


@pytest.mark.parametrize(
    ("lengths", "probe_every", "says"),
    [
        ([3, 0, 2, 5], 2, ["3 of the fixed texts"]),
        ([], 2, ["0 of the fixed texts"]),
        ([1] * 4, 9, ["every 9 steps"]),
        ([1] * 3, 12, ["3 of the fixed texts", "every 12 steps"]),
        ([1] * 4, 8, []),
    ],
)
def test_a_run_in_which_no_weight_can_move_says_so(lengths, probe_every, says):
    found = dynamic.doubts(lengths, probe_every, steps=9)
    assert len(found) == len(says)
    assert all(part in sentence for part, sentence in zip(says, found, strict=True))
