"""What rocks are compared with: random positions that match theirs in number, or in windows,
rollout by rollout.

Matching token *types* by frequency is impossible once the rocks hold half of all tokens, and even
before it leaves the control with several times fewer positions. So positions are matched, and a
control says how it was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rockcore.rocks.corpus import Corpus

LONGEST_SIDE = 8  # tokens of a window on each side of its occurrence
_MEAN_OVER = 5  # tokens of the centred mean that a window is made of


@dataclass(frozen=True)
class Control:
    """A set of positions: which, and how they were drawn."""

    kind: str  # positions | windows | authors
    how: str
    seed: int
    at: np.ndarray  # indices into the corpus, ascending
    short: int  # positions that could not be matched, because a rollout had none left
    types: tuple[int, ...] = ()  # token ids, where the control is a set of types


class Types(NamedTuple):
    """Which types a control has to keep away from, and which follow them in rank."""

    in_set: np.ndarray  # (V,) bool over Corpus.types
    next: np.ndarray  # token ids


def draw(
    kind: str, corpus: Corpus, rocks_N: np.ndarray, types: Types, tau_post: float, seed: int
) -> Control:
    """Draw the control of the given kind for the rock occurrences `rocks_N`; the authors take the
    types that follow in rank.
    """
    if kind == "windows":
        return _windows(corpus, rocks_N, tau_post, seed)
    if kind == "authors":
        at = np.flatnonzero(np.isin(corpus.token_id, types.next))
        how = (
            f"Every token of the {len(types.next)} types ranked right below the set: as many "
            "types, not as many positions."
        )
        return Control(
            kind, how, seed, at, max(0, int(rocks_N.sum()) - len(at)), tuple(map(int, types.next))
        )
    free = np.flatnonzero(~(types.in_set[corpus.type] | rocks_N))
    at = _first_per_rollout(
        corpus, free, np.bincount(corpus.rollout[rocks_N], minlength=corpus.rollouts), seed
    )
    how = (
        "In each rollout as many positions as it has rock occurrences, drawn at random from the "
        "tokens that are of no rock type."
    )
    return Control("positions", how, seed, at, int(rocks_N.sum()) - len(at))


def _first_per_rollout(
    corpus: Corpus, free: np.ndarray, wanted_B: np.ndarray, seed: int
) -> np.ndarray:
    """A random choice of `wanted_B[b]` of the free positions of each rollout b, or all of them
    where there are fewer.
    """
    rollout = corpus.rollout[free]
    order = np.lexsort((np.random.default_rng(seed).random(len(free)), rollout))
    first = np.searchsorted(rollout[order], np.arange(corpus.rollouts))
    place = np.arange(len(free)) - first[rollout[order]]
    return np.sort(free[order[place < wanted_B[rollout[order]]]])


def windows(corpus: Corpus, rocks_N: np.ndarray, tau_post: float) -> np.ndarray:
    """(N,) bool: W(v) of every rock occurrence, the stretch of high loss it lies in.

    The stretch is where the mean of the last loss over 5 tokens stays at or above tau_post, gaps of
    one token bridged, and 8 tokens at most on each side of the occurrence. An occurrence outside of
    any stretch is its own window.
    """
    n, loss = len(corpus), corpus.losses[-1].astype(np.float64)
    index, half = np.arange(n), _MEAN_OVER // 2
    first = np.repeat(corpus.starts, corpus.lengths)
    after = first + np.repeat(corpus.lengths, corpus.lengths)
    sums = np.append(0.0, np.cumsum(loss))
    low, high = np.maximum(index - half, first), np.minimum(index + half + 1, after)
    hot = (sums[high] - sums[low]) / (high - low) >= tau_post
    inner = (index > first) & (index < after - 1)
    hot |= inner & np.append(False, hot[:-1]) & np.append(hot[1:], False)
    window = rocks_N.copy()
    for step in (1, -1):
        reach = rocks_N & hot
        for _ in range(LONGEST_SIDE):
            moved = np.roll(reach, step)
            edge = index == (first if step == 1 else after - 1)
            reach = moved & hot & ~edge
            window |= reach
    return window


def _windows(corpus: Corpus, rocks_N: np.ndarray, tau_post: float, seed: int) -> Control:
    taken = windows(corpus, rocks_N, tau_post)
    rng, at, short = np.random.default_rng(seed), [], 0
    for b in np.unique(corpus.rollout[taken]):
        begin, length = corpus.starts[b], corpus.lengths[b]
        blocked = taken[begin : begin + length].copy()
        for size in sorted(_runs(blocked), reverse=True):
            free = (
                np.convolve(~blocked, np.ones(size, int), "valid") == size
                if size <= length
                else np.zeros(0, bool)
            )
            places = np.flatnonzero(free)
            if not len(places):
                short += size
                continue
            start = int(rng.choice(places))
            at.append(begin + start + np.arange(size))
            blocked[max(0, start - 1) : start + size + 1] = (
                True  # two that touch would be one longer window
            )
    how = (
        "In each rollout windows of the same lengths as those of its rocks, placed at random "
        "where they neither overlap those of the rocks "
        "nor touch each other, the longest first."
    )
    return Control(
        "windows", how, seed, np.sort(np.concatenate(at)) if at else np.zeros(0, np.int64), short
    )


def _runs(mask: np.ndarray) -> list[int]:
    """Lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return (edges[1::2] - edges[::2]).tolist()
