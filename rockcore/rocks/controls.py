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

from rockcore.rocks.context import Pulse
from rockcore.rocks.corpus import Corpus, Rows, blocks

NO_ROCKS = "Not drawn: without paired texts there are no rock occurrences to match."
LONGEST_SIDE = 8  # tokens of a window on each side of its occurrence
_MEAN_OVER = 5  # tokens of the centred mean that a window is made of
_NEAREST = 3  # places of the nearest summed loss, among which one is drawn where that is matched


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
    kind: str,
    corpus: Corpus,
    rocks_N: np.ndarray,
    types: Types,
    tau_post: float,
    seed: int,
    pulse: Pulse = lambda: None,
) -> Control:
    """Draw the control of the given kind for the rock occurrences `rocks_N`; the authors take the
    types that follow in rank.
    """
    how = how_drawn(kind, types)
    if kind == "windows":
        taken = windows(corpus.rows, corpus.losses[-1], rocks_N, tau_post, pulse)
        rng = np.random.default_rng(seed)
        return Control(kind, how, seed, *stretches(corpus.rows, taken, rng, pulse=pulse))
    if kind == "authors":
        at = np.flatnonzero(np.isin(corpus.token_id, types.next))
        return Control(
            kind, how, seed, at, max(0, int(rocks_N.sum()) - len(at)), tuple(map(int, types.next))
        )
    free = np.flatnonzero(~(types.in_set[corpus.type] | rocks_N))
    wanted_B = np.bincount(corpus.rollout[rocks_N], minlength=corpus.rollouts)
    at = positions(corpus.rows, free, wanted_B, np.random.default_rng(seed), pulse)
    return Control("positions", how, seed, at, int(rocks_N.sum()) - len(at))


def how_drawn(kind: str, types: Types) -> str:
    """What a control of this kind is, in words."""
    if kind == "windows":
        return (
            "In each rollout windows of the same lengths as those of its rocks, placed at random "
            "where they neither overlap those of the rocks nor touch each other, the longest first."
        )
    if kind == "authors":
        return (
            f"Every token of the {len(types.next)} types ranked right below the set: as many "
            "types, not as many positions."
        )
    return (
        "In each rollout as many positions as it has rock occurrences, drawn at random from the "
        "tokens that are of no rock type."
    )


def positions(
    rows: Rows,
    free: np.ndarray,
    wanted_B: np.ndarray,
    rng: np.random.Generator,
    pulse: Pulse = lambda: None,
) -> np.ndarray:
    """A random choice of `wanted_B[b]` of the free positions of each rollout b, or all of them
    where there are fewer. `free`: indices into the rows; so is what is returned, ascending.
    """
    rollout, drawn = rows.rollout[free], rng.random(len(free))
    in_rollout, begin, taken = np.bincount(rollout, minlength=len(rows.lengths)), 0, []
    # below it lie nearly always as many as are wanted: the others need not be sorted
    likely_B = (wanted_B + 5 * np.sqrt(wanted_B)) / np.maximum(in_rollout, 1)
    for a, b in blocks(in_rollout, _AT_A_TIME):  # a sort of all of them leaves every cache
        pulse()
        end, wanted = begin + int(in_rollout[a:b].sum()), wanted_B[a:b]
        of, draws = rollout[begin:end] - a, drawn[begin:end]
        low = draws < likely_B[a:b][of]
        short = np.bincount(of[low], minlength=b - a) < np.minimum(wanted, in_rollout[a:b])
        some = np.flatnonzero(low | short[of])
        of = of[some]
        order = some[np.lexsort((draws[some], of))]
        n = np.bincount(of, minlength=b - a)
        place = np.arange(len(of)) - (np.cumsum(n) - n)[of]  # the order is by rollout, as `of` is
        taken.append(np.sort(free[begin + order[place < wanted[of]]]))
        begin = end
    return np.concatenate(taken) if taken else np.zeros(0, np.int64)


_AT_A_TIME = 200_000  # positions


def windows(
    rows: Rows,
    loss_N: np.ndarray,
    rocks_N: np.ndarray,
    tau_post: float,
    pulse: Pulse = lambda: None,
) -> np.ndarray:
    """(N,) bool: W(v) of every rock occurrence, the stretch of high loss it lies in.

    The stretch is where the mean of the loss over 5 tokens stays at or above tau_post, gaps of
    one token bridged, and 8 tokens at most on each side of the occurrence. An occurrence outside of
    any stretch is its own window.
    """
    found, so_far, begin = [], 0.0, 0
    for a, b in blocks(rows.lengths, _AT_ONCE):  # a rollout says nothing of another one
        pulse()
        some = Rows(rows.lengths[a:b])
        piece = slice(begin, begin + len(some))
        # one sum over all, as its last digits depend on where it begins
        sums = np.cumsum(np.append(so_far, loss_N[piece].astype(np.float64)))
        found.append(_windows(some, sums, rocks_N[piece], tau_post))
        so_far, begin = sums[-1], piece.stop
    return np.concatenate(found) if found else rocks_N.copy()


_AT_ONCE = 2_000_000  # positions


def _windows(rows: Rows, sums: np.ndarray, rocks_N: np.ndarray, tau_post: float) -> np.ndarray:
    """`sums` (N + 1,): of the losses before each position, and of all."""
    index, half = np.arange(len(rows)), _MEAN_OVER // 2
    first = np.repeat(rows.starts, rows.lengths)
    after = first + np.repeat(rows.lengths, rows.lengths)
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


class Stretches(NamedTuple):
    """Positions in stretches, and how many could not be had."""

    at: np.ndarray  # indices, ascending
    short: int


def stretches(
    rows: Rows,
    taken_N: np.ndarray,
    rng: np.random.Generator,
    loss_N: np.ndarray | None = None,
    pulse: Pulse = lambda: None,
) -> Stretches:
    """In each rollout stretches of the same lengths as those of `taken_N` (N,) bool, at random
    places where they neither overlap those nor touch each other, the longest first.

    With `loss_N` each is drawn from the three places whose summed loss is nearest to that of the
    stretch it stands for and of what the ones before it fell short of.
    """
    at, short = [], 0
    for b in np.unique(rows.rollout[taken_N]):
        pulse()
        begin, length = rows.starts[b], rows.lengths[b]
        blocked = taken_N[begin : begin + length].copy()
        loss = None if loss_N is None else np.append(0, np.cumsum(loss_N[begin : begin + length]))
        owed = 0.0
        for place, size in sorted(_runs(blocked), key=lambda run: -run[1]):
            free = (
                np.convolve(~blocked, np.ones(size, int), "valid") == size
                if size <= length
                else np.zeros(0, bool)
            )
            places = np.flatnonzero(free)
            if not len(places):
                short += size
                continue
            if loss is not None:
                sums = loss[size:] - loss[:-size]
                owed += sums[place]
                nearest = np.argsort(np.abs(sums[places] - owed), kind="stable")
                places = places[nearest[:_NEAREST]]
            start = int(rng.choice(places))
            if loss is not None:
                owed -= loss[start + size] - loss[start]
            at.append(begin + start + np.arange(size))
            blocked[max(0, start - 1) : start + size + 1] = (
                True  # two that touch would be one longer stretch
            )
    return Stretches(np.sort(np.concatenate(at)) if at else np.zeros(0, np.int64), short)


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Start and length of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
