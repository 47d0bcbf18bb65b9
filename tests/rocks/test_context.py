"""Similar contexts: counts found by hashing are those of comparing every pair."""

from fractions import Fraction
from math import ceil

import brute
import numpy as np
import pytest
from brute import Log
from hypothesis import given
from hypothesis import strategies as st

from rockcore.rocks.context import WIDEST, agreements_needed, neighbours, similar_sums
from rockcore.rocks.rule import RockRule


def counted(
    log: Log,
    rule: RockRule,
    weights: np.ndarray,
    wanted: np.ndarray | None = None,
    shuffle: int | None = None,
) -> np.ndarray:
    """`similar_sums` over all occurrences of a log, in another order if `shuffle` is a seed."""
    corpus = log.corpus()
    order = (
        np.arange(len(corpus))
        if shuffle is None
        else np.random.default_rng(shuffle).permutation(len(corpus))
    )
    context = neighbours(corpus.token_id, corpus.starts, order, rule.window)
    need = agreements_needed(rule.gamma, rule.window)
    sums = similar_sums(
        corpus.type[order],
        context,
        need,
        weights[:, order],
        None if wanted is None else wanted[order],
    )
    return sums[:, np.argsort(order)]


def by_pairs(log: Log, rule: RockRule, weights: np.ndarray) -> list[list[int]]:
    at = log.occurrences
    around = [brute.window(log.tokens, o, rule.window) for o in at]
    sums = []
    for i, o in enumerate(at):
        near = [
            j
            for j, p in enumerate(at)
            if j == i
            or (log.token(p) == log.token(o) and brute.alike(around[i], around[j], rule.gamma))
        ]
        sums.append([int(w[near].sum()) for w in weights])
    return sums


def ones(log: Log) -> np.ndarray:
    return np.ones((1, len(log.occurrences)), np.int64)


@pytest.mark.parametrize("window", range(1, WIDEST + 1))
def test_as_many_offsets_have_to_agree_as_the_written_share_says(window):
    for hundredths in range(1, 101):
        gamma = hundredths / 100
        assert agreements_needed(gamma, window) == ceil(Fraction(str(gamma)) * 2 * window), gamma


@brute.examples(60)
@given(brute.logs(), st.integers(1, WIDEST))
def test_neighbours_are_the_tokens_around_with_one_for_each_end_and_nothing_beyond(log, window):
    corpus = log.corpus()
    found = neighbours(corpus.token_id, corpus.starts, np.arange(len(corpus)), window)
    codes = {None: -1, "start": -2, "end": -3}
    want = [[codes.get(x, x) for x in brute.window(log.tokens, o, window)] for o in log.occurrences]
    assert found.T.tolist() == want


@brute.examples(100)
@given(brute.logs(), brute.rules(), st.integers(0, 1000))
def test_sums_are_those_of_comparing_every_pair(log, rule, seed):
    weights = np.random.default_rng(seed).integers(-3, 5, (2, len(log.occurrences)))
    assert counted(log, rule, weights).T.tolist() == by_pairs(log, rule, weights)


@brute.examples(35)
@given(brute.logs(), brute.rules(), st.integers(0, 1000))
def test_those_that_are_wanted_get_the_same_answer_as_if_all_were(log, rule, seed):
    wanted = np.random.default_rng(seed).random(len(log.occurrences)) < 0.3
    assert np.array_equal(
        counted(log, rule, ones(log))[:, wanted], counted(log, rule, ones(log), wanted)[:, wanted]
    )


@brute.examples(35)
@given(brute.logs(), brute.rules(), st.integers(0, 1000))
def test_the_order_of_the_occurrences_is_irrelevant(log, rule, seed):
    assert np.array_equal(
        counted(log, rule, ones(log)), counted(log, rule, ones(log), shuffle=seed)
    )


@brute.examples(35)
@given(brute.logs(), brute.rules(), st.permutations([0, 7, 151_000, 3, 12]))
def test_other_names_for_the_tokens_change_nothing(log, rule, names):
    other = Log([[names[token] for token in row] for row in log.tokens], log.losses)
    assert np.array_equal(counted(log, rule, ones(log)), counted(other, rule, ones(log)))


def test_weights_as_large_as_a_log_of_ten_million_needs_are_added_up_exactly():
    """Each is above 2^53, as the squared indices of rollouts may be once they are summed over a
    group.
    """
    log = brute.eighths(1, 10, 12, 2)
    weights = np.array([[(10**8 - 7 * i) ** 2 for i in range(len(log.occurrences))]])
    rule = RockRule(window=4, gamma=0.25)
    assert counted(log, rule, weights).T.tolist() == by_pairs(log, rule, weights)


def test_where_too_little_of_the_window_lies_within_the_text_nothing_is_similar():
    log = Log([[1]] * 5, [[[1.0]] * 5])
    assert counted(log, RockRule(window=4, gamma=3 / 8), ones(log)).tolist() == [[1] * 5]
    assert counted(log, RockRule(window=4, gamma=2 / 8), ones(log)).tolist() == [[5] * 5], (
        "start and end agree"
    )


def test_nothing_at_all_is_answered_with_nothing():
    nothing = np.zeros(0, np.int64)
    assert similar_sums(
        nothing, np.zeros((8, 0), np.int64), 4, np.ones((1, 0), np.int64)
    ).shape == (1, 0)


def test_a_pulse_that_raises_stops_the_search_at_once():
    class Stop(Exception):
        pass

    calls = []

    def pulse() -> None:
        calls.append(None)
        if len(calls) == 3:
            raise Stop

    corpus = brute.eighths(2, 8, 14, 2).corpus()
    context = neighbours(corpus.token_id, corpus.starts, np.arange(len(corpus)), 4)
    with pytest.raises(Stop):
        similar_sums(corpus.type, context, 4, np.ones((1, len(corpus)), np.int64), pulse=pulse)
    assert len(calls) == 3
