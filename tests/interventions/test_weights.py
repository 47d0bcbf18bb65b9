"""The weights of each arm and the bans of a candidate, against a loop over single positions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rockcore.interventions import ARMS, Arm, Batch, Window, bans, weights
from rockcore.rocks import controls
from rockcore.rocks.controls import LONGEST_SIDE

VALUES = ("kl", "student_entropy", "student_logp", "teacher_logp")


@st.composite
def batches(draw, most: int = 14) -> Batch:
    """Rollouts of unequal length, some of them empty, with values that have ties."""
    lengths = np.array(draw(st.lists(st.integers(0, most), min_size=1, max_size=6)), np.int64)
    n, rng = int(lengths.sum()), np.random.default_rng(draw(st.integers(0, 2**16)))
    values = {name: rng.integers(0, 6, n).astype(np.float32) / 4 for name in VALUES}
    return Batch(rng.integers(0, 5, n).astype(np.int32), lengths, **values)


SETS = st.sets(st.integers(0, 4), min_size=1, max_size=3).map(lambda ids: tuple(sorted(ids)))


def rows(batch: Batch) -> list[slice]:
    ends = np.cumsum(batch.lengths)
    return [slice(int(e - n), int(e)) for e, n in zip(ends, batch.lengths, strict=True)]


@given(batches(), SETS, st.sampled_from([0.0, 0.3, 1.0]))
def test_a_token_of_the_set_weighs_lambda_where_it_stands_itself(batch, rocks, lambda_):
    """Not its neighbour, and whatever is known of it: the ids are enough."""
    ids_only = Batch(batch.token_id, batch.lengths)
    got = weights(Arm("soft", rocks=rocks, lambda_=lambda_), ids_only)
    assert got.dtype == np.float32 and len(got) == len(batch)
    for t, token in enumerate(batch.token_id):
        assert got[t] == np.float32(lambda_ if token in rocks else 1.0)
    frozen = weights(Arm("rock-freeze", rocks=rocks), ids_only)
    assert np.array_equal(frozen == 0, np.isin(batch.token_id, bans(rocks)))
    assert np.array_equal(weights(Arm(), ids_only), np.ones(len(batch)))


def window_by_hand(batch: Batch, is_rock: np.ndarray, tau: float) -> np.ndarray:
    """W of the rocks by its definition, one rollout and one occurrence at a time."""
    found = is_rock.copy()
    for row in rows(batch):
        kl, n = batch.kl[row].astype(float), row.stop - row.start
        hot = [kl[max(0, t - 2) : t + 3].mean() >= tau for t in range(n)]
        hot = [h or (0 < t < n - 1 and hot[t - 1] and hot[t + 1]) for t, h in enumerate(list(hot))]
        for t in np.flatnonzero(is_rock[row]):
            for way in (1, -1):
                at = t
                while hot[at] and abs(at - t) <= LONGEST_SIDE:
                    found[row.start + at] = True
                    at += way
                    if not 0 <= at < n:
                        break
    return found


@given(batches(30), SETS, st.sampled_from([0.3, 0.6, 0.9]))
def test_with_a_threshold_the_windows_of_the_rocks_join_them(batch, rocks, tau):
    is_rock = np.isin(batch.token_id, rocks)
    want = window_by_hand(batch, is_rock, tau)
    got = weights(Arm("rock-freeze", rocks=rocks, tau=tau), batch)
    assert np.array_equal(got == 0, want)


@given(batches(30), SETS, st.integers(0, 9), st.booleans(), st.booleans())
def test_the_random_freeze_matches_the_rocks_rollout_by_rollout_and_never_takes_one(
    batch, rocks, seed, match_kl, windowed
):
    arm = Arm("random-freeze", rocks=rocks, match_kl=match_kl, tau=0.6 if windowed else None)
    taken = weights(replace(arm, name="rock-freeze", match_kl=False), batch) == 0
    got = weights(arm, batch, seed)
    assert not (got[taken] == 0).any()
    for row in rows(batch):
        held, n = int(taken[row].sum()), row.stop - row.start
        assert (got[row] == 0).sum() == min(held, n - held)
    assert np.array_equal(got, weights(arm, batch, seed))


def test_the_random_freeze_has_the_lengths_of_the_rocks_stretches_and_another_draw_each_seed():
    is_rock = np.zeros(200, bool)
    for start, length in ((10, 5), (40, 2), (60, 1), (90, 3)):
        is_rock[start : start + length] = True
    batch = Batch(np.where(is_rock, 7, 1), np.array([200]))
    arm, seen = Arm("random-freeze", rocks=(7,)), set()
    for seed in range(20):
        frozen = weights(arm, batch, seed) == 0
        assert sorted(size for _, size in controls._runs(frozen)) == [1, 2, 3, 5]
        seen.add(frozen.tobytes())
    assert len(seen) == 20


def test_with_match_kl_the_drawn_positions_hold_nearly_the_kl_of_the_rocks():
    rng = np.random.default_rng(0)
    token_id = rng.integers(0, 12, 4000)
    kl = rng.gamma(0.5, 1.0, 4000) * np.where(token_id == 3, 1.5, 1)
    batch = Batch(token_id, np.full(40, 100), kl=kl.astype(np.float32))
    want = float(kl[token_id == 3].sum())
    sums = {}
    for match_kl in (False, True):
        arm = Arm("random-freeze", rocks=(3,), match_kl=match_kl)
        sums[match_kl] = [float(kl[weights(arm, batch, s) == 0].sum()) for s in range(5)]
    assert all(s < 0.8 * want for s in sums[False])
    assert all(abs(s / want - 1) < 0.1 for s in sums[True])


@given(batches(), st.floats(0, 1))
def test_arms_by_entropy_keep_their_share_and_share_no_more_than_they_must(batch, share):
    n, kept = len(batch), int(share * len(batch) + 0.5)
    both = []
    for name, sign in (("top-entropy", -1.0), ("low-entropy", 1.0)):
        got = weights(Arm(name, share=share), batch)
        order = sorted(range(n), key=lambda t: (sign * batch.student_entropy[t], t))
        want = np.zeros(n)
        want[order[:kept]] = 1
        assert np.array_equal(got, want)
        both.append(got)
    if kept in (0, n):
        assert np.array_equal(*both)


@given(batches(), st.sampled_from([0.5, 2.0]))
def test_iw_opd_falls_within_a_rollout_by_the_discrepancy_before_each_position(batch, gamma):
    got = weights(Arm("iw-opd", gamma=gamma), batch)
    size = np.abs(batch.teacher_logp.astype(float) - batch.student_logp)
    for row in rows(batch):
        total, before = size[row].sum(), 0.0
        for t in range(row.start, row.stop):
            want = 1 + gamma * (1 - (before / total if total else 0.0))
            assert got[t] == pytest.approx(want, rel=1e-6)
            before += size[t]


@given(batches(), st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_dynamic_gives_each_position_the_weight_of_its_type(batch, by_type):
    by_type_V = np.array(by_type, np.float32)
    got = weights(Arm("dynamic"), batch, by_type=by_type_V)
    assert got.tolist() == [by_type_V[t] for t in batch.token_id]
    assert np.array_equal(weights(Arm("dynamic"), batch), np.ones(len(batch)))


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_says_what_it_needs_and_refuses_a_batch_without_it(name):
    ids_only = Batch(np.array([1, 2, 3]), np.array([2, 1]))
    for arm in (Arm(name, rocks=(1,)), Arm(name, rocks=(1,), tau=0.5), Arm(name, match_kl=True)):
        if arm.needs:
            with pytest.raises(ValueError, match=arm.needs[0]):
                weights(arm, ids_only)
        else:
            assert len(weights(arm, ids_only)) == 3
        known = replace(ids_only, **{n: np.ones(3, np.float32) for n in arm.needs})
        assert len(weights(arm, known)) == 3
    assert len(weights(Arm(name), Batch(np.zeros(0, int), np.array([0, 0])))) == 0


def test_a_knockout_forbids_one_id_several_or_the_rocks_of_a_window():
    assert bans(7) == bans(np.int64(7)) == (7,)
    assert bans([9, 2, 9]) == (2, 9)
    kl = np.array([0, 2, 2, 2, 0, 0, 0, 0, 2, 2], np.float32)
    batch = Batch(np.array([1, 5, 3, 6, 1, 1, 1, 6, 5, 4]), np.array([7, 3]), kl=kl)
    # around 5: 3 and 6 in the first rollout, 4 and 6 in the second; of the set are 3 and 4
    assert bans(Window(5, batch, (3, 4, 8), 1.0)) == (3, 4, 5)
    assert bans(Window(1, batch, (3, 4), 5.0)) == (1,)
    with pytest.raises(ValueError, match="has none"):
        bans(Window(5, replace(batch, kl=None), (3,), 1.0))
