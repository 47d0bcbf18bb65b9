"""The arm dynamic: detection while training. A type's weight follows what its kl does on the fixed
texts of the starting student; no set has to be found beforehand.

At each milestone, for every type v with m_v its mean kl over these texts, h the mean kl over all
their tokens at the first checkpoint, and c_v = m_v(now) / m_v(last milestone) − 1 with its 95 %
interval [low, high] over texts:

    m_v ≥ h at both, and low > −PROGRESS:   w_v ← max(FLOOR, (1 − RATE) w_v)    hard, does not move
    high < −PROGRESS:                       w_v ← w_v + RATE (1 − w_v)          moves
    otherwise:                              w_v stays                           cannot be told

w_v = 1 at the start, and for types that these texts do not hold. Where fewer than 4 texts hold a
type there is no interval, and nothing moves. Not lower than FLOOR, so that a type can still be seen
to move, and come back. This is ours: arXiv 2605.09253 leaves dynamic weights to future work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.rocks.change import LEAST_ROLLOUTS, relative_change
from rockcore.rocks.examined import RULE
from rockcore.rocks.gather import gather
from rockcore.rocks.history import History

PROGRESS = 0.1  # relative fall of the mean kl from one milestone to the next
RATE = 0.5  # how far a weight goes at a milestone: down by this share, up by this share of the way
FLOOR = 0.05  # the least weight


@dataclass(frozen=True)
class Moved:
    """What a milestone changed."""

    weight: np.ndarray  # (V,) float32, by token id, over the vocabulary
    table: pd.DataFrame  # schema.WEIGHTS: one row a type of the texts


def moved(run: Run, previous: int, step: int, weight: np.ndarray) -> Moved:
    """The weights from this milestone on, given those (V,) since the previous one.

    At both steps the texts of the first student were scored. Raises NothingToCompare, BadLoss or
    DamagedRun for texts that cannot be read.
    """
    rule = replace(RULE, mode="paired", probe_set="first", post_step=step)
    begun = History.of(gather(run, rule).corpora, paired=True)
    history = History.of(gather(run, replace(rule, pre_step=previous)).corpora, paired=True)
    change = relative_change(history)
    hard = (change.before >= begun.hard_from) & (change.after >= begun.hard_from)
    down, up = hard & (change.low > -PROGRESS), change.high < -PROGRESS
    ids = history.types
    old = weight[ids].astype(np.float64)
    new = np.select([down, up], [np.maximum(FLOOR, (1 - RATE) * old), old + RATE * (1 - old)], old)
    whole = weight.copy()
    whole[ids] = new
    table = pd.DataFrame(
        {
            "step": step,
            "token_id": ids,
            "weight": whole[ids],
            **{name: change[name] for name in ("change", "low", "high")},
            "moved": np.sign(whole[ids] - weight[ids]).astype(np.int8),
        }
    )
    return Moved(whole, table)


def doubts(lengths: Sequence[int], probe_every: int, steps: int) -> list[str]:
    """Sentences on why no weight can move in a run with fixed texts of these lengths (tokens), so
    that it trains as the baseline does.
    """
    found, texts = [], sum(n > 0 for n in lengths)
    if texts < LEAST_ROLLOUTS:
        found.append(
            f"--arm dynamic: {texts} of the fixed texts hold a token, and below {LEAST_ROLLOUTS} "
            "there is no interval, so no weight moves: it trains as the baseline does. Give more "
            "--probes"
        )
    if probe_every >= steps:
        found.append(
            f"--arm dynamic: weights move every {probe_every} steps (--probe-every), and there are "
            f"{steps}, so it trains as the baseline does"
        )
    return found


def weight_of(run: Run, vocab_size: int) -> tuple[int, np.ndarray]:
    """The last logged milestone that moved weights, 0 if there is none yet, and the weights (V,)
    float32 since then.
    """
    weight, steps = np.ones(vocab_size, np.float32), run.steps("weights")
    if not steps:
        return 0, weight
    table = run.weights(steps[-1])
    weight[table.token_id] = table.weight
    return steps[-1], weight
