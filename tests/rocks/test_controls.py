"""Controls: as many positions, or windows as long, rollout by rollout, and nothing of the rocks in
them.
"""

import brute
import numpy as np
import pytest
from brute import Log
from hypothesis import given
from hypothesis import strategies as st

from rockcore.rocks import controls
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.rule import RockRule
from rockcore.rocks.rule_fields import CONTROLS
from rockcore.rocks.search import detect

pytestmark = pytest.mark.filterwarnings("error")
TAU = 0.5


@st.composite
def marked(draw: st.DrawFn, types: int = 5) -> tuple[Corpus, np.ndarray]:
    """Rollouts of up to 40 tokens with stretches of high loss or of noise, and some tokens of some
    types marked as rocks.
    """
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = sum(lengths)
    calm = rng.integers(0, 4, n) / 8
    hot = np.repeat(rng.random(n // 6 + 1) < 0.4, 6)[:n] & (rng.random(n) < 0.9)
    noise = rng.integers(0, 2, n).astype(
        float
    )  # its 5-token mean crosses one half at every other token
    loss = (np.where(hot, 1.0 + calm, calm) if draw(st.booleans()) else noise).astype(np.float32)
    ids = rng.integers(0, types, n).astype(np.int32)
    rocks = (ids < 2) & (rng.random(n) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])))
    return Corpus(
        (0, 1), np.arange(len(lengths)), np.cumsum([0, *lengths[:-1]]), ids, (loss, loss)
    ), rocks


def per_rollout(corpus: Corpus, at: np.ndarray) -> list[int]:
    return np.bincount(corpus.rollout[at], minlength=corpus.rollouts).tolist()


def types_of(corpus: Corpus, rocks: np.ndarray, following: tuple[int, ...] = ()) -> controls.Types:
    """As if the set were the types of the rocks."""
    return controls.Types(np.isin(corpus.types, corpus.token_id[rocks]), np.array(following, int))


def runs(corpus: Corpus, mask: np.ndarray) -> list[list[int]]:
    """For each rollout, the lengths of the stretches of True, in order."""
    found = []
    for start, length in zip(corpus.starts, corpus.lengths, strict=True):
        text = "".join("x" if m else " " for m in mask[start : start + length])
        found.append([len(stretch) for stretch in text.split()])
    return found


def window_by_hand(loss: list[float], t: int) -> set[int]:
    """W of the occurrence at t in one rollout, as defined: 5-token mean at or above tau, gaps of
    one bridged, 8 a side.
    """
    mean = [np.mean(loss[max(0, i - 2) : i + 3]) for i in range(len(loss))]
    hot = [m >= TAU for m in mean]
    bridged = [h or (0 < i < len(hot) - 1 and hot[i - 1] and hot[i + 1]) for i, h in enumerate(hot)]
    window = {t}
    for side in (-1, 1):
        for reach in range(1, 9):
            if bridged[t] and 0 <= t + side * reach < len(loss) and bridged[t + side * reach]:
                window.add(t + side * reach)
            else:
                break
    return window


@brute.examples(60)
@given(marked(), st.integers(0, 5))
def test_positions_are_as_many_in_each_rollout_of_no_rock_type_and_the_lack_is_counted(log, seed):
    corpus, rocks = log
    drawn = controls.draw("positions", corpus, rocks, types_of(corpus, rocks), TAU, seed)
    rock_types = np.unique(corpus.token_id[rocks])
    free = per_rollout(corpus, np.flatnonzero(~np.isin(corpus.token_id, rock_types)))
    wanted = per_rollout(corpus, np.flatnonzero(rocks))
    assert per_rollout(corpus, drawn.at) == [min(w, f) for w, f in zip(wanted, free, strict=True)]
    assert drawn.short == sum(wanted) - len(drawn.at)
    assert not np.isin(corpus.token_id[drawn.at], rock_types).any() and not rocks[drawn.at].any()
    assert len(set(drawn.at)) == len(drawn.at) and (np.diff(drawn.at) > 0).all()


def test_every_free_position_is_drawn_as_often_as_any_other():
    corpus = Corpus(
        (0,),
        np.arange(2),
        np.array([0, 10]),
        np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0] * 2, np.int32),
        (np.ones(20),),
    )
    rocks = corpus.token_id == 1
    count = np.zeros(20)
    for seed in range(900):
        count[controls.draw("positions", corpus, rocks, types_of(corpus, rocks), TAU, seed).at] += 1
    assert count[rocks].sum() == 0 and abs(count[~rocks] / 900 - 1 / 9).max() < 0.035


@brute.examples(60)
@given(marked())
def test_windows_are_those_of_the_definition(log):
    corpus, rocks = log
    want = np.zeros(len(corpus), bool)
    for start, length in zip(corpus.starts, corpus.lengths, strict=True):
        loss = corpus.losses[-1][start : start + length].tolist()
        for t in np.flatnonzero(rocks[start : start + length]):
            want[[start + i for i in window_by_hand(loss, int(t))]] = True
    assert np.array_equal(controls.windows(corpus.rows, corpus.losses[-1], rocks, TAU), want)


