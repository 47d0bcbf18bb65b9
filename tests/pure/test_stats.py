"""Intervals, stability and the knee: against scipy, against plain loops, and on data whose truth is
known.
"""

import brute
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t

from rockcore import stats
from rockcore.rocks.scores import rank_order


@brute.examples(60)
@given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([0.9, 0.95]))
def test_a_share_comes_with_its_wilson_interval(k, more, confidence):
    n = k + more
    want = binomtest(k, n).proportion_ci(confidence, method="wilson")
    found = stats.proportion(k, n, confidence)
    assert (
        found == (k / n, want.low, want.high) and 0 <= found.low <= found.value <= found.high <= 1
    )


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_a_share_of_nothing_or_of_too_little_is_refused(successes, n):
    with pytest.raises(ValueError):
        stats.proportion(successes, n)


@brute.examples(100)
@given(
    st.permutations(range(7)),
    st.permutations(range(7)),
    st.integers(0, 7),
    st.integers(0, 7),
    st.integers(1, 12),
)
def test_the_overlap_of_two_rankings_is_the_jaccard_index_of_their_k_best(
    a, b, ranked_a, ranked_b, k_max
):
    found = stats.overlap(np.argsort(a), np.argsort(b), (ranked_a, ranked_b), k_max)
    for k in range(1, k_max + 1):
        one, two = set(a[: min(k, ranked_a)]), set(b[: min(k, ranked_b)])
        assert found[k - 1] == (len(one & two) / len(one | two) if one | two else 0)


