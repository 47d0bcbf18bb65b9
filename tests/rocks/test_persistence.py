"""Persistent occurrences and their contexts: every count is that of the definitions, written out in
brute.py.
"""

from dataclasses import replace
from fractions import Fraction
from math import ceil

import brute
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rockcore.rocks import persistence, recurrence
from rockcore.rocks.kept_in_parts import kept_in_parts
from rockcore.rocks.persistence import Candidates
from rockcore.rocks.recurrence import Consistency
from rockcore.rocks.rule import RockRule, preset

TAU = (
    0.25,
    0.25,
)  # two thirds of the losses of brute.logs are as high, half of the positions at both ends


def found_by(
    log: brute.Log, rule: RockRule, tau: tuple[float, float] = TAU
) -> tuple[Candidates, Consistency, list[brute.Occurrence]]:
    """The persistent occurrences of a log as the library judges them, and where they are."""
    corpus = log.corpus()
    high = (corpus.losses[0] >= tau[0]) & (corpus.losses[-1] >= tau[1])
    found = persistence.candidates(corpus, np.flatnonzero(high), rule)
    return found, recurrence.consistency(found, rule), [log.occurrences[i] for i in found.at]


def consistent(log: brute.Log, rule: RockRule) -> dict[int, int]:
    _, judged, at = found_by(log, rule)
    kept = [log.token(o) for o, k in zip(at, judged.kept, strict=True) if k]
    return {token: kept.count(token) for token in log.types}


@brute.examples(100)
@given(brute.logs(), brute.rules())
def test_similar_ones_rho_and_what_is_kept_are_those_of_the_definition(log, rule):
    _, judged, at = found_by(log, rule)
    want = brute.judge(log, brute.persistent(log, TAU, rule), rule)
    assert at == list(want)
    assert judged.similar.tolist() == [w.similar for w in want.values()]
    assert judged.rho.tolist() == [float(w.rho) for w in want.values()]
    some = [i for i, w in enumerate(want.values()) if not w.alone]
    assert judged.kept[some].tolist() == [w.kept for w in want.values() if not w.alone]


@given(brute.logs(), brute.rules(min_support=0, min_rollouts=0))
def test_an_occurrence_without_another_of_its_type_has_rho_0_and_is_kept_only_if_eta_is_0(
    log, rule
):
    _, judged, _ = found_by(log, rule)
    want = brute.judge(log, brute.persistent(log, TAU, rule), rule)
    assert judged.kept.tolist() == [w.kept for w in want.values()]


@brute.examples(40)
@given(brute.logs(), brute.rules(min_support=0, min_rollouts=0))
def test_without_asking_for_support_what_is_kept_is_what_the_paper_keeps(log, rule):
    _, judged, _ = found_by(log, rule)
    want = brute.judge(log, brute.persistent(log, TAU, rule), rule).values()
    assert [k for k, w in zip(judged.kept, want, strict=True) if not w.alone] == [
        w.rho >= Fraction(str(rule.eta)) for w in want if not w.alone
    ]


@brute.examples(70)
@given(brute.logs(), brute.rules())
def test_precision_is_the_persistent_share_of_all_that_stands_in_contexts_like_the_kept_ones(
    log, rule
):
    found, judged, at = found_by(log, rule)
    corpus = log.corpus()
    kappa = persistence.precision(corpus, found, judged.kept, np.arange(len(corpus.types)), rule)
    kept = [o for o, k in zip(at, judged.kept, strict=True) if k]
    want = [brute.precision(log, at, kept, token, rule) for token in log.types]
    assert [None if np.isnan(k) else k for k in kappa] == want


def test_precision_of_types_that_nobody_asks_for_is_unknown():
    log, rule = (
        brute.eighths(2, 8, 12, 2),
        RockRule(window=1, gamma=0.5, min_support=0, min_rollouts=0),
    )
    found, judged, _ = found_by(log, rule)
    kappa = persistence.precision(
        log.corpus(), found, judged.kept & (found.type == 0), np.array([0]), rule
    )
    assert np.isfinite(kappa[0]) and np.isnan(kappa[1])


@brute.examples(70)
@given(brute.logs(checkpoints=1), brute.logs(checkpoints=1), brute.rules())
def test_texts_that_differ_are_matched_as_by_comparing_every_pair(before, after, rule):
    kept, without = persistence.matched(before.corpus(), after.corpus(), *TAU, rule)
    want = brute.matched(before, after, TAU, rule)
    assert ([o for o, k in zip(after.occurrences, kept, strict=True) if k], without) == want


@brute.examples(40)
@given(brute.logs(), brute.rules(), st.randoms(use_true_random=False))
def test_the_order_of_rollouts_is_irrelevant(log, rule, random):
    order = list(range(len(log.tokens)))
    random.shuffle(order)
    other = brute.Log(
        [log.tokens[b] for b in order], [[losses[b] for b in order] for losses in log.losses]
    )
    assert consistent(log, rule) == consistent(other, rule)


@brute.examples(40)
@given(brute.logs(), brute.rules(excluded_contexts=()), st.permutations([7, 500, 0, 31, 2]))
def test_other_names_for_the_tokens_change_nothing(log, rule, names):
    other = brute.Log([[names[token] for token in row] for row in log.tokens], log.losses)
    assert {names[token]: n for token, n in consistent(log, rule).items()} == consistent(
        other, rule
    )


