"""From sums to scores: what every score keeps to, and that the cautious ones are right about data
whose truth is known.
"""

from dataclasses import replace

import brute
import numpy as np
import pytest
from brute import Log
from hypothesis import given
from hypothesis import strategies as st

from rockcore import stats
from rockcore.rocks import scores
from rockcore.rocks.detection import Detection
from rockcore.rocks.gather import Material
from rockcore.rocks.rule import RockRule
from rockcore.rocks.scores import SCORES, TypeStats
from rockcore.schema import Texts

pytestmark = pytest.mark.filterwarnings("error")


def known(log: Log, score: str = "rock_score") -> TypeStats:
    """What a detection hands to a score."""
    found = Detection(
        Material("paired", Texts.FINAL, (0, 1), (log.corpus(),)),
        RockRule(score=score, window=1, min_support=0, min_rollouts=0),
    )
    return found.stats


def simulated(rollouts: np.ndarray, means: np.ndarray, shape: float, seed: int = 0) -> Log:
    """Types in some rollouts each, one to three times; losses are gamma with the type's mean, and
    rollouts differ.
    """
    rng = np.random.default_rng(seed)
    b = int(rollouts.max())
    tokens: list[list[int]] = [[] for _ in range(b)]
    for v, n in enumerate(rollouts):
        for row in rng.permutation(b)[:n]:
            tokens[row] += [v] * int(rng.integers(1, 4))
    factor = rng.gamma(8, 1 / 8, (b, len(means)))
    losses = [
        [float(rng.gamma(shape, means[v] * factor[row, v] / shape)) for v in tokens[row]]
        for row in range(b)
    ]
    return Log(tokens, [losses] * 2)


@brute.examples(60)
@given(brute.logs())
def test_every_score_is_finite_not_negative_and_nothing_where_there_is_no_loss(log):
    silent = Log(log.tokens, [[[0.0] * len(row) for row in log.tokens]] * 2)
    for name, score in SCORES.items():
        found = score(known(log, name))
        assert (
            found.shape == (len(log.types),) and np.isfinite(found).all() and (found >= 0).all()
        ), name
        assert (score(known(silent, name)) == 0).all(), name


@brute.examples(40)
@given(brute.logs(), st.permutations([3, 9, 0, 400, 21]))
def test_other_names_for_the_types_change_no_score_but_the_ties_of_the_authors(log, names):
    other = Log([[names[token] for token in row] for row in log.tokens], log.losses)
    back = [sorted(names[v] for v in log.types).index(names[v]) for v in log.types]
    for name in SCORES.keys() - {"authors"}:
        assert SCORES[name](known(other, name))[back] == pytest.approx(
            SCORES[name](known(log, name)), rel=1e-9
        ), name


@brute.examples(60)
@given(brute.logs())
def test_a_lower_bound_is_no_more_than_the_score_and_a_joint_share_no_more_than_either(log):
    some = known(log, "rock_score_lcb")
    assert (scores.rock_score_lcb(some) <= scores.rock_score(some) * (1 + 1e-12)).all()
    both = known(log, "joint")
    assert both.kl_sum_before is not None
    for sums in (both.kl_sum, both.kl_sum_before):
        assert (scores.joint(both) <= sums / max(sums.sum(), 1e-300) + 1e-15).all()


def test_the_scores_that_cancel_the_frequency_do():
    some = TypeStats(
        np.arange(3), np.array([4, 2, 0]), np.array([2.0, 3.0, 0.0]), consistent=np.array([1, 2, 0])
    )
    assert scores.rock_score(some).tolist() == [2, 3, 0] and scores.mean_kl(some).tolist() == [
        0.5,
        1.5,
        0,
    ]
    assert scores.rock_score_ctx(some).tolist() == [0.5, 3, 0]


@pytest.mark.parametrize(
    ("score", "lacks"),
    [
        ("rock_score_ctx", "context-consistent"),
        ("joint", "second checkpoint"),
        ("mean_kl_eb", "over rollouts"),
    ],
)
def test_a_score_without_what_it_needs_says_so(score, lacks):
    with pytest.raises(ValueError, match=lacks):
        SCORES[score](TypeStats(np.arange(2), np.array([4, 2]), np.array([2.0, 3.0])))


def test_the_variance_of_a_mean_is_that_of_a_bootstrap_over_rollouts_not_over_tokens():
    log = simulated(np.full(4, 60), np.array([0.5, 1.0, 2.0, 4.0]), shape=2.0)
    variance, rollouts = known(log, "rock_score_lcb").variance_of_mean()
    cells = log.corpus().cells
    n, s = np.zeros((2, 60, 4))
    n[cells.rollout, cells.type], s[cells.rollout, cells.type] = cells.n, cells.sums[-1]
    weights = stats.resampled(60, 4000, seed=0)
    assert rollouts.tolist() == [60] * 4
    assert variance == pytest.approx(((weights @ s) / (weights @ n)).var(axis=0), rel=0.1)


