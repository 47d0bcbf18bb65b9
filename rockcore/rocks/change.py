"""What became of a token type over the training, judged on rollouts that did not choose it.

Types picked because their loss was high, then measured again on the same texts, seem to have been
learned even if nothing was: the mean regresses. So one half of the rollouts says which types were
hard, and the other half how they changed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rockcore import memory, stats
from rockcore.rocks.context import Pulse
from rockcore.rocks.corpus import blocks
from rockcore.rocks.history import History, by_type, ratios

STAYS = "stays hard"  # no Rock Token yet: that is a type in the set of a rule
CLASSES: dict[str, str] = {
    STAYS: "Hard at the first, the middle and the last checkpoint.",
    "learned": "Hard at the first checkpoint, no longer by the middle, and the fall is beyond its "
    "interval.",
    "resolved": "Still or newly hard in the middle, no longer at the end, and the fall is beyond "
    "its interval.",
    "relapsed": "Hard at the end though it was not at the first or the middle checkpoint, and the "
    "rise is beyond its interval.",
    "never hard": "Not hard at any of the three checkpoints.",
    "undecided": "The two halves of the rollouts disagree, or the change lies within its "
    "interval, or fewer than 4 rollouts hold it.",
}
OLD_CLASSES = {"rock": STAYS}  # names that links and reports of old may still say
HARD = (
    "A type is hard at a checkpoint if its mean loss there is at least the mean over all tokens at "
    "the first checkpoint."
)
LEAST_ROLLOUTS = 4
# hard at first, middle, last -> class, and the checkpoints between which a change has to be
# confirmed
_PATTERNS: dict[tuple[bool, bool, bool], tuple[str, tuple[int, int] | None]] = {
    (True, True, True): (STAYS, None),
    (True, False, False): ("learned", (0, 2)),
    (True, True, False): ("resolved", (0, 2)),
    (False, True, False): ("resolved", (1, 2)),
    (True, False, True): ("relapsed", (1, 2)),
    (False, True, True): ("relapsed", (0, 2)),
    (False, False, True): ("relapsed", (0, 2)),
    (False, False, False): ("never hard", None),
}


def classify(
    history: History, seed: int = 0, draws: int = 1000, pulse: Pulse = lambda: None
) -> pd.DataFrame:
    """For each type: class, mean loss at the three checkpoints, and its change from first to last
    with a 95 % interval.

    Columns: class, mean_first, mean_middle, mean_last (nats, all rollouts), change, change_low,
    change_high (nats, last minus first, on the half that did not choose; NaN below LEAST_ROLLOUTS
    rollouts), change_naive (all rollouts), chosen (hard at the first checkpoint by the half that
    chooses). Intervals resample rollouts.
    """

    def means(weights: list[np.ndarray]) -> np.ndarray:
        rows = []
        for sums, rollouts in zip(history.sums, weights, strict=True):
            pulse()
            rows.append(sums.means(rollouts))
        return np.concatenate(rows)

    whole = means([np.ones((1, s.rollouts)) for s in history.sums])
    choosing, measuring = history.halves(seed)
    by_choice, by_measure = means(choosing), means(measuring)
    hard_A, hard_B = by_choice >= history.hard_from, by_measure >= history.hard_from
    drawn = history.resampled(measuring, draws, seed)
    intervals = _change_intervals(history, measuring, drawn, ((0, 2), (1, 2)), pulse)
    labels = np.full(len(history.types), "undecided", dtype=object)
    enough = np.isfinite(intervals[0, 2][0]) & np.isfinite(by_choice).all(axis=0)
    for pattern, (name, between) in _PATTERNS.items():
        shape = np.array(pattern)[:, None]
        fits = enough & (hard_A == shape).all(axis=0) & (hard_B == shape).all(axis=0)
        if between is not None:
            low, high = intervals[between]
            fits &= high < 0 if name != "relapsed" else low > 0
        labels[fits] = name
    low, high = intervals[0, 2]
    return pd.DataFrame(
        {
            "class": labels,
            "mean_first": whole[0],
            "mean_middle": whole[1],
            "mean_last": whole[2],
            "change": np.where(np.isfinite(low), by_measure[2] - by_measure[0], np.nan),
            "change_low": low,
            "change_high": high,
            "change_naive": whole[2] - whole[0],
            "chosen": hard_A[0],
        }
    )


UNKNOWN = "unknown"  # in place of a class where there is one checkpoint


def unknown_change(history: History) -> pd.DataFrame:
    """The columns of `classify` where the history holds one checkpoint: its means, and nothing of
    any change.
    """
    last = history.sums[2]
    gone = np.full(len(history.types), np.nan)
    columns = ("mean_first", "mean_middle", "change", "change_low", "change_high", "change_naive")
    return pd.DataFrame(
        {
            "class": np.full(len(gone), UNKNOWN, dtype=object),
            **dict.fromkeys(columns[:2], gone),
            "mean_last": last.means(np.ones((1, last.rollouts)))[0],
            **dict.fromkeys(columns[2:], gone),
            "chosen": np.zeros(len(gone), bool),
        }
    )


def relative_change(history: History, seed: int = 0, draws: int = 1000) -> pd.DataFrame:
    """For each type its mean loss at the first and the last checkpoint (`before`, `after`, nats),
    and after / before - 1 with a 95 % interval over all rollouts (`change`, `low`, `high`; the
    interval NaN below LEAST_ROLLOUTS rollouts).

    Nothing is chosen here by the loss it is measured on: who looks only at types that were high
    before sees them fall, whatever happened.
    """
    every = [np.ones((1, s.rollouts)) for s in history.sums]
    before, after = (history.sums[c].means(every[c])[0] for c in (0, 2))
    drawn = history.resampled(every, draws, seed)
    found = _change_intervals(history, every, drawn, ((0, 2),), lambda: None, relative=True)
    low, high = found[0, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = after / before - 1
    return pd.DataFrame(
        {"before": before, "after": after, "change": change, "low": low, "high": high}
    )


_Span = tuple[int, int]  # two of the three checkpoints


def _change_intervals(
    history: History,
    half: list[np.ndarray],
    drawn: list[np.ndarray],
    spans: tuple[_Span, ...],
    pulse: Pulse,
    relative: bool = False,
) -> dict[_Span, tuple[np.ndarray, np.ndarray]]:
    """For each span (V,) interval of the mean loss at its end minus that at its begin, or of their
    quotient minus 1, over a half of the rollouts, `drawn` as History.resampled does.

    Types go block by block, of so many cells and draws that the block fits into its part of the
    memory; what a block computes does not depend on where it begins.
    """
    held: dict[int, np.ndarray] = {}
    for sums, h in zip(history.sums, half, strict=True):
        pulse()
        held[id(sums)] = sums.held(h[0] > 0)
    units = {(a, b): np.minimum(*(held[id(history.sums[c])] for c in (a, b))) for a, b in spans}
    found = {span: np.full((2, len(history.types)), np.nan) for span in spans}
    usable = np.flatnonzero(np.max([*units.values()], axis=0) >= LEAST_ROLLOUTS)
    cost = np.max([held[id(s)][usable] for s in history.sums], axis=0) + _OF_A_DRAW
    weights = [np.ascontiguousarray(w.T) for w in drawn]
    for start, end in blocks(cost, max(1, memory.block() // (4 * len(drawn[0])))):
        pulse()
        some = usable[start:end]
        means = _drawn_means(history, half, weights, some, pulse)
        for (a, b), of_span in found.items():
            with np.errstate(divide="ignore", invalid="ignore"):
                change = means[b] / means[a] - 1 if relative else means[b] - means[a]
            n = units[a, b][some]
            low_high = stats.percentile_interval(change.T, n)
            of_span[:, some] = np.where(n >= LEAST_ROLLOUTS, low_high, np.nan)
    return {span: (low, high) for span, (low, high) in found.items()}


_OF_A_DRAW = 16  # numbers that a type takes for each draw, while its interval is worked out


def _drawn_means(
    history: History,
    half: list[np.ndarray],
    weights: list[np.ndarray],
    types: np.ndarray,
    pulse: Pulse,
) -> list[np.ndarray]:
    """At each checkpoint (types, D) mean losses, by `weights` (M, D) of the rollouts of a half."""
    products: dict[tuple[int, int], np.ndarray] = {}
    for sums, h, w in zip(history.sums, half, weights, strict=True):
        place = np.where(h[0] > 0, np.cumsum(h[0] > 0) - 1, -1).astype(np.int32)
        for matrix in (sums.n, sums.loss):
            if (id(matrix), id(w)) not in products:  # in paired texts the counts are the same
                pulse()
                products[id(matrix), id(w)] = by_type(matrix, types, place) @ w
    return [
        ratios(products[id(s.loss), id(w)], products[id(s.n), id(w)])
        for s, w in zip(history.sums, weights, strict=True)
    ]
