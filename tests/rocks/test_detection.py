"""Whole detections on runs written as Parquet: each number of a type, and each stage, against the
definitions.
"""

import math
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import brute
import numpy as np
import pytest
from brute import Log, Occurrence
from hypothesis import given
from hypothesis import strategies as st

from rockcore import stats
from rockcore.rocks import cutoff
from rockcore.rocks.cutoff import Agreement
from rockcore.rocks.detection import Detection
from rockcore.rocks.empty import why_empty
from rockcore.rocks.examined import Examined
from rockcore.rocks.rule import RockRule, preset
from rockcore.rocks.scores import SCORES
from rockcore.rocks.search import detect

ALL = RockRule(score="rock_score", min_frequency=1, tau_pre=0.25, tau_post=0.25)


def examined(
    probes: Log | None, rule: RockRule, fresh: tuple[Log, ...] = (), **meta: str
) -> Detection:
    with tempfile.TemporaryDirectory() as folder:
        run = brute.write(Path(folder) / "r", probes, fresh, **meta)
        return Examined(run, rule).detection


def one_type_each(losses: list[float], rollouts: int = 8) -> Log:
    """Every rollout holds each type once, with the same loss at both ends."""
    return Log([list(range(len(losses)))] * rollouts, [[losses] * rollouts] * 2)


def chosen(found: Detection) -> list[int]:
    """Token ids of the set, the best first."""
    return found.corpus.types[found.order[: found.cutoff.k]].tolist()


def where(log: Log, mask: np.ndarray) -> list[Occurrence]:
    return [o for o, high in zip(log.occurrences, mask, strict=True) if high]


token_ids = st.sets(st.integers(0, 4))


def with_support(rule: RockRule) -> bool:
    return (
        rule.min_support > 0
    )  # test_persistence says what becomes of occurrences that have no other without it


@brute.examples(25)
@given(
    brute.logs(),
    brute.rules(widest=3, tau_pre=0.25, tau_post=0.25, min_frequency=1).filter(with_support),
)
def test_every_number_of_every_type_is_that_of_the_definitions(log, rule):
    found = examined(log, rule)
    at = brute.persistent(log, (0.25, 0.25), rule)
    kept = [o for o, judged in brute.judge(log, at, rule).items() if judged.kept]
    for i, v in enumerate(log.types):
        own, n = [o for o in kept if log.token(o) == v], sum(row.count(v) for row in log.tokens)
        r = brute.rock_score(log, v)
        assert (found.corpus.types[i], found.stats.n[i], found.stats.kl_sum[i]) == (v, n, r)
        assert (found.persistent[i], found.consistent[i]) == (
            sum(log.token(o) == v for o in at),
            len(own),
        )
        assert found.scores[i] == r / n * len(own), "R(v) CCR(v), the frequency cancelled"
        assert math.isclose(found.scores[i], r * (len(own) / n), rel_tol=1e-12)
    rocks = [o for o in kept if log.token(o) in chosen(found)]
    assert where(log, found.rock_occurrences) == rocks
    density = found.density()
    assert density["occurrence"].tolist() == [
        sum(o[0] == b for o in rocks) for b in range(len(log.tokens))
    ]
    assert density["type"].tolist() == [sum(v in chosen(found) for v in row) for row in log.tokens]
    assert density["tokens"].tolist() == [len(row) for row in log.tokens]


@brute.examples(30)
@given(brute.logs(), st.integers(0, 10_000))
def test_rock_scores_sum_to_the_loss_of_all_tokens(log, seed):
    rng = np.random.default_rng(seed)
    losses = [[rng.gamma(0.3, 1.0, len(row)).tolist() for row in log.tokens] for _ in range(2)]
    log = Log(log.tokens, losses)
    found = examined(log, RockRule(score="rock_score"))
    assert found.stats.kl_sum.tolist() == [brute.rock_score(log, v) for v in log.types]
    total = math.fsum(float(log.loss(o, -1)) for o in log.occurrences)
    assert math.isclose(found.stats.kl_sum.sum(), total, rel_tol=1e-12)


def test_a_vocabulary_too_large_for_a_table_by_rollout_and_type_is_summed_like_any_other():
    log = brute.eighths(2, 10, 6, 500)
    assert examined(log, RockRule(score="rock_score")).stats.kl_sum.tolist() == [
        brute.rock_score(log, v) for v in log.types
    ]