@brute.examples(40)
@given(brute.logs(), brute.rules(), st.sampled_from(["eta", "min_support", "min_rollouts"]))
def test_asking_for_more_keeps_no_more(log, rule, knob):
    more = replace(
        rule, **{knob: min(1, rule.eta + 0.2) if knob == "eta" else min(2, getattr(rule, knob) + 1)}
    )
    assume(getattr(more, knob) >= getattr(rule, knob))
    less, fewer = consistent(log, rule), consistent(log, more)
    assert all(fewer[token] <= less[token] for token in less)


@brute.examples(40)
@given(brute.logs(), brute.rules(), st.integers(0, 1000))
def test_parts_of_the_rollouts_are_judged_as_if_the_others_were_not_there(log, rule, seed):
    found, _, _ = found_by(log, rule)
    parts = np.random.default_rng(seed).random((3, len(log.tokens))) < 0.5
    for part, sides in zip(parts, kept_in_parts(found, parts, rule), strict=True):
        for mask, kept in zip((part, ~part), sides, strict=True):
            inside = mask[found.rollout]
            assert not kept[~inside].any()
            assert np.array_equal(kept[inside], recurrence.consistency(found.of(inside), rule).kept)


@brute.examples(40)
@given(brute.logs(), brute.rules(min_rollouts=2), st.integers(0, 1000))
def test_two_other_rollouts_are_told_from_one_among_ten_million(log, rule, seed):
    """Rollouts carry the numbers that they have in a log of as many."""
    found, judged, _ = found_by(log, rule)
    numbers = np.sort(
        10**7 - 1 - np.random.default_rng(seed).choice(1000, len(log.tokens), replace=False)
    )
    assert np.array_equal(
        recurrence.consistency(replace(found, rollout=numbers[found.rollout]), rule).kept,
        judged.kept,
    )


def test_similar_ones_in_one_other_rollout_are_never_two_rollouts():
    """Two texts alike, the only ones to hold their tokens among ten million."""
    texts = ["0110011111111111", "0111111111111111"]
    log = brute.Log([[int(token) for token in text] for text in texts], [[[1.0] * 16] * 2] * 2)
    rule = RockRule(min_support=0, eta=0, min_rollouts=2)
    found, _, _ = found_by(log, rule)
    assert not recurrence.consistency(
        replace(found, rollout=np.array([9_999_990, 9_999_999])[found.rollout]), rule
    ).kept.any()


def test_repetition_within_one_rollout_is_no_support():
    log = brute.Log([[1] * 14], [[[1.0] * 14]] * 2)
    assert consistent(log, RockRule(min_rollouts=0, min_support=2)) == {1: 14}
    assert consistent(log, RockRule(min_rollouts=1, min_support=0)) == {1: 0}


def test_windows_that_overlap_do_not_count_beside_two_other_rollouts():
    """Two others are similar from elsewhere, so three is reached only by counting the neighbour in
    the same rollout.
    """
    row = [1, 2, 1, 2]
    log = brute.Log([row, row[:2], row[:2]], [[[1.0] * 4, [1.0] * 2, [1.0] * 2]] * 2)
    counted = consistent(log, RockRule(window=1, gamma=0.5, min_support=3, min_rollouts=0))
    assert (
        counted[1]
        > consistent(log, RockRule(window=1, gamma=0.5, min_support=3, min_rollouts=1))[1]
    )


@pytest.mark.parametrize(("eta", "rollouts"), [(0.07, 101), (0.29, 101), (0.55, 101), (0.07, 201)])
def test_eta_is_the_share_that_was_written_not_its_binary_neighbour(eta, rollouts):
    """0.07 x 100 is more than 7 in binary: seven similar ones of a hundred others are a share of
    0.07 all the same.
    """
    similar = ceil(Fraction(str(eta)) * (rollouts - 1)) + 1
    rows = [[2, 1, 3]] * similar + [[4 + 2 * b, 1, 5 + 2 * b] for b in range(rollouts - similar)]
    log = brute.Log(rows, [[[0.0, 1.0, 0.0]] * rollouts] * 2)
    rule = RockRule(window=1, gamma=1.0, min_support=0)
    assert consistent(log, replace(rule, eta=eta))[1] == similar
    assert consistent(log, replace(rule, eta=eta + 0.001))[1] == 0


def test_any_share_above_0_asks_for_one_that_is_similar():
    log = brute.Log([[2, 1, 3], [4, 1, 5]], [[[1.0] * 3] * 2] * 2)
    assert consistent(log, RockRule(eta=1e-10, min_support=0, min_rollouts=0))[1] == 0


def test_occurrences_beside_an_excluded_token_are_no_candidates():
    log = brute.Log([[3, 1], [2, 1], [1, 3]], [[[1.0, 1.0]] * 3] * 2)
    _, _, at = found_by(log, replace(preset("paper"), excluded_contexts=((-1, 3),)))
    assert at == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]


def test_a_pulse_that_raises_stops_each_stage():
    class Stop(Exception):
        pass

    def pulse() -> None:
        raise Stop

    log, rule = brute.eighths(2, 6, 10, 2), RockRule(min_support=0, min_rollouts=0)
    corpus = log.corpus()
    found, judged, _ = found_by(log, rule)
    for work in (
        lambda: recurrence.consistency(found, rule, pulse),
        lambda: persistence.precision(corpus, found, judged.kept, np.array([0, 1]), rule, pulse),
        lambda: persistence.matched(corpus, corpus, *TAU, rule, pulse),
    ):
        with pytest.raises(Stop):
            work()
