"""The table behind the moving thresholds answers what a mask over all occurrences would."""

from dataclasses import replace
from math import isclose

import brute
import numpy as np
import pytest
from brute import Log
from hypothesis import given
from hypothesis import strategies as st

from rockcore.rocks import thresholds
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.detection import Detection
from rockcore.rocks.gather import Material
from rockcore.rocks.rule import RockRule
from rockcore.rocks.thresholds import EDGES, STOPS, Quantiles, Reading, ThresholdTable, taus
from rockcore.schema import Texts

pytestmark = pytest.mark.filterwarnings("error")
levels = st.sampled_from([0.0, 0.125, 0.25, 0.375, 0.5, 0.875, 1.0, 1.1, 50.0]) | st.floats(0, 1.2)


def masked(corpus: Corpus, tau_pre: float, tau_post: float) -> Reading:
    """The same question asked of every occurrence; losses are compared as they are stored."""
    pre, post = corpus.losses[0], corpus.losses[-1]
    high = (pre >= np.float32(tau_pre)) & (post >= np.float32(tau_post))
    loss, grad = post.astype(np.float64), corpus.grad_norm
    return Reading(
        types=len(set(corpus.token_id[high])),
        occurrences=int(high.sum()),
        token_share=high.sum() / max(len(high), 1),
        loss_share=loss[high].sum() / loss.sum() if loss.sum() > 0 else 0.0,
        grad_share=None
        if grad is None or grad.sum() <= 0
        else grad[high].sum(dtype=np.float64) / grad.sum(dtype=np.float64),
    )


def assert_same(one: Reading, other: Reading) -> None:
    assert one[:3] == other[:3]
    assert isclose(one.loss_share, other.loss_share, rel_tol=1e-9, abs_tol=1e-12)
    assert (one.grad_share is None) == (other.grad_share is None)
    assert isclose(one.grad_share or 0, other.grad_share or 0, rel_tol=1e-6, abs_tol=1e-12)


def prepared(corpus: Corpus, dtype: str = "float32") -> Quantiles:
    """The quantiles of the loss before, as a moving threshold asks for them."""
    quantiles = Quantiles(corpus.losses[0], dtype)
    quantiles.prepare()
    return quantiles


def detection(corpus: Corpus, rule: RockRule, dtype: str = "float32") -> Detection:
    return Detection(Material("paired", Texts.FINAL, corpus.steps, (corpus,)), rule, dtype)


