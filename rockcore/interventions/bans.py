"""What a knockout forbids: a candidate as the token ids whose logits become -inf."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from rockcore.interventions.batch import Batch
from rockcore.rocks import controls


class Window(NamedTuple):
    """W(v): where a type v stands in stretches of high kl, and which rock candidates count."""

    token_id: int  # v
    batch: Batch  # with kl
    rocks: tuple[int, ...]  # the rock candidates
    tau: float  # nats: a stretch is where the mean kl stays at or above it


def bans(candidate: int | Iterable[int] | Window) -> tuple[int, ...]:
    """The ids that the knockout of a candidate forbids, ascending: one token, several (a token with
    its spellings), or of a window its token and every rock candidate found in W(v) of any of its
    occurrences. Raises ValueError for a window of a batch without kl. Source: arXiv 2605.09253,
    section 4.
    """
    if isinstance(candidate, Window):
        v, batch, rocks, tau = candidate
        if batch.kl is None:
            raise ValueError("a window is where kl is high, and this batch has none")
        inside = controls.windows(batch.rows, batch.kl, batch.token_id == v, tau)
        found = np.unique(batch.token_id[inside])
        return bans({v, *found[np.isin(found, rocks)].tolist()})
    ids = [candidate] if isinstance(candidate, int | np.integer) else candidate
    return tuple(sorted({int(i) for i in ids}))
