"""What a screen says: of outcomes whose truth was planted, and of screens where nothing is true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import WORDS
from null_screens import drawn
from small_screens import write_screen

from rockcore import stats
from rockcore.analysis.knockout_predictors import PREDICTORS
from rockcore.analysis.knockout_tests import (
    Levels,
    benjamini_hochberg,
    expected_spread,
    intervals,
    parts_of_variance,
    power,
    sign_flips,
    sign_test,
)
from rockcore.analysis.knockout_verdicts import verdicts_of
from rockcore.analysis.knockouts import (
    LEVELS,
    NEUTRAL,
    PILLAR,
    STUMBLING,
    UNDECIDED,
    VERDICTS,
    examine,
)
from rockcore.log.screens import NoScreen, Screen, ScreenWriter
from rockcore.schema.screen import Candidate


def judged(difference_IJ: np.ndarray, flipped_J: np.ndarray, levels: Levels = LEVELS):
    """The rows of a screen with a verdict by each correction, as `examine` comes to them."""
    all_J = np.ones(difference_IJ.shape[1], bool)
    spread = intervals(difference_IJ, flipped_J, 4, 1000, 0)
    flips = sign_flips(difference_IJ, all_J, 2000, 0)
    frame = pd.DataFrame(
        {
            "delta": difference_IJ.mean(0),
            "low": spread.low,
            "high": spread.high,
            "p": flips.p,
            "p_max": flips.p_max,
            "q_bh": benjamini_hochberg(flips.p),
        }
    )
    return frame.assign(
        **{name: verdicts_of(frame, frame[name], levels) for name in ("p", "p_max", "q_bh")},
        raw=frame.p,
    )


@pytest.fixture(scope="module")
def null_screens():
    rng = np.random.default_rng(0)
    screens = [drawn(rng, np.zeros(50)) for _ in range(300)]
    return [(judged(d, n), d.mean(0), s.mean(0)) for d, s, n in screens]


def most_by_chance(level: float, n: int) -> float:
    """A share of n that a rate of `level` exceeds once in a thousand times."""
    from scipy.stats import binom

    return float(binom.isf(1e-3, n, level)) / n


@pytest.mark.parametrize("correction", ["p_max", "q_bh"])
def test_a_screen_in_which_nothing_is_true_has_a_verdict_at_its_level(null_screens, correction):
    false = [frame[correction].isin([PILLAR, STUMBLING]).any() for frame, _, _ in null_screens]
    assert np.mean(false) <= most_by_chance(LEVELS.alpha, len(false))


def test_without_a_correction_most_such_screens_have_one(null_screens):
    false = [frame.p.isin([PILLAR, STUMBLING]).any() for frame, _, _ in null_screens]
    assert np.mean(false) > 0.5


def test_a_single_test_keeps_its_level(null_screens):
    rejected = np.concatenate([frame.raw <= LEVELS.alpha for frame, _, _ in null_screens])
    assert 0.03 < rejected.mean() < 0.06


def test_the_sign_test_holds_its_level_only_when_it_is_centred(null_screens):
    naive = [sign_test(delta).p < 0.05 for _, delta, _ in null_screens]
    centred = [sign_test(delta - sham).p < 0.05 for _, delta, sham in null_screens]
    assert np.mean(centred) <= most_by_chance(0.05, 300) < 0.2 < np.mean(naive)


def test_what_is_planted_is_found_and_nothing_else():
    effect = np.zeros(50)
    effect[[20, 40]] = -0.1, 0.12
    for seed in range(5):
        difference, _, flipped = drawn(np.random.default_rng(seed), effect)
        verdicts = judged(difference, flipped).p_max
        assert verdicts[20] == PILLAR and verdicts[40] == STUMBLING


def test_an_effect_of_twice_epsilon_is_seldom_called_neutral():
    """On rare tokens too, whose intervals rest on few problems."""
    rng, effect = np.random.default_rng(1), np.where(np.arange(50) % 2, 0.02, -0.02)
    shares = np.linspace(0.05, 0.3, 50)
    screens = [drawn(rng, effect, shares) for _ in range(40)]
    called = [judged(d, flipped).p_max == NEUTRAL for d, _, flipped in screens]
    assert np.mean(called, 0).max() <= most_by_chance(0.05, 40)


def test_what_hardly_changes_anything_is_neutral():
    difference, _, flipped = drawn(np.random.default_rng(2), np.zeros(50), np.full(50, 0.002))
    assert (judged(difference, flipped).p_max == NEUTRAL).mean() > 0.9


def test_an_interval_holds_the_truth_as_often_as_it_says():
    rng, effect = np.random.default_rng(3), np.full(50, -0.01)
    shares = np.linspace(0.05, 0.5, 50)
    inside = []
    for _ in range(40):
        difference, _, flipped = drawn(rng, effect, shares)
        found = intervals(difference, flipped, 4, 1000, 0)
        inside.append((found.low <= -0.01) & (found.high >= -0.01))
    assert 0.92 < np.mean(inside) < 0.975


def test_a_ban_that_changes_nothing_is_known_as_well_as_the_rollouts_allow():
    """No difference at all: an interval of 0 to 0 would claim too much."""
    found = intervals(np.zeros((200, 1)), np.array([0]), 4, 100, 0)
    most = stats.proportion(0, 800).high
    assert found.low[0] == -most and found.high[0] == most < LEVELS.epsilon
    few = intervals(np.zeros((50, 1)), np.array([0]), 4, 100, 0)
    assert few.high[0] > LEVELS.epsilon


@pytest.mark.parametrize("n", [2, 20, 200])
@pytest.mark.parametrize("same", [-1.0, -0.25, 0.5, 1.0])
def test_problems_that_all_differ_alike_do_not_make_an_interval_of_no_width(n, same):
    """As without the box, where every answer was right."""
    found = intervals(np.full((n, 1), same), np.array([4 * n]), 4, 100, 0)
    low, high = float(found.low[0]), float(found.high[0])
    assert -1 <= low <= same <= high <= 1 and high - low >= 1 / (n + 4)


def test_nothing_that_changed_is_no_power_to_see_everything():
    told = power(0.0, 0.0, 200, 4, 50, LEVELS)
    alike = power(0.0, stats.proportion(0, 800).high, 200, 4, 50, LEVELS)
    assert told == alike and 0.004 < told.detectable < told.detectable_of_all
    assert power(0.0, 0.0, 20, 4, 50, LEVELS).detectable > LEVELS.epsilon


@pytest.mark.parametrize("right", [0, 1, 4, 8 * 4 - 4, 8 * 4 - 1, 8 * 4])
def test_an_accuracy_near_an_end_has_an_interval(right, tiny_run):
    screen = write_screen(tiny_run("ends"), {7: 0.0}, problems=8)
    correct = (np.arange(32) < right).reshape(8, 4)
    texts = [screen.baseline.texts[n] for n in range(32)]
    ScreenWriter(screen.run.path, screen.plan).write_baseline(correct, texts)
    found = examine(Screen.open(screen.run.path)).accuracy
    assert found.value == right / 32 and 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.2


def test_sign_flips_are_those_of_every_combination():
    """Ten problems have 1,024 combinations of signs: their share is what the draws estimate."""
    difference = np.random.default_rng(4).integers(-4, 5, (10, 3)) / 4
    found = sign_flips(difference, np.array([True, True, False]), 40_000, 0)
    signs = 1 - 2 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1)
    scaled = difference / np.sqrt((difference**2).sum(0))
    every, seen = np.abs(signs @ scaled), np.abs(scaled.sum(0)) - 1e-9
    assert np.allclose(found.p, (every >= seen).mean(0), atol=0.01)
    most = every[:, :2].max(1)[:, None]
    assert np.allclose(found.p_max, (most >= seen).mean(0), atol=0.01)


def test_power_is_what_simulation_finds():
    """A true difference of the detectable size is found four times in five."""
    shares = np.array([0.2])
    rng = np.random.default_rng(5)
    difference, _, _ = drawn(rng, np.zeros(1), shares, problems=4000)
    within = float((difference**2).mean()) * 4
    told = power(0.0, within, 200, 4, 1, LEVELS)
    found = []
    for _ in range(400):
        d, _, _ = drawn(rng, np.array([-told.detectable]), shares)
        found.append(sign_flips(d, np.array([True]), 400, 0).p[0] <= 0.05)
    assert 0.7 < np.mean(found) < 0.9
    assert "for 1 point you need 200 × " in told.sentence(0.01)


def test_more_rollouts_do_not_help_where_problems_differ():
    assert power(1.0, 1.0, 200, 4, 1, LEVELS).rollouts_needed is None
    told = power(0.0, 0.02, 200, 4, 1, LEVELS)
    assert told.rollouts_needed is not None
    enough = power(0.0, 0.02, 200, told.rollouts_needed, 1, LEVELS)
    assert enough.detectable <= LEVELS.epsilon < told.detectable


def test_the_parts_of_the_variance_are_those_that_were_drawn():
    rng = np.random.default_rng(6)
    difference = rng.normal(0, 0.3, (5000, 1)) + rng.normal(0, 0.5, (5000, 4))
    between, within = parts_of_variance(difference)
    assert between == pytest.approx(0.09, rel=0.15) and within == pytest.approx(0.25, rel=0.05)


def test_the_spread_told_beforehand_is_not_less_than_what_comes():
    rng = np.random.default_rng(7)
    right_I = rng.beta(2, 2, 2000)
    correct = rng.random((2000, 4)) < right_I[:, None]
    changed = rng.random(correct.shape) < 0.3
    under = np.where(changed, rng.random(correct.shape) < right_I[:, None], correct)
    between, within = expected_spread(correct, changed)
    real = (under.astype(float) - correct).mean(1).var(ddof=1)
    assert between + within / 4 == pytest.approx(real, rel=0.1)


# Through the files.

PLANTED = {7: -0.6, 8: 0.0, 9: 0.0, 10: 0.6, 40: 0.0}


@pytest.fixture(scope="module")
def screened(tiny_run):
    windows = {7: (7, 8), 8: (8, WORDS.index("3")), 9: (9, 40)}
    return write_screen(tiny_run("screened"), PLANTED, windows, {5: 0.0}, problems=100)


@pytest.fixture(scope="module")
def found(screened):
    return examine(screened)


def test_a_screen_is_examined_whole(found):
    frame = found.candidates.set_index("candidate")
    assert set(frame.verdict) <= set(VERDICTS) and set(PREDICTORS) <= set(frame.columns)
    assert frame.verdict["token-7"] == PILLAR and frame.verdict["token-10"] == STUMBLING
    assert (frame.low <= frame.delta).all() and (frame.delta <= frame.high).all()
    assert (frame.p <= frame.p_max + 1e-9).all() and (frame.p <= frame.q_bh + 1e-9).all()
    assert (frame.sham_delta.notna() == (frame.kind == "token")).all()
    assert list(found.census.decides) == [False, False, False, True]
    assert (found.census[list(VERDICTS)].sum(axis=1) == len(PLANTED)).all()
    assert list(found.correlations.predictor) == list(PREDICTORS)
    assert found.placebo is not None and found.placebo.n == len(PLANTED)


def test_deltas_are_those_of_the_rollouts(screened, found):
    baseline = screened.baseline.correct
    for row in found.candidates.itertuples():
        outcomes = screened.outcomes(row.candidate)
        under = baseline.copy()
        under[outcomes.problem, outcomes.rollout] = outcomes.correct
        assert row.delta == pytest.approx(under.mean() - baseline.mean())
        assert row.changed == pytest.approx(len(outcomes.problem) / baseline.size)


def test_ids_that_the_answer_needs_are_flagged(tiny_run):
    needed = {WORDS.index(w): 0.0 for w in ("\\boxed", "{", "}", "<eos>")} | {8: 0.0}
    frame = examine(write_screen(tiny_run("needed"), needed)).by_token.set_index("token_id").needed
    assert frame[[i for i in needed if i != 8]].all() and not frame[8]


def test_a_window_that_bans_the_answer_does_not_speak_for_its_token(found):
    """The window of 8 bans a digit: what that loses is the answer."""
    token = found.by_token.set_index("token_id")
    window = found.candidates.set_index("candidate").loc["window-8"]
    assert window.needed and not token.needed[8] and token.decided_by[8] == "token"
    assert token.p[8] == found.candidates.set_index("candidate").p["token-8"]
    assert token.p[9] == pytest.approx(
        min(1, 2 * found.candidates.set_index("candidate").loc[["token-9", "window-9"], "p"].min())
    )


def test_a_screen_that_is_not_finished_is_examined_as_far_as_it_goes(tiny_run):
    path = tiny_run("half")
    with pytest.raises(NoScreen, match="no finished candidate"):
        examine(write_screen(path, PLANTED, finished=0))
    assert len(examine(write_screen(path, PLANTED, finished=2)).candidates) == 2


def test_side_by_side_both_begin_alike_and_differ_from_the_branch_on(screened, found):
    frame = found.pairs("token-7")
    assert len(frame) == 20
    for row in frame.itertuples():
        assert row.baseline_ids[: row.branch] == row.knockout_ids[: row.branch]
        assert row.baseline_ids[row.branch] == 7 != row.knockout_ids[row.branch]
    flipped = (frame.baseline_correct != frame.knockout_correct).tolist()
    assert flipped == sorted(flipped, reverse=True)
    instead = found.replacements("token-7")
    assert instead.share.sum() == pytest.approx(1) and 7 not in set(instead.token_id)


def test_undecided_is_neither_neutral_nor_significant(found):
    for row in found.candidates.itertuples():
        inside = row.low >= -0.01 and row.high <= 0.01
        assert (row.verdict == NEUTRAL) <= inside
        assert (row.verdict == UNDECIDED) <= (not inside)


def test_another_correction_may_decide(screened):
    frame = examine(screened, Levels(correction="BH"), draws=500)
    assert frame.census.decides.tolist() == [False, False, True, False]
    with pytest.raises(ValueError, match="max-T or BH"):
        examine(screened, Levels(correction="none"))


@pytest.mark.parametrize("first", ["token", "random"])
def test_a_token_that_was_also_drawn_at_random_speaks_once_as_the_token(first, tiny_run):
    """Named in one call and drawn in another, with a window: two tests."""
    screen = write_screen(tiny_run(first), {7: -0.7, 9: 0.0}, {9: (7, 9)}, problems=100)
    token, random = (Candidate(f"{k}-9", k, 9, (9,)) for k in ("token", "random"))
    twins = (token, replace(random, same_as="token-9"))
    if first == "random":
        outcomes = screen.folder / "outcomes"
        (outcomes / "token-9.parquet").rename(outcomes / "random-9.parquet")
        twins = (random, replace(token, same_as="random-9"))
    others = [c for c in screen.candidates if c.key != "token-9"]
    ScreenWriter(screen.run.path, screen.plan).save_plan([*twins, *others])
    found = examine(Screen.open(screen.run.path))
    assert len(found.candidates) == 4 and found.by_token.token_id.is_unique
    row = found.by_token.set_index("token_id").loc[9]
    two = found.candidates.set_index("candidate").loc[["token-9", "window-9"], "p"]
    assert row.kind == "token" and row.p == pytest.approx(min(1, 2 * two.min()))


def test_ids_that_the_vocabulary_lacks_are_named(screened, tiny_run):
    """Of a screen that was copied from elsewhere."""
    screen = write_screen(tiny_run("foreign"), {7: 0.0}, problems=8)
    texts = [[*screen.baseline.texts[n], 9999] for n in range(32)]
    ScreenWriter(screen.run.path, screen.plan).write_baseline(np.ones((8, 4), bool), texts)
    old = screen.outcomes("token-7")
    rows = {n: getattr(old, n) for n in old._fields[:6]}
    rows |= {"replacement": np.full(len(old.branch), 9999)}
    rows |= {"sham_correct": old.sham_correct, "ids": [[9999]] * len(old.branch)}
    ScreenWriter(screen.run.path, screen.plan).write_outcomes("token-7", rows)
    found = examine(Screen.open(screen.run.path))
    assert found.candidates.replaced[0] == "id␣9999 100 %"
