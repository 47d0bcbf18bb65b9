"""What became of a type: one class each, no fall where there was none, and a fall where there was
one.
"""

import itertools
from dataclasses import replace

import brute
import numpy as np
import pytest
from brute import Log
from hypothesis import given

from rockcore.rocks.change import CLASSES, LEAST_ROLLOUTS, STAYS, classify
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.group_change import group_change
from rockcore.rocks.history import History
from rockcore.rocks.rule import RockRule
from rockcore.rocks.search import detect

pytestmark = pytest.mark.filterwarnings("error")
WANTED = {  # hard at the first, the middle and the last checkpoint
    (1, 1, 1): STAYS,
    (1, 0, 0): "learned",
    (1, 1, 0): "resolved",
    (0, 1, 0): "resolved",
    (1, 0, 1): "relapsed",
    (0, 1, 1): "relapsed",
    (0, 0, 1): "relapsed",
    (0, 0, 0): "never hard",
}


def drawn(
    means_CV: np.ndarray,
    rollouts: int = 60,
    tokens: int = 60,
    shape: float = 0.7,
    seed: int = 0,
    shared: bool = False,
) -> Corpus:
    """Tokens of all types alike; losses are gamma with the type's mean at each checkpoint, the same
    draw at all if `shared`.
    """
    rng = np.random.default_rng(seed)
    c, v = means_CV.shape
    ids = rng.integers(0, v, rollouts * tokens).astype(np.int32)
    noise = rng.gamma(shape, 1 / shape, (1 if shared else c, len(ids))) * np.ones((c, 1))
    losses = tuple((means_CV[i, ids] * noise[i]).astype(np.float32) for i in range(c))
    return Corpus(tuple(range(c)), np.arange(rollouts), np.arange(rollouts) * tokens, ids, losses)


def hardest(history: History, weights_1B: np.ndarray, k: int) -> np.ndarray:
    """(V,) bool: the k types with the highest mean at the first checkpoint over some of the
    rollouts.
    """
    mean = np.nan_to_num(history.sums[0].means(weights_1B)[0])
    chosen = np.zeros(len(mean), bool)
    chosen[np.argsort(-mean)[:k]] = True
    return chosen


def change_of_hardest(corpus: Corpus, seed: int = 0, k: int = 20) -> dict[str, float]:
    history = History.of([corpus], paired=True)
    one, two = history.halves(seed)
    chosen = hardest(history, np.ones((1, corpus.rollouts)), k)
    by_half = hardest(history, one[0], k), hardest(history, two[0], k)
    return group_change(history, chosen, by_half, seed)


def test_each_of_the_eight_histories_has_its_class():
    patterns = list(itertools.product((0, 1), repeat=3))
    losses = [[[float(pattern[c]) for pattern in patterns]] * 12 for c in range(3)]
    log = Log([list(range(8))] * 12, losses)
    assert classify(History.of([log.corpus()], paired=True))["class"].tolist() == [
        WANTED[p] for p in patterns
    ]
    assert set(WANTED.values()) | {"undecided"} == set(CLASSES)


def test_without_a_middle_checkpoint_a_type_is_hard_then_learned_or_relapsed_or_neither():
    log = Log([[0, 1, 2, 3]] * 12, [[[1.0, 1.0, 0.0, 0.0]] * 12, [[1.0, 0.0, 1.0, 0.0]] * 12])
    assert classify(History.of([log.corpus()], paired=True))["class"].tolist() == [
        STAYS,
        "learned",
        "relapsed",
        "never hard",
    ]


def test_a_type_in_too_few_rollouts_to_measure_it_is_undecided():
    rare = 2 * LEAST_ROLLOUTS - 1  # one half holds fewer than LEAST_ROLLOUTS
    log = Log(
        [[0, 1]] * rare + [[0, 0]] * 9,
        [[[0.1, 9.0]] * rare + [[0.1, 0.1]] * 9, [[0.1, 0.1]] * (rare + 9)],
    )
    frames = [classify(History.of([log.corpus()], paired=True), seed) for seed in range(6)]
    assert {frame["class"][1] for frame in frames} >= {"undecided"}
    for frame in frames:
        assert (frame["class"][1] == "undecided") == bool(
            np.isnan(frame.change[1]) or frame.change_low[1] == frame.change_high[1] == 0
        )


@brute.examples(25)
@given(brute.logs(checkpoints=3))
def test_every_type_has_one_class_its_means_and_an_interval_in_order(log):
    frame = classify(History.of([log.corpus()], paired=True), draws=50)
    assert len(frame) == len(log.types) and set(frame["class"]) <= set(CLASSES)
    for c, name in enumerate(("mean_first", "mean_middle", "mean_last")):
        for v, mean in zip(log.types, frame[name], strict=True):
            assert mean == pytest.approx(
                brute.rock_score(Log(log.tokens, [log.losses[c]]), v)
                / sum(row.count(v) for row in log.tokens)
            )
    assert np.allclose(frame.change_naive, frame.mean_last - frame.mean_first)
    known = frame[frame.change.notna()]
    assert (known.change_low <= known.change + 1e-6).all() or (
        known.change_low <= known.change_high
    ).all()


def test_where_nothing_was_learned_the_naive_change_is_a_fall_and_the_crossed_one_is_none():
    """Trap 5: types picked because they were high, measured again."""
    found = [
        change_of_hardest(drawn(np.full((2, 100), 0.2), seed=seed), seed) for seed in range(60)
    ]
    assert all(change["naive"] < -0.1 for change in found)
    assert abs(np.mean([change["crossed"] for change in found])) < 0.03


