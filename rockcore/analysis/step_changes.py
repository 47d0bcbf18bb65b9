"""How a signal changed from the first to the last logged step: as a factor, with an interval, for
each row over steps and for all of them together.

Intervals resample rollouts; the texts of a probe are the same at both ends and are drawn together.
Rows that were chosen by a high value on these same texts are bent by that choice: one chosen at the
first step seems to fall, one chosen at the last to rise, whatever happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis.signals import SPOKEN, Scale
from rockcore.analysis.steps import Surface
from rockcore.log import Run
from rockcore.rocks.change import relative_change
from rockcore.rocks.history import History, Sums, draws_for
from rockcore.schema import Texts

MOST_ROWS = 2_000  # beyond, no row has an interval of its own
_FACTORS = (1.1, 1.5, 2.0, 4.0, 16.0)  # where the colours of a ratio change, on both sides of 1
_LEAST = 2.0**-20  # a value of zero, as a factor of what it was


class Change(NamedTuple):
    """The mean of some rows over all their tokens at both ends, and after / before - 1."""

    first: int  # steps
    last: int
    before: float
    after: float
    change: float
    low: float  # of a 95 % interval; NaN where fewer than 4 rollouts hold them at both ends
    high: float
    rollouts: int
    fell: int  # rows whose own interval lies below no change
    rose: int
    rows: int  # that were told apart or not

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


class Changes(NamedTuple):
    """Of each row, and of all together; None where there are not two steps, or no value that a
    factor can be told of.
    """

    frame: pd.DataFrame  # by token_id or category: factor, low, high (after / before)
    whole: Change | None


NONE = Changes(pd.DataFrame(columns=["factor", "low", "high"]), None)


def changes(
    run: Run,
    texts: Texts,
    signal: str,
    ids: Sequence[int],
    rows: Sequence[int | str],
    seed: int = 0,
) -> Changes:
    """The change of each row of token types, and of all of them together.

    `rows`: in which row each of the types `ids` counts, itself or a category. A signal that may be
    negative has no factor: NONE.
    """
    groups = pd.Series(rows, index=pd.Index(ids), dtype=object)
    steps = run.steps(texts.table)
    if len(steps) < 2 or signal == "sampled_loss" or not len(groups):
        return NONE
    names = pd.Index(groups.unique())
    apart = len(names) <= MOST_ROWS
    lines = names.get_indexer(groups) if apart else np.zeros(len(groups), int)
    ends = [
        run.row_cells(texts.table, step, signal, ids, lines.tolist())
        for step in (steps[0], steps[-1])
    ]
    if any(cells.empty for cells in ends):
        return NONE
    paired = texts.probe_set is not None
    everything = _history([cells.assign(line=0) for cells in ends], 1, paired)
    draws = draws_for(everything)
    whole = relative_change(everything, seed, draws).iloc[0]
    frame = NONE.frame
    if apart:
        found = relative_change(_history(ends, len(names), paired), seed, draws)
        frame = (found[["change", "low", "high"]] + 1).rename(columns={"change": "factor"})
        frame.index = names
    rollouts = min(cells.rollout_id.nunique() for cells in ends)
    fell, rose = int((frame.high < 1).sum()), int((frame.low > 1).sum())
    about = {name: float(whole[name]) for name in ("before", "after", "change", "low", "high")}
    told = {"rollouts": rollouts, "fell": fell, "rose": rose, "rows": len(frame)}
    return Changes(frame, Change(steps[0], steps[-1], **about, **told))


def _history(ends: Sequence[pd.DataFrame], rows: int, paired: bool) -> History:
    """Two checkpoints as three, the last one repeated: what relative_change compares."""
    known = [np.unique(cells.rollout_id) for cells in ends]
    if paired:
        known = [np.union1d(*known)] * 2
    before, after = (_sums(cells, ids, rows) for cells, ids in zip(ends, known, strict=True))
    return History(np.arange(rows), (before, after, after), paired, 0.0)


def _sums(cells: pd.DataFrame, ids: np.ndarray, rows: int) -> Sums:
    from scipy.sparse import csr_matrix

    at = (np.searchsorted(ids, cells.rollout_id), cells.line.to_numpy())
    n, loss = (
        csr_matrix((values.to_numpy(np.float64), at), (len(ids), rows)).astype(np.float32)
        for values in (cells.n, cells.total)
    )
    return Sums(n, loss)


def ratios(surface: Surface) -> Surface:
    """Each value as log2 of its ratio to that of the first logged step: 0 is no change, -1 half.

    NaN where either has no value, or the first none above zero.
    """
    first = surface.values[:, [surface.axis.logged.index(True)]]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(first > 0, surface.values / first, np.nan)
        found = np.log2(np.where(factor >= 0, np.maximum(factor, _LEAST), np.nan))
    return Surface(found.astype(np.float32), surface.names, surface.axis, surface.per)


def ratio_scale(scale: Scale, step: int) -> Scale:
    """The scale of `ratios` of a signal with this scale, whose first logged step is `step`: edges
    are powers of two, the same for every run.
    """
    above = [float(np.log2(f)) for f in _FACTORS]
    edges = [-e for e in reversed(above)] + above
    about = f"{SPOKEN.get(scale.name, scale.name)} as a multiple of its value at step {step}"
    return Scale(scale.name, "ratio", "", about, scale.of, edges, [], scale.tokens, scale.over)
