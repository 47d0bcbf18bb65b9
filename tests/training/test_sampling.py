"""The noise that all arms of a screen share: it is Gumbel's, and belongs to the rollout alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from rockcore.training.sampling import Gumbel, negative_gumbel, row_keys

CPU = torch.device("cpu")


def keys(n: int, seed: int = 0, salt: int = 0) -> np.ndarray:
    return row_keys(seed, salt, np.arange(n) // 4, np.arange(n) % 4)


def drawn(
    logits_V: torch.Tensor, n: int = 40_000, bans=((),), temperature: float = 1.0, t: int = 0
):
    """How often each id is picked by n rollouts that all see the same logits at position t."""
    zero = np.zeros(n, int)
    choice = Gumbel(keys(n), zero, bans, zero, temperature, t + 1, None)
    pick = choice.pick(len(logits_V), CPU)
    chosen = pick(logits_V.expand(n, -1), torch.arange(n), t)
    return np.bincount(chosen.numpy(), minlength=len(logits_V))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("t", [0, 37])
def test_ids_are_drawn_by_their_probability(temperature, t):
    logits = torch.tensor(np.random.default_rng(1).normal(0, 1.5, 30), dtype=torch.float32)
    counts = drawn(logits, temperature=temperature, t=t)
    expected = torch.softmax(logits.double() / temperature, 0).numpy() * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > 0.01


def test_under_a_ban_the_rest_is_drawn_by_its_probability():
    logits = torch.tensor(np.random.default_rng(2).normal(0, 1.5, 30), dtype=torch.float32)
    counts = drawn(logits, bans=((3, 17),))
    logits[[3, 17]] = -torch.inf
    expected = torch.softmax(logits.double(), 0).numpy() * counts.sum()
    allowed = expected > 0
    assert counts[~allowed].sum() == 0
    assert stats.chisquare(counts[allowed], expected[allowed]).pvalue > 0.01


def test_a_rare_id_is_drawn_as_rarely_as_it_should_be():
    """Of two million draws at 1 in 20,000: what a coarse uniform number would get wrong."""
    logits = torch.zeros(2)
    logits[1] = -float(np.log(20_000))
    count = sum(drawn(logits, 200_000, t=t)[1] for t in range(10))
    assert stats.binomtest(int(count), 2_000_000, 1 / 20_001).pvalue > 0.001


def test_the_noise_is_gumbels_and_neighbours_share_nothing():
    noise = -negative_gumbel(torch.from_numpy(keys(400).view(np.int32).reshape(-1, 2)), 500).numpy()
    assert np.isfinite(noise).all()
    assert stats.kstest(noise.ravel()[::3], "gumbel_r").pvalue > 0.01
    uniform = np.exp(-np.exp(-noise.astype(np.float64)))
    for a, b in ((uniform[1:], uniform[:-1]), (uniform[:, 1:], uniform[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)


def test_other_seeds_salts_rollouts_and_positions_have_other_noise():
    seen = np.concatenate([keys(400), keys(400, seed=1), keys(400, salt=1), keys(400, salt=2)])
    assert len(np.unique(seen)) == len(seen)
    logits = torch.zeros(200).expand(1, -1)
    choice = Gumbel(keys(1), np.zeros(1, int), ((),), np.zeros(1, int), 1.0, 60, None)
    pick = choice.pick(200, CPU)
    assert len({int(pick(logits, torch.arange(1), t)) for t in range(60)}) > 40


def test_a_rollout_has_its_noise_whatever_else_is_in_the_batch():
    """And wherever it goes on from: position 12 of a response is position 12."""
    logits = torch.tensor(np.random.default_rng(3).normal(0, 1, (8, 50)), dtype=torch.float32)
    start, zero = np.array([0, 5, 3, 0, 9, 2, 0, 1]), np.zeros(8, int)
    whole = Gumbel(keys(8), zero, ((),), zero, 1.0, 40, None).pick(50, CPU)
    cut = Gumbel(keys(8), start, ((),), zero, 1.0, 40, None).pick(50, CPU)
    rows = torch.tensor([6, 1, 4])
    found = cut(logits[rows], rows, 7)
    for row, token in zip(rows.tolist(), found.tolist(), strict=True):
        assert token == int(whole(logits, torch.arange(8), 7 + int(start[row]))[row])


def test_a_row_at_its_end_is_given_the_stop_id():
    logits = torch.zeros(2, 50)
    choice = Gumbel(keys(2), np.array([0, 6]), ((),), np.zeros(2, int), 1.0, 10, 49)
    pick = choice.pick(50, CPU)
    assert [int(pick(logits, torch.arange(2), t)[1]) == 49 for t in (2, 3, 4, 5)][2:] == [
        True,
        True,
    ]
    assert int(pick(logits, torch.arange(2), 4)[0]) != 49


def test_greedy_takes_the_likeliest_that_is_allowed():
    logits = torch.tensor([[0.0, 3.0, 2.0], [0.0, 3.0, 2.0]])
    choice = Gumbel(keys(2), np.zeros(2, int), ((), (1,)), np.array([0, 1]), 0.0, 5, None)
    assert choice.pick(3, CPU)(logits, torch.arange(2), 0).tolist() == [1, 2]