def test_the_variance_of_a_mean_over_rollouts_with_one_token_each_is_its_squared_standard_error():
    losses = np.random.default_rng(0).integers(0, 9, 5) / 8
    variance, _ = known(
        Log([[1]] * 5, [[[x] for x in losses]] * 2), "rock_score_lcb"
    ).variance_of_mean()
    assert variance[0] == pytest.approx(losses.var(ddof=1) / 5)


def test_the_variance_of_a_type_in_one_rollout_is_unknown_and_its_lower_bound_nothing():
    log = Log([[1, 1, 2], [2]], [[[1.0, 0.5, 1.0], [1.0]]] * 2)
    some = known(log, "rock_score_lcb")
    assert np.isnan(some.variance_of_mean()[0][0]) and scores.rock_score_lcb(some).tolist() == [
        0,
        2,
    ]


def test_rare_types_are_drawn_further_towards_the_others_than_frequent_ones():
    rollouts = np.tile([3, 6, 12, 24, 48], 40)
    some = known(
        simulated(rollouts, np.random.default_rng(1).gamma(8, 0.1, 200), shape=2.0), "mean_kl_eb"
    )
    drawn = scores.mean_kl_eb(some)
    kept = [drawn[rollouts == r].std() / some.mean[rollouts == r].std() for r in (3, 6, 12, 24, 48)]
    assert max(kept[:3]) < min(kept[3:]) and kept[0] < 0.7 < 0.8 < kept[-1]


@pytest.mark.parametrize("seed", range(3))
def test_drawn_means_are_nearer_to_the_planted_ones_than_raw_means(seed):
    rng = np.random.default_rng(seed)
    means = rng.gamma(8, 0.1, 200)
    some = known(simulated(rng.integers(1, 12, 200), means, shape=0.5, seed=seed), "mean_kl_eb")
    error = ((scores.mean_kl_eb(some) - means) ** 2).mean()
    assert error < 0.6 * ((some.mean - means) ** 2).mean()


@pytest.mark.parametrize("seed", range(3))
def test_types_that_hardly_vary_do_not_draw_all_others_to_themselves(seed):
    """As in a trained run: most types are easy and sure, a few are hard."""
    rng = np.random.default_rng(seed)
    means = np.where(np.arange(200) < 160, 1e-4, 1.0) * rng.gamma(8, 1 / 8, 200)
    some = known(simulated(rng.integers(2, 12, 200), means, shape=0.5, seed=seed), "mean_kl_eb")
    drawn = scores.mean_kl_eb(some)
    assert drawn[160:].min() > drawn[:160].max()
    assert ((drawn - means) ** 2).mean() < ((some.mean - means) ** 2).mean()


def test_types_with_always_the_same_loss_do_not_draw_all_others_to_themselves():
    loss, n = (
        0.054144855588674545,
        np.array([25, 36, 45, 35, 18, 16, 51, 44, 39, 17, 27, 28, 18, 48, 9, 54, 12, 31, 51]),
    )
    s = np.array([np.bincount(np.zeros(k, int), np.full(k, loss))[0] for k in n])
    some = known(
        simulated(np.full(60, 12), np.random.default_rng(0).gamma(2, 0.5, 60), shape=0.5),
        "mean_kl_eb",
    )
    assert some.spread is not None
    sums = zip(some.spread, (len(n), (s**2).sum(), (s * n).sum(), (n**2).sum()), strict=True)
    spread = scores.Spread(*(np.append(of_all, [constant] * 2) for of_all, constant in sums))
    more = TypeStats(
        np.arange(62),
        np.append(some.n, [n.sum()] * 2),
        np.append(some.kl_sum, [s.sum()] * 2),
        spread,
    )
    assert scores.mean_kl_eb(more)[:60].std() > 0.5 * scores.mean_kl_eb(some).std()


def test_a_type_that_does_not_occur_has_no_score():
    some = known(simulated(np.full(20, 6), np.linspace(0.5, 1, 20), shape=4.0), "rock_score_lcb")
    assert some.spread is not None
    gone = replace(some, n=np.append(some.n[:-1], 0), kl_sum=np.append(some.kl_sum[:-1], 0.0))
    gone = replace(gone, spread=scores.Spread(*(np.append(sums[:-1], 0) for sums in some.spread)))
    assert scores.rock_score_lcb(gone)[-1] == scores.mean_kl(gone)[-1] == 0


def test_the_authors_leave_out_the_five_most_frequent_and_what_occurs_once():
    n = np.array([9, 9, 8, 7, 7, 7, 2, 1])
    some = TypeStats(np.array([30, 3, 5, 8, 2, 9, 1, 4]), n, n * 0.5)
    assert (scores.authors(some) > 0).tolist() == [False] * 5 + [True, True, False], (
        "of equally frequent ones the lower ids are left out"
    )