@brute.examples(30)
@given(
    brute.logs(),
    st.sampled_from(["rock_score", "mean_kl"]),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sets(st.integers(0, 4)),
)
def test_the_set_are_the_k_best_of_the_allowed_types_with_ties_by_token_id(
    log, score, k, least, drop, excluded
):
    rule = replace(
        ALL,
        score=score,
        top_k=k,
        min_frequency=least,
        drop_most_frequent=drop,
        excluded_types=tuple(excluded),
    )
    found = examined(log, rule)
    n = {v: sum(row.count(v) for row in log.tokens) for v in log.types}
    dropped = sorted(n, key=lambda v: (-n[v], v))[:drop]
    allowed = [v for v in n if n[v] >= least and v not in dropped and v not in excluded]
    scores = {v: brute.rock_score(log, v) / (n[v] if score == "mean_kl" else 1) for v in allowed}
    want = brute.best(scores, k)
    assert set(chosen(found)) == set(want)
    assert (found.cutoff.k, found.cutoff.chosen_by) == (len(want), "given")
    total = sum(brute.rock_score(log, v) for v in n)
    covered = sum(brute.rock_score(log, v) for v in want)
    if want:
        assert math.isclose(found.cutoff.coverage[len(want) - 1], covered / total, rel_tol=1e-12)


def test_equal_scores_are_ranked_by_token_id_in_the_set_as_in_its_halves():
    """Type 1 has twice the loss of type 0 on twice the tokens: their means are equal."""
    log = Log([[1, 0, 1, 2]] * 4, [[[0.5, 0.5, 0.5, 0.25]] * 4] * 2)
    assert chosen(examined(log, replace(ALL, score="mean_kl", top_k=1))) == [0]


def test_one_quantile_of_the_loss_before_is_the_threshold_of_both_ends_but_never_below_the_noise():
    log = brute.eighths(2, 6, 20, 3)
    for q in (0.5, 0.8, 0.9):
        want = float(np.quantile(np.array(log.losses[0], np.float32), q))
        assert examined(log, RockRule(tau_quantile=q)).tau == (want, want)
    quiet = Log(log.tokens, [[[0.0] * 20] * 6, log.losses[1]])
    assert examined(quiet, RockRule()).tau == (1e-4, 1e-4)
    assert examined(quiet, RockRule(), dtype="bfloat16").tau == (0.02, 0.02)


def test_thresholds_in_nats_are_taken_as_given_each_for_its_end():
    log = brute.eighths(2, 6, 20, 3)
    found = examined(log, RockRule(tau_pre=0.00001, tau_post=0.7))
    assert found.tau == (0.00001, 0.7)
    assert where(log, found.high) == brute.persistent(log, (0.00001, 0.7), found.rule)


def test_a_loss_at_the_threshold_is_high():
    log = one_type_each([0.1, 0.7, 0.69999])
    assert where(log, examined(log, RockRule(tau_pre=0.7, tau_post=0.7)).high) == [
        (b, 1) for b in range(8)
    ]
    assert where(log, examined(log, RockRule(tau_pre=0.1, tau_post=0.1)).high) == log.occurrences


def test_a_type_seen_once_is_in_no_set_unless_the_rule_allows_it():
    log = Log([[1, 2], [1, 3], [1, 1]], [[[1.0, 9.0], [1.0, 0.5], [1.0, 1.0]]] * 2)
    assert chosen(examined(log, replace(ALL, min_frequency=2, top_k=3))) == [1]
    assert chosen(examined(log, replace(ALL, top_k=3))) == [2, 1, 3]


def test_a_threshold_for_the_score_ends_the_set_where_it_is_reached():
    log = one_type_each([1.0, 0.5, 0.25, 0.125])
    found = examined(log, replace(ALL, tau_rock=2.0))  # 8 x 0.25
    assert (chosen(found), found.cutoff.chosen_by) == ([0, 1, 2], "tau_rock")
    assert chosen(examined(log, replace(ALL, tau_rock=9.0))) == []