@pytest.mark.parametrize("whole", [4_000_000, 1, 7])
@brute.examples(60)
@given(log=brute.logs(), asked=st.lists(st.tuples(levels, levels), min_size=1, max_size=5))
def test_a_reading_is_that_of_a_mask_over_all_occurrences(whole, log, asked):
    """Of more than 1 and 7 occurrences the upper half alone is prepared, and some questions are
    answered by searching through all of them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "_WHOLE", whole)
        table = ThresholdTable(log.corpus())
    for pre, post in asked:
        assert_same(table.read(pre, post), masked(log.corpus(), pre, post))
        assert_same(table.read(post, pre), masked(log.corpus(), post, pre))
        assert_same(table.read(pre, pre), masked(log.corpus(), pre, pre))


@pytest.mark.parametrize("whole", [4_000_000, 1, 7])
@brute.examples(40)
@given(log=brute.logs(), pre=levels, post=levels)
def test_a_course_answers_at_each_of_its_stops_as_a_reading_does(whole, log, pre, post):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "_WHOLE", whole)
        table = ThresholdTable(log.corpus())
    for moved in (("tau_pre", "tau_post"), ("tau_pre",), ("tau_post",)):
        course = table.course(pre, post, moved)
        for at, reading in zip(course.at, course.readings, strict=True):
            asked = {"tau_pre": pre, "tau_post": post} | dict.fromkeys(moved, at)
            assert not table.is_slow(**asked)
            assert_same(reading, table.read(**asked))
        if whole == 4_000_000:
            assert course.at == STOPS.tolist()


def test_the_edges_of_the_bars_are_among_the_stops():
    assert set(EDGES) <= set(STOPS) and len(STOPS) == 2 * len(EDGES) - 1
    assert len(np.unique(STOPS.astype(np.float32))) == len(STOPS)


@brute.examples(40)
@given(brute.logs(), st.integers(0, 1000), levels, levels)
def test_a_reading_counts_what_a_detection_keeps_as_persistent(log, seed, pre, post):
    rng = np.random.default_rng(seed)
    log = Log(
        log.tokens,
        [[rng.gamma(0.5, 1.0, len(row)).tolist() for row in log.tokens] for _ in range(2)],
    )
    found = detection(log.corpus(), RockRule(tau_pre=pre, tau_post=post))
    reading = ThresholdTable(log.corpus()).read(*found.tau)
    assert (
        found.high is not None
        and reading.occurrences == found.high.sum()
        and reading.types == (found.persistent > 0).sum()
    )


@brute.examples(60)
@given(
    brute.logs(),
    st.integers(0, 1000),
    st.sampled_from([0, 0.005, 0.8, 0.9, 0.95, 1]) | st.floats(0, 1),
)
def test_the_thresholds_of_a_rule_are_those_of_the_detection_to_the_last_bit(log, seed, q):
    rng = np.random.default_rng(seed)
    log = Log(
        log.tokens,
        [[rng.gamma(0.5, 1.0, len(row)).tolist() for row in log.tokens] for _ in range(2)],
    )
    corpus = log.corpus()
    for rule in (RockRule(tau_quantile=q), RockRule(tau_pre=0.2, tau_post=0.3)):
        for dtype in ("float32", "bfloat16"):
            assert taus(rule, prepared(corpus, dtype)) == detection(corpus, rule, dtype).tau


def test_a_quantile_beside_one_that_was_worked_out_in_advance_is_its_own():
    losses = np.random.default_rng(0).gamma(0.5, 1.0, 1000).tolist()
    corpus = Log([[1] * 1000], [[losses]] * 2).corpus()
    for q in (0.9000001, 0.9000004, 0.8999999):
        rule = RockRule(tau_quantile=q)
        assert (
            taus(rule, prepared(corpus))
            == detection(corpus, rule).tau
            != detection(corpus, RockRule(tau_quantile=0.9)).tau
        )


def test_a_loss_at_the_threshold_counts_at_either_end():
    log = Log([[1, 2, 3]], [[[0.7, 0.5, 0.7]], [[0.5, 0.7, 0.7]]])
    table = ThresholdTable(log.corpus())
    assert [
        table.read(*tau).occurrences for tau in ((0.7, 0.5), (0.5, 0.7), (0.7, 0.7), (0.5, 0.5))
    ] == [2, 2, 1, 3]


def test_a_share_of_the_gradient_is_unknown_where_it_is_not_logged_and_gaps_in_it_add_nothing():
    corpus = Log([[1, 2, 3]], [[[1.0, 0.5, 0.25]]] * 2).corpus()
    assert ThresholdTable(replace(corpus, grad_norm=None)).read(0.5, 0.5).grad_share is None
    assert (
        ThresholdTable(replace(corpus, grad_norm=np.full(3, np.nan, np.float32)))
        .read(0.5, 0.5)
        .grad_share
        is None
    )
    gaps = ThresholdTable(replace(corpus, grad_norm=np.array([3.0, np.nan, 1.0], np.float32)))
    assert gaps.read(0.5, 0.5).grad_share == gaps.read(0.5, 0.4).grad_share == 0.75


def test_a_log_without_a_token_or_without_a_loss_answers_with_nothing():
    nothing = Reading(0, 0, 0.0, 0.0, None)
    empty = ThresholdTable(Log([[]], [[[]]] * 2).corpus())
    assert empty.read(0.0, 0.0) == nothing and empty.read(0.1, 0.2) == nothing
    for q in (0.9, 0.123):
        assert taus(RockRule(tau_quantile=q), prepared(empty.corpus)) == (1e-4, 1e-4)
    silent = ThresholdTable(Log([[1, 1]], [[[0.0, 0.0]]] * 2).corpus())
    assert silent.read(0.1, 0.1) == nothing and silent.read(0.0, 0.0) == Reading(
        1, 2, 1.0, 0.0, None
    )


@pytest.mark.parametrize("whole", [4_000_000, 1])
def test_a_reading_of_many_occurrences_is_that_of_a_mask(monkeypatch, whole):
    """So many that cells hold thousands, with ties at both ends."""
    monkeypatch.setattr(thresholds, "_WHOLE", whole)
    rng = np.random.default_rng(1)
    n = 60_000
    pre = rng.gamma(0.5, 1.0, n)
    losses = [
        (x.round(2) if i else x).astype(np.float32)
        for i, x in enumerate((pre, pre * rng.gamma(2, 0.5, n)))
    ]
    ids = rng.zipf(1.5, n).clip(max=3_000).astype(np.int32)
    starts = np.arange(0, n, 100)
    corpus = Corpus((0, 1), np.arange(len(starts)), starts, ids, tuple(losses), losses[0] * 0.3)
    table = ThresholdTable(corpus)
    quantiles = np.quantile(losses[0], rng.random(40))
    for tau in zip(quantiles, rng.permutation(quantiles), strict=True):
        assert_same(table.read(*tau), masked(corpus, *tau))
        assert_same(table.read(tau[0], tau[0]), masked(corpus, tau[0], tau[0]))
    median = float(np.quantile(losses[0], 0.5))
    assert not table.is_slow(median, median), "from the median on nothing is searched through"
    assert table.is_slow(median / 2, median) == (whole == 1)
