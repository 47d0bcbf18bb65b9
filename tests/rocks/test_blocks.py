"""A detection goes block by block; how large the blocks are changes its time, not its answer."""

from __future__ import annotations

import tracemalloc

import numpy as np
import planted
import pytest

from rockcore import memory, stats
from rockcore.rocks import context, controls, corpus, history, kept_in_parts
from rockcore.rocks.change import classify
from rockcore.rocks.corpus import Corpus, Rows, blocks
from rockcore.rocks.detection import Detection
from rockcore.rocks.gather import Material
from rockcore.rocks.history import History
from rockcore.rocks.rule import RockRule
from rockcore.schema import Texts


def drawn(seed: int) -> Corpus:
    """A few rollouts of a few types, some of one token, with ties in the losses."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 30, rng.integers(1, 9)) if seed % 5 else np.ones(3, int)
    n = int(lengths.sum())
    ids = (3 * rng.integers(0, rng.integers(1, 30), n)).astype(np.int32)
    losses = tuple((rng.integers(0, 9, n) / 7).astype(np.float32) for _ in range(3))
    return Corpus((0, 1, 2), np.arange(len(lengths)), np.cumsum(lengths) - lengths, ids, losses)


@pytest.mark.parametrize("at_once", [1, 7, 10**6])
def test_cells_are_the_sums_over_each_type_in_each_rollout_bit_for_bit(monkeypatch, at_once):
    monkeypatch.setattr(corpus, "_AT_ONCE", at_once)
    for seed in range(40):
        log = drawn(seed)
        key = log.type.astype(np.int64) * log.rollouts + log.rollout
        filled, index, n = np.unique(key, return_inverse=True, return_counts=True)
        cells = log.cells
        assert np.array_equal(cells.type, filled // log.rollouts)
        assert np.array_equal(cells.rollout, filled % log.rollouts)
        assert np.array_equal(cells.n, n)
        for total, loss in zip(cells.sums, log.losses, strict=True):
            assert np.array_equal(total, np.bincount(index, loss, len(filled)))


def test_blocks_hold_everything_once_and_cost_no_more_than_they_may():
    cost = np.array([3, 1, 9, 1, 1, 1, 4])
    found = list(blocks(cost, 4))
    assert [i for a, b in found for i in range(a, b)] == list(range(len(cost)))
    assert all(cost[a:b].sum() <= 4 or b - a == 1 for a, b in found)


def test_the_size_of_blocks_changes_no_class_and_no_interval(monkeypatch):
    log, _ = planted.corpus(planted.Plan.null(3, rollouts=40, vocabulary=60))
    whole = classify(History.of((log,), True), draws=50)
    monkeypatch.setattr(memory, "block", lambda: 1)
    monkeypatch.setattr(history, "_AT_ONCE", 1)
    assert classify(History.of((log,), True), draws=50).equals(whole)


def test_the_size_of_blocks_changes_no_set_and_no_stability(monkeypatch):
    log, _ = planted.corpus(planted.Plan.sized(20_000))
    material, rule = Material("paired", Texts.FINAL, planted.STEPS, (log,)), RockRule()
    whole = Detection(material, rule)
    curves = whole.cutoff
    monkeypatch.setattr(memory, "block", lambda: 30_000)
    monkeypatch.setattr(kept_in_parts, "_MOST_CELLS", 20_000)
    monkeypatch.setattr(context, "_AT_ONCE", 10_000)
    monkeypatch.setattr(context, "_ROWS", 1)
    parts = Detection(material, rule)
    assert np.array_equal(parts.in_set, whole.in_set)
    assert np.array_equal(parts.cutoff.jaccard, curves.jaccard)
    assert all(map(np.array_equal, parts.cutoff.crossed, curves.crossed))


def test_sums_over_parts_of_the_rollouts_are_those_of_the_cells_alone():
    log = drawn(1)
    masks = stats.halves(log.rollouts, 5, 0)
    loss = log.cells.totals(log.cells.sums[-1], masks)
    for p, mask in enumerate(masks):
        inside = mask[log.cells.rollout]
        alone = np.bincount(log.cells.type[inside], log.cells.sums[-1][inside], len(log.types))
        assert np.array_equal(loss[:, p], alone)


@pytest.mark.parametrize("at_once", [1, 20, 10**6])
def test_positions_of_a_control_do_not_depend_on_how_many_are_sorted_at_once(monkeypatch, at_once):
    rows, rng = Rows(np.array([5, 1, 30, 4])), np.random.default_rng(0)
    free = np.flatnonzero(rng.random(len(rows)) < 0.7)
    wanted = np.array([2, 1, 9, 40])
    monkeypatch.setattr(controls, "_AT_A_TIME", at_once)
    found = controls.positions(rows, free, wanted, np.random.default_rng(1))
    order = np.lexsort((np.random.default_rng(1).random(len(free)), rows.rollout[free]))
    by_rollout = [free[order][rows.rollout[free[order]] == b][: wanted[b]] for b in range(4)]
    assert np.array_equal(found, np.sort(np.concatenate(by_rollout)))


def test_class_intervals_take_no_more_memory_than_a_few_blocks(monkeypatch):
    log, _ = planted.corpus(planted.Plan.sized(200_000))
    found = History.of((log,), True)
    taken = []
    for said in ("64MiB", "4GB"):
        monkeypatch.setenv(memory.SETTING, said)
        tracemalloc.start()
        classify(found, draws=1000)
        taken.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert 2 * taken[0] < taken[1], f"{taken[0]:,} bytes within 64 MiB, {taken[1]:,} within 4 GB"