def test_k_are_the_types_that_hold_enough_of_the_loss():
    """Of 14 nats a rollout, four types hold 2 each and six 1: more than an even share is more than
    1.4.
    """
    log = one_type_each([2.0] * 4 + [1.0] * 6)
    found = examined(log, ALL)
    assert (chosen(found), found.cutoff.chosen_by) == ([0, 1, 2, 3], "share")
    for changes, k in (
        ({"even_share": 0.5}, 10),
        ({"even_share": 1.5}, 0),
        ({"even_share": 0, "least_share": 0.14}, 4),
        ({"even_share": 0, "least_share": 1 / 14}, 10),  # at least: a share just held is enough
        ({"even_share": 0, "least_share": 0.15}, 0),
        ({"even_share": 0, "least_share": 0}, 10),
    ):
        assert examined(log, replace(ALL, **changes)).cutoff.k == k, changes


def test_types_that_are_all_alike_hold_an_even_share_each_and_none_holds_more():
    for loss in (0.1, 1 / 3, 0.7, 1e-3):
        found = examined(one_type_each([loss] * 7), ALL)
        assert (found.cutoff.k, found.cutoff.enough, found.cutoff.chosen_by) == (0, 0, "share")


def test_k_is_at_most_the_largest_number_on_which_halves_agree():
    log = brute.eighths(2, 12, 40, 8, seed=3)
    found = examined(log, replace(ALL, even_share=0, min_jaccard=0.6))
    assert found.cutoff.enough == 8 and found.cutoff.jaccard[7] == 1, "a closed vocabulary"
    ways = set()
    for even in (0.5, 0.9, 0.97, 1.0, 1.05):
        cut = examined(log, replace(ALL, even_share=even, min_jaccard=0.6)).cutoff
        stable = [k for k in range(1, 9) if k <= max(cut.enough, 5) and cut.jaccard[k - 1] >= 0.6]
        assert cut.k == min(cut.enough, max(stable, default=0))
        how = "share" if cut.k == cut.enough else "stability" if stable else "none"
        assert cut.chosen_by == how
        ways.add(how)
    assert len(ways) > 1


def by_jaccard(jaccard: list[float], enough: int, ranked: int) -> tuple[int, str]:
    """K and how it is chosen of so many types, on which halves agree so far."""
    agree = Agreement(*[np.array([jaccard], float)] * 3)
    scores = np.arange(ranked, 0.0, -1)
    cut = cutoff.cut(RockRule(), scores, scores, enough, lambda _: agree)
    return cut.k, cut.chosen_by


def test_a_set_that_ends_between_like_types_does_not_collapse():
    """Halves agree on 20 types and on 3, a hair less on the 15 that hold enough of the loss."""
    jaccard = [0.5, 0.6, 0.9, *[0.6] * 11, 0.69, *[0.6] * 4, 0.8, *[0.5] * 10]
    assert by_jaccard(jaccard, 15, 30) == (15, "share")
    assert by_jaccard(jaccard, 21, 30) == (20, "stability")
    assert by_jaccard([*jaccard[:19], *[0.6] * 11], 15, 30) == (3, "stability")
    assert by_jaccard([0.69] * 30, 15, 30) == by_jaccard([0.69] * 30, 0, 30) == (0, "none")
    assert by_jaccard(jaccard, 0, 30) == (0, "share")


def test_that_halves_agree_on_all_there_is_bounds_nothing():
    """Two random orders of 30 types have 0.69 of the 25 or 26 first in common, and so on to 1."""
    assert by_jaccard([0.5] * 24 + [0.71, 0.76, 0.82, 0.87, 0.93, 1.0], 4, 30) == (0, "none")
    assert by_jaccard([0.5] * 23 + [0.71, 0.71, 0.76, 0.82, 0.87, 0.93, 1.0], 4, 30) == (4, "share")
    assert by_jaccard([0.5] * 29 + [1.0], 30, 30) == (30, "share"), "all of them hold enough"


