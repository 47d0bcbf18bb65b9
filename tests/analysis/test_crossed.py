"""Means over seeds and problems: against brute force and scipy, and their false rate on data in
which nothing is.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rockcore.analysis.crossed import crossed_mean, holm, mean_over_seeds


def drawn(rng: np.random.Generator, seeds: int, problems: int, seed_sd: float, problem_sd: float):
    """The model of crossed_mean with σ_e = 1 and μ = 0."""
    a = seed_sd * rng.normal(size=(seeds, 1))
    b = problem_sd * rng.normal(size=(1, problems))
    return a + b + rng.normal(size=(seeds, problems))


def by_loops(y: np.ndarray) -> tuple[float, float]:
    """Variance of the mean and degrees of freedom, cell by cell, floored where it says so."""
    S, P = y.shape
    grand = sum(y[s, p] for s in range(S) for p in range(P)) / (S * P)
    seed = [sum(y[s, p] for p in range(P)) / P for s in range(S)]
    problem = [sum(y[s, p] for s in range(S)) / S for p in range(P)]
    m_a = P * sum((x - grand) ** 2 for x in seed) / (S - 1)
    m_b = S * sum((x - grand) ** 2 for x in problem) / (P - 1)
    rest = [y[s, p] - seed[s] - problem[p] + grand for s in range(S) for p in range(P)]
    m_e = sum(x * x for x in rest) / ((S - 1) * (P - 1))
    m_a, m_b = max(m_a, m_e), max(m_b, m_e)
    v = m_a + m_b - m_e
    dof = v**2 / (m_a**2 / (S - 1) + m_b**2 / (P - 1) + m_e**2 / ((S - 1) * (P - 1)))
    return v / (S * P), dof


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 12))
def test_the_mean_and_its_interval_are_those_of_brute_force(seed: int, seeds: int, problems: int):
    rng = np.random.default_rng(seed)
    y = drawn(rng, seeds, problems, *rng.uniform(0, 2, 2)) + rng.normal()
    found = crossed_mean(y)
    variance, dof = by_loops(y)
    t = stats.t(dof, loc=y.mean(), scale=math.sqrt(variance))
    assert np.isclose(found.mean, y.mean()) and np.isclose(found.dof, dof)
    np.testing.assert_allclose((found.low, found.high), t.interval(0.95), rtol=1e-8)
    assert np.isclose(found.p, 2 * stats.t.sf(abs(y.mean()) / math.sqrt(variance), dof))


def test_where_no_component_is_floored_the_variance_is_that_of_the_two_kinds_of_means():
    """s²_seed/S + s²_problem/P − s²_rest/(SP), from the variances of the means themselves."""
    y = drawn(np.random.default_rng(1), 5, 40, 1.0, 2.0)
    found = crossed_mean(y)
    S, P = y.shape
    of_means = y.mean(1).var(ddof=1) / S + y.mean(0).var(ddof=1) / P
    error = (found.high - found.mean) / stats.t.ppf(0.975, found.dof)
    assert np.isclose(error**2, of_means - found.rest_sd**2 / (S * P))
    assert min(found.seed_sd, found.problem_sd) > 0


@pytest.mark.parametrize("axis", [0, 1], ids=["seeds", "problems"])
def test_where_only_one_of_both_varies_it_is_the_t_test_of_its_means(axis: int):
    means = np.random.default_rng(2).normal(0.3, 1.0, 6)
    y = np.repeat(means[:, None], 9, axis=1)
    found = crossed_mean(y if axis == 0 else y.T)
    expected = stats.ttest_1samp(means, 0.0)
    assert np.isclose(found.p, expected.pvalue)
    np.testing.assert_allclose((found.low, found.high), expected.confidence_interval(0.95))


@pytest.mark.parametrize("binary", [False, True], ids=["normal", "right or wrong"])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_the_false_rate_is_at_most_the_nominal_level(seeds: int, binary: bool):
    """On 600 null comparisons of each kind: nothing varies, seeds do, problems do, both do."""
    rng, trials, problems = np.random.default_rng(seeds), 600, 64
    for seed_sd, problem_sd in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.6), (0.1, 0.3), (0.3, 0.3)):
        false = 0
        for _ in range(trials):
            y = drawn(rng, seeds, problems, seed_sd, problem_sd)
            if binary:  # a difference of two arms: 1, 0 or -1
                y = np.sign(y) * (abs(y) > 1.2)
            false += crossed_mean(y).p < 0.05
        most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
        assert false / trials <= most, (seed_sd, problem_sd, false)


def test_a_real_difference_is_found():
    """Five seeds, 256 problems, five points more right answers: a matter of most comparisons."""
    rng, found = np.random.default_rng(3), 0
    for _ in range(100):
        base = rng.random((1, 256)) * 0.4 + 0.4 + 0.01 * rng.normal(size=(5, 1))
        arm = rng.random((5, 256)) < base + 0.10
        found += crossed_mean(arm.astype(float) - (rng.random((5, 256)) < base)).p < 0.05
    assert found > 80


def test_one_seed_has_an_interval_over_problems_and_no_test():
    y = np.random.default_rng(4).normal(1.0, 1.0, (1, 30))
    found = crossed_mean(y)
    expected = stats.ttest_1samp(y[0], 0.0).confidence_interval(0.95)
    np.testing.assert_allclose((found.low, found.high), expected)
    assert math.isnan(found.p)


def test_cells_that_are_all_alike_say_nothing_of_chance():
    same = crossed_mean(np.zeros((3, 5)))
    assert (same.mean, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    assert math.isnan(crossed_mean(np.full((3, 5), 0.2)).p)
    assert math.isnan(crossed_mean(np.array([[0.0, np.nan], [1.0, 0.0]])).mean)
    assert math.isnan(crossed_mean(np.zeros((0, 5))).mean)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9, unique=True))
def test_a_mean_over_seeds_is_the_t_test(values: list[float]):
    y = np.array(values)
    if y.std() < 1e-9:
        return
    found, expected = mean_over_seeds(y), stats.ttest_1samp(y, 0.0)
    np.testing.assert_allclose((found.low, found.high), expected.confidence_interval(0.95))
    assert np.isclose(found.p, expected.pvalue)


def test_a_mean_over_fewer_than_two_seeds_has_no_interval():
    assert mean_over_seeds(np.array([2.0])).value == 2.0
    assert math.isnan(mean_over_seeds(np.array([2.0])).low)
    assert math.isnan(mean_over_seeds(np.array([])).value)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_its_definition(values: list[float]):
    """The i-th smallest of m is at most rejected where all before it are: max over j ≤ i of
    (m - j) p_(j), j from 0.
    """
    p, m = np.array(values), len(values)
    ranked = sorted(range(m), key=lambda i: (p[i], i))
    for place, i in enumerate(ranked):
        expected = min(1.0, max((m - j) * p[ranked[j]] for j in range(place + 1)))
        assert np.isclose(holm(p)[i], expected)


def test_holm_leaves_out_what_was_not_tested():
    np.testing.assert_allclose(holm(np.array([np.nan, 0.01, 0.04])), [np.nan, 0.02, 0.04])
    assert len(holm(np.array([]))) == 0