@pytest.mark.parametrize("k", [5, 13])
def test_where_nothing_was_learned_few_groups_are_said_to_have_moved(k):
    """Of 100 intervals at 95 %, 5 are to miss; both halves choose, so few types move together."""
    found = [
        change_of_hardest(drawn(np.full((2, 100), 0.2), 30, 40, seed=seed), seed, k)
        for seed in range(100)
    ]
    assert sum(not change["low"] <= 0 <= change["high"] for change in found) <= 7


def test_a_group_that_no_half_chooses_alone_has_an_interval_around_its_own_change():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        corpus = drawn(rng.gamma(2, 0.3, (2, 30)), 24, 30, seed=seed)
        change = change_of_hardest(corpus, seed, k=int(rng.integers(1, 9)))
        assert change["low"] < change["crossed"] < change["high"]
        assert change["crossed"] == pytest.approx(change["after"] / change["before"] - 1)


def test_rare_types_of_other_texts_are_chosen_by_the_first_checkpoint(tmp_path):
    """Nothing is learned: what is high at the first checkpoint falls, by chance alone, and would
    rise if it were what is high at the last.
    """
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        fresh = [
            Log(rng.integers(0, 100, (40, 40)).tolist(), [rng.gamma(0.5, 0.4, (40, 40)).tolist()])
            for _ in range(2)
        ]
        run = brute.write(tmp_path / str(seed), None, fresh)
        groups = detect(run, RockRule(mode="bounds", top_k=10)).groups.set_index("group")
        found.append(groups.loc["rare, high before"])
    assert all(row.naive < -0.1 for row in found)
    assert sum(row.low <= 0 <= row.high for row in found) >= 5


def test_where_nothing_was_learned_few_types_are_said_to_be():
    labels = np.concatenate(
        [
            classify(History.of([drawn(np.full((3, 100), 0.2), seed=s)], True), s, draws=300)[
                "class"
            ]
            for s in range(5)
        ]
    )
    assert (
        np.mean(labels == "learned") < 0.01
        and np.mean(labels == "relapsed") < 0.02
        and np.mean(labels == "undecided") > 0.5
    )


def test_a_planted_fall_is_found_by_type_and_by_group():
    means = np.full((3, 100), 0.2)
    means[:, :20] = np.array([2.0, 0.2, 0.1])[:, None]
    means[:, 20:40] = np.array([2.0, 1.9, 1.8])[:, None]
    corpus = drawn(means, rollouts=100)
    labels = classify(History.of([corpus], paired=True))["class"].to_numpy()
    assert (
        (labels[:20] == "learned").mean() > 0.9
        and (labels[20:40] == STAYS).mean() > 0.9
        and not (labels[40:] == "learned").any()
    )
    change = group_change(
        History.of([corpus], True), np.arange(100) < 20, (np.arange(100) < 20,) * 2
    )
    assert change["low"] < -0.95 < change["high"] < -0.9 and change["crossed"] == pytest.approx(
        -0.95, abs=0.01
    )
    assert change["before"] == pytest.approx(2, rel=0.1) and change["after"] == pytest.approx(
        0.1, rel=0.1
    )


def test_the_same_texts_at_both_ends_give_narrower_intervals_than_other_ones():
    corpus = drawn(np.outer([1.0, 0.9], np.full(20, 0.5)), shared=True)
    apart = [replace(corpus, losses=(loss,), steps=(c,)) for c, loss in enumerate(corpus.losses)]
    paired, unpaired = classify(History.of([corpus], True)), classify(History.of(apart, False))
    width = [(frame.change_high - frame.change_low).mean() for frame in (paired, unpaired)]
    assert width[0] < 0.3 * width[1]


def test_a_type_that_the_first_texts_lack_has_no_change():
    before, after = Log([[1, 1]] * 12, [[[0.5, 0.5]] * 12]), Log([[1, 2]] * 12, [[[0.5, 0.5]] * 12])
    frame = classify(History.of([before.corpus(), after.corpus()], paired=False))
    assert (
        frame["class"][1] == "undecided"
        and frame.loc[1, ["mean_first", "change", "change_naive"]].isna().all()
    )


def test_a_type_is_hard_from_the_mean_of_all_first_tokens_also_those_that_the_last_lack(
    tmp_path,
):
    before, after = Log([[1, 9]] * 12, [[[0.5, 10.0]] * 12]), Log([[1]] * 12, [[[0.5]] * 12])
    found = detect(brute.write(tmp_path / "r", None, [before, after]), RockRule())
    assert found.hard_from == pytest.approx(5.25) and found.tokens["class"].tolist() == [
        "never hard"
    ]


def test_groups_without_a_type_have_no_change():
    nobody = np.zeros(5, bool)
    change = group_change(
        History.of([drawn(np.full((2, 5), 0.2), rollouts=4)], True), nobody, (nobody, nobody)
    )
    assert all(np.isnan(value) for value in change.values())


def test_the_seed_decides():
    history = History.of([drawn(np.full((3, 30), 0.2))], True)
    assert classify(history, 1, 50).equals(classify(history, 1, 50)) and not classify(
        history, 1, 50
    ).equals(classify(history, 2, 50))


def test_a_pulse_that_raises_stops_it():
    def pulse() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classify(History.of([drawn(np.full((3, 30), 0.2))], True), pulse=pulse)