@brute.examples(60)
@given(
    brute.logs(),
    st.sampled_from(["rock_score", "rock_score_ctx"]),
    st.sampled_from([Fraction(0), Fraction(1, 8), Fraction(1, 4), Fraction(1, 2)]),
    st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(1), Fraction(3, 2)]),
    st.sampled_from([0.0, 0.5, 0.7, 1.0]),
)
def test_k_is_that_of_the_definition(log, score, least, even, agree):
    rule = RockRule(
        score=score,
        min_frequency=1,
        tau_pre=0.25,
        tau_post=0.25,
        window=1,
        min_support=1,
        min_rollouts=1,
        least_share=float(least),
        even_share=float(even),
        min_jaccard=agree,
    )
    found = examined(log, rule)
    loss = sum(Fraction(float(log.loss(o, -1))) for o in log.occurrences)
    scores = dict(zip(log.types, found.scores.tolist(), strict=True))
    if score == "rock_score":
        assert scores == {v: brute.rock_score(log, v) for v in log.types}
    # R_ctx is a mean times a number, and a mean may be rounded: give it back its exact value
    kept = None if found.consistent is None else dict(zip(log.types, found.consistent, strict=True))
    exact = {
        v: Fraction(brute.rock_score(log, v))
        * (1 if score == "rock_score" else Fraction(int(kept[v]), int(n)))
        for v, n in zip(log.types, found.stats.n, strict=True)
    }
    cut = found.cutoff
    jaccard = cut.jaccard if len(log.tokens) > 1 else np.full(len(cut.jaccard), -1.0)
    want = brute.automatic_k(exact, loss, len(log.types), jaccard.tolist(), (least, even, agree))
    assert (cut.k, cut.chosen_by) == want
    assert not cut.k or cut.stability.value == cut.jaccard[cut.k - 1]
    assert found.in_set.sum() == found.cutoff.k


def test_signed_losses_that_cancel_have_no_shares():
    log = one_type_each([1.0, 0.5, -0.25, -2.0])
    found = examined(log, replace(ALL, column="sampled_loss"))
    assert (found.cutoff.enough, found.cutoff.chosen_by, chosen(found)) == (0, "share", [])
    assert "sums to -6 nats, and of that no type can hold a share" in why_empty(found)
    assert chosen(examined(log, replace(ALL, column="sampled_loss", top_k=3))) == [0, 1]
    more = one_type_each([1.0, 0.5, -0.25, 0.0])  # 1.25 a rollout, more than 0.3125
    assert chosen(examined(more, replace(ALL, column="sampled_loss"))) == [0, 1]


@pytest.mark.parametrize("score", SCORES)
def test_k_of_every_score_is_found_and_its_own_rule_finds_the_set_again(score, tmp_path):
    rng = np.random.default_rng(1)
    tokens = [[v for v in range(12) for _ in range(2 + v % 3)] for _ in range(12)]
    level = [3.0 if v in (7, 9, 10, 11) else 0.1 for v in range(12)]
    losses = [[[level[v] * rng.gamma(9, 1 / 9) for v in row] for row in tokens] for _ in range(2)]
    run = brute.write(tmp_path / "r", Log(tokens, losses))
    report = detect(run, replace(ALL, score=score, gamma=0.25))
    want = {7, 9, 10} if score == "authors" else {7, 9, 10, 11}
    assert (set(report.ids), report.chosen_by) == (want & set(report.ids), "share")
    assert len(report.ids) >= 3 and report.stability.value == 1.0
    assert detect(run, report.rule).ids == report.ids


def test_one_rollout_has_no_halves_and_so_no_set_of_its_own_and_no_stability():
    log = one_type_each([1.0, 0.5, 0.1], rollouts=1)
    never = examined(log, ALL).cutoff
    assert (never.k, never.enough, never.chosen_by) == (0, 1, "none")
    given = examined(log, replace(ALL, top_k=2)).cutoff
    assert (given.k, given.chosen_by) == (2, "given") and math.isnan(given.stability.value)