@brute.examples(60)
@given(marked(), st.integers(0, 5))
def test_control_windows_are_as_many_tokens_in_each_rollout_and_overlap_no_window_of_a_rock(
    log, seed
):
    corpus, rocks = log
    drawn = controls.draw("windows", corpus, rocks, types_of(corpus, rocks), TAU, seed)
    taken = controls.windows(corpus.rows, corpus.losses[-1], rocks, TAU)
    assert not taken[drawn.at].any() and len(set(drawn.at)) == len(drawn.at)
    assert drawn.short == taken.sum() - len(drawn.at)
    assert all(
        a <= b
        for a, b in zip(
            per_rollout(corpus, drawn.at), per_rollout(corpus, np.flatnonzero(taken)), strict=True
        )
    )


def test_where_there_is_room_control_windows_have_the_lengths_of_the_rocks_windows():
    """Three windows in each of 20 rollouts of 400 tokens: where two control windows touch, they are
    one longer stretch.
    """
    rng = np.random.default_rng(0)
    loss = np.zeros((20, 400), np.float32)
    rocks = np.zeros((20, 400), bool)
    for row in range(20):
        for at, size in zip((50, 150, 250), rng.integers(5, 14, 3), strict=True):
            loss[row, at : at + size], rocks[row, at + size // 2] = 1.0, True
    corpus = Corpus(
        (0,),
        np.arange(20),
        np.arange(20) * 400,
        np.where(rocks, 1, 2).ravel().astype(np.int32),
        (loss.ravel(),),
    )
    taken = controls.windows(corpus.rows, corpus.losses[-1], rocks.ravel(), TAU)
    mask = np.zeros(len(corpus), bool)
    mask[
        controls.draw("windows", corpus, rocks.ravel(), types_of(corpus, rocks.ravel()), TAU, 0).at
    ] = True
    same = [
        sorted(a) == sorted(b) for a, b in zip(runs(corpus, mask), runs(corpus, taken), strict=True)
    ]
    assert sum(same) >= 18 and mask.sum() == taken.sum()


@brute.examples(60)
@given(marked(), st.integers(0, 5))
def test_control_windows_are_never_longer_than_those_of_the_rocks(log, seed):
    corpus, rocks = log
    taken, mask = (
        controls.windows(corpus.rows, corpus.losses[-1], rocks, TAU),
        np.zeros(len(corpus), bool),
    )
    mask[controls.draw("windows", corpus, rocks, types_of(corpus, rocks), TAU, seed).at] = True
    for ours, theirs in zip(runs(corpus, mask), runs(corpus, taken), strict=True):
        assert max(ours, default=0) <= max(theirs, default=0)


def test_a_window_that_fits_nowhere_is_counted_as_short():
    corpus = Corpus(
        (0,),
        np.arange(1),
        np.array([0]),
        np.array([1, 1, 1, 2, 2], np.int32),
        (np.array([1, 1, 1, 0, 0], np.float32),),
    )
    drawn = controls.draw(
        "windows", corpus, corpus.token_id == 1, types_of(corpus, corpus.token_id == 1), 0.6, 0
    )
    assert (len(drawn.at), drawn.short) == (0, 3), "the window holds 3 of 5 tokens"


@brute.examples(30)
@given(marked(), st.lists(st.integers(2, 4), max_size=3, unique=True))
def test_the_authors_take_every_token_of_the_next_types(log, types):
    corpus, rocks = log
    drawn = controls.draw("authors", corpus, rocks, types_of(corpus, rocks, tuple(types)), TAU, 0)
    assert drawn.at.tolist() == [
        i for i, v in enumerate(corpus.token_id) if v in types
    ] and drawn.types == tuple(types)
    assert drawn.short == max(0, int(rocks.sum()) - len(drawn.at)) and not rocks[drawn.at].any()


@pytest.mark.parametrize("kind", CONTROLS)
def test_the_seed_decides_and_the_control_says_how_it_was_drawn(kind):
    rng = np.random.default_rng(0)
    loss = rng.gamma(0.3, 1.0, 400).astype(np.float32)
    corpus = Corpus(
        (0,), np.arange(4), np.arange(4) * 100, rng.integers(0, 9, 400).astype(np.int32), (loss,)
    )
    rocks = (corpus.token_id == 0) & (rng.random(400) < 0.5)
    one, same, other = (
        controls.draw(kind, corpus, rocks, types_of(corpus, rocks, (1, 2)), TAU, seed)
        for seed in (3, 3, 4)
    )
    assert np.array_equal(one.at, same.at) and (
        kind == "authors" or not np.array_equal(one.at, other.at)
    )
    assert one.kind == kind and one.seed == 3 and one.how.endswith(".")


def test_the_control_of_a_set_holds_no_type_of_the_set(tmp_path):
    """Type 1 recurs in one context; type 2 has the highest loss, and never the same neighbours
    twice.
    """
    rows = [
        [3, 3, 1, 4, 4, *([20 + 4 * b, 21 + 4 * b, 2, 22 + 4 * b, 23 + 4 * b])] for b in range(6)
    ]
    loss = [[0.1, 0.1, 1.0, 0.1, 0.1, 0.1, 0.1, 5.0, 0.1, 0.1]] * 6
    rule = RockRule(score="rock_score", top_k=2, window=2, tau_pre=0.5, tau_post=0.5)
    found = [
        detect(
            brute.write(tmp_path / str(seed), Log(rows, [loss] * 2)),
            RockRule(**{**rule.__dict__, "seed": seed}),
        )
        for seed in range(6)
    ]
    assert all(set(f.ids) == {1, 2} and f.occurrences["in_set"] == 6 for f in found)
    held = {
        rows[b][t]
        for f in found
        for b, t in zip(f.control["rollout_id"], f.control["position"], strict=True)
    }
    assert held and not held & {1, 2}