def places(scores_BV: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The place of each type by its summed score over a part of the rollouts."""
    return np.argsort(rank_order(scores_BV[part].sum(axis=0), np.arange(scores_BV.shape[1])))


def agreement(scores_BV: np.ndarray, parts: np.ndarray, k: int, nested: bool = False) -> np.ndarray:
    """Jaccard index of the K best types of each part and of the rest, or of all rollouts."""
    whole, n = np.ones(len(scores_BV), bool), scores_BV.shape[1]
    others = [whole if nested else ~part for part in parts]
    return np.stack(
        [
            stats.overlap(places(scores_BV, a), places(scores_BV, b), (n, n), k)
            for a, b in zip(parts, others, strict=True)
        ]
    )


def test_halves_hold_half_of_the_rollouts_each_time_others_and_follow_the_seed():
    parts = stats.halves(9, 30, seed=5)
    assert (
        parts.shape == (30, 9)
        and (parts.sum(axis=1) == 4).all()
        and len(set(map(tuple, parts))) > 15
    )
    assert abs(stats.halves(10, 2000, seed=0).mean(axis=0) - 0.5).max() < 0.05, (
        "each rollout as often as any other"
    )
    assert np.array_equal(parts, stats.halves(9, 30, seed=5)) and not np.array_equal(
        parts, stats.halves(9, 30, seed=6)
    )


def test_nested_samples_lie_within_each_other_and_have_the_paper_s_sizes():
    parts = stats.nested(500, seed=0)
    assert parts.sum(axis=1).tolist() == [50, 100, 200, 300, 400]
    assert all((small <= large).all() for small, large in zip(parts, parts[1:], strict=False))
    assert stats.nested(2, seed=0).sum(axis=1).min() == 1, "never empty"


def test_a_ranking_without_noise_is_wholly_stable_and_one_of_noise_alone_is_near_chance():
    sure = np.tile(np.arange(1.0, 51.0), (20, 1))
    assert (agreement(sure, stats.halves(20, 20, 0), 50) == 1).all()
    noise = agreement(
        np.random.default_rng(0).random((20, 1000)), stats.halves(20, 40, 0), 100
    ).mean(axis=0)
    assert noise[99] < 1.5 * 0.1 / 1.9  # two random hundreds of a thousand share a tenth


def test_nested_samples_look_more_stable_than_disjoint_halves():
    """Trap 7: they share data with the whole."""
    scores = np.random.default_rng(0).gamma(0.2, 1.0, (50, 300))
    halves = agreement(scores, stats.halves(50, 20, 0), 60).mean(axis=0)
    assert (
        agreement(scores, stats.nested(50, 0), 60, nested=True).mean(axis=0)[59] > halves[59] + 0.1
    )


def test_the_knee_is_where_the_curve_lies_highest_above_its_chord():
    assert stats.knee(np.array([0.5, 0.8, 0.9, 0.95, 1.0])) == 1
    assert stats.knee(np.array([0.7])) == stats.knee(np.array([0.3, 0.3, 0.3])) == 0
    x = np.linspace(0, 1, 1001)
    assert (
        abs(x[stats.knee(1 - np.exp(-10 * x))] - np.log(10) / 10) < 0.01
    )  # where the slope is that of the chord


@brute.examples(60)
@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=30),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_a_quantile_is_the_same_number_alone_and_with_others(values, shares):
    losses = np.array(values, np.float32)
    found = stats.quantiles(losses, shares)
    assert found == [stats.quantiles(losses, [share])[0] for share in shares]
    assert found == pytest.approx(
        [np.quantile(losses.astype(np.float64), share) for share in shares], abs=1e-6
    )
    assert stats.quantiles(losses[:0], shares) == [0.0] * len(shares)


@brute.examples(100)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_the_share_of_both_lies_within_what_the_two_shares_allow_and_can_reach_either_end(pairs):
    n, before, after = len(pairs), sum(a for a, _ in pairs), sum(b for _, b in pairs)
    low, high = stats.frechet(np.array([before / n]), np.array([after / n]))
    both = sum(a and b for a, b in pairs) / n
    assert low[0] - 1e-12 <= both <= high[0] + 1e-12
    least = sum(i < before and i >= n - after for i in range(n)) / n  # laid out from opposite ends
    assert low[0] == pytest.approx(least) and high[0] == min(before, after) / n


def test_each_bootstrap_sample_draws_as_many_rollouts_as_there_are():
    drawn = stats.resampled(12, 500, seed=1)
    assert (
        drawn.shape == (500, 12)
        and (drawn.sum(axis=1) == 12).all()
        and abs(drawn.mean(axis=0) - 1).max() < 0.15
    )
    assert drawn.var() == pytest.approx(11 / 12, abs=0.05)
    assert np.array_equal(drawn, stats.resampled(12, 500, seed=1))


def test_an_interval_of_many_units_is_the_percentile_interval_and_one_of_few_is_wider():
    draws = np.random.default_rng(0).normal(size=(20_001, 3))
    low, high = stats.percentile_interval(draws, np.array([100_000, 6, 1]))
    assert np.isnan(low[2]) and np.isnan(high[2]), "one unit says nothing of its spread"
    assert low[0] == pytest.approx(np.quantile(draws[:, 0], 0.025), abs=1e-3)
    assert high[0] == pytest.approx(np.quantile(draws[:, 0], 0.975), abs=1e-3)
    tail = norm.cdf(-np.sqrt(6 / 5) * t.ppf(0.975, 5))
    assert (
        low[1] == pytest.approx(np.quantile(draws[:, 1], tail), abs=1e-2)
        and low[1] < low[0] < 0 < high[0] < high[1]
    )


def test_draws_that_hold_nothing_are_left_out():
    draws = np.random.default_rng(0).normal(size=(1001, 1))
    with_gaps = np.insert(draws, slice(0, 1000, 2), np.nan, axis=0)
    units = np.array([50])
    assert stats.percentile_interval(draws, units) == stats.percentile_interval(with_gaps, units)
    assert np.isnan(stats.percentile_interval(np.full((10, 1), np.nan), units)[0])


def test_the_interval_covers_the_mean_of_few_units_as_often_as_it_says():
    """Eight rollouts, 95 %: the plain percentile interval covers 88 % of such means."""
    means = stats.resampled(8, 1000, seed=0) @ np.random.default_rng(0).normal(size=(8, 1500)) / 8
    low, high = stats.percentile_interval(means, np.full(1500, 8))
    hits = np.mean((low <= 0) & (high >= 0))
    plain_low, plain_high = np.quantile(means, [0.025, 0.975], axis=0)
    plain = np.mean((plain_low <= 0) & (plain_high >= 0))
    assert plain < 0.91 < 0.92 < hits < 0.965