@brute.examples(8)
@given(
    brute.logs(),
    brute.rules(widest=2, tau_pre=0.25, tau_post=0.25, min_frequency=1).filter(with_support),
)
def test_stability_is_how_far_the_sets_of_two_halves_agree_each_judged_alone(log, rule):
    found, b = examined(log, rule), len(log.tokens)

    def best(part: np.ndarray, k: int) -> set[int]:
        some = Log(
            [log.tokens[i] for i in np.flatnonzero(part)],
            [[losses[i] for i in np.flatnonzero(part)] for losses in log.losses],
        )
        judged = brute.judge(some, brute.persistent(some, (0.25, 0.25), rule), rule)
        kept = [some.token(o) for o, its in judged.items() if its.kept]
        n = {v: sum(row.count(v) for row in some.tokens) for v in some.types}
        return set(brute.best({v: brute.rock_score(some, v) / n[v] * kept.count(v) for v in n}, k))

    def share(chosen: set[int], part: np.ndarray) -> float:
        """Of the loss of the rollouts in a part, how much falls on some types."""
        losses = {o: float(log.loss(o, -1)) for o in log.occurrences if part[o[0]]}
        on_chosen = sum(loss for o, loss in losses.items() if log.token(o) in chosen)
        return on_chosen / (sum(losses.values()) or 1.0)

    if b > 1 and (found.scores > 0).any():
        for k in range(1, len(found.cutoff.jaccard) + 1):
            pairs = [
                (best(part, k), best(~part, k)) for part in stats.halves(b, rule.draws, rule.seed)
            ]
            jaccard = [len(one & two) / len(one | two) if one | two else 0.0 for one, two in pairs]
            assert found.cutoff.jaccard[k - 1] == pytest.approx(np.mean(jaccard))
            covered = [
                share(one, ~part) + share(two, part)
                for (one, two), part in zip(
                    pairs, stats.halves(b, rule.draws, rule.seed), strict=True
                )
            ]
            assert found.cutoff.crossed[0][k - 1] == pytest.approx(np.mean(covered) / 2)
            pairs = [
                (best(part, k), best(np.ones(b, bool), k)) for part in stats.nested(b, rule.seed)
            ]
            assert found.cutoff.nested[k - 1] == pytest.approx(
                np.mean([len(one & two) / len(one | two) for one, two in pairs])
            )


def test_a_closed_vocabulary_that_is_stable_is_not_its_own_set():
    """Any two halves agree on all types there are; four of 30 hold 96 % of the loss."""
    found = examined(one_type_each([1.0] * 4 + [0.006] * 26), ALL)
    assert found.cutoff.jaccard[29] == 1 and chosen(found) == [0, 1, 2, 3]


def test_coverage_stays_at_one_beyond_the_last_type():
    found = examined(one_type_each([1.0, 0.5, 0.25]), replace(ALL, top_k=8))
    assert found.cutoff.coverage[2:].tolist() == [1.0] * 6


@pytest.mark.parametrize("score", SCORES)
def test_each_score_ranks_and_keeps_out_what_the_rule_excludes(score):
    tokens = [
        [v for v in range(8) for _ in range(1 + v)] + [8 + b] for b in range(10)
    ]  # type 7 leads, 8 to 17 occur once
    rng = np.random.default_rng(0)
    log = Log(tokens, [[rng.gamma(4, 0.25, 37).tolist() for _ in tokens] for _ in range(2)])
    rule = replace(
        ALL,
        score=score,
        top_k=20,
        gamma=0.25,
        excluded_types=(3,),
        drop_most_frequent=1,
        min_frequency=2,
    )
    found = chosen(examined(log, rule))
    least = (
        {0, 1, 2} if score == "authors" else {0, 1, 2, 4, 5, 6}
    )  # it drops the five most frequent by itself
    assert least - set(found) <= ({0, 1, 2} if score == "rock_score_ctx" else set())
    assert set(found) <= {0, 1, 2, 4, 5, 6} and found


def by_the_script(log: Log) -> tuple[list[int], list[int]]:
    """The authors' released rule, word for word: the rocks and their controls."""
    n = {v: sum(row.count(v) for row in log.tokens) for v in log.types}
    candidates = {v: n[v] * (brute.rock_score(log, v) / n[v]) for v in n if n[v] >= 2}
    for v in sorted(n, key=lambda v: (-n[v], v))[:5]:
        candidates.pop(v, None)
    ranked = sorted(candidates, key=lambda v: (-candidates[v], v))
    return ranked[:100], ranked[100:200]


@pytest.mark.parametrize("types", [300, 130])
def test_the_authors_rule_takes_the_types_that_their_script_takes_and_the_next_as_controls(
    types, tmp_path
):
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, types, (30, 80)).tolist()
    log = Log(tokens, [[rng.gamma(0.3, 1.0, 80).tolist() for _ in tokens] for _ in range(2)])
    found = detect(brute.write(tmp_path / "r", log), preset("authors"))
    rocks, controls = by_the_script(log)
    assert found.ids == rocks
    assert found.control["types"] == controls
