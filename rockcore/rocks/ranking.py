"""The token types of one step by Rock Score: no second checkpoint is needed, and nothing is said of
persistence.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore import stats
from rockcore.categories import categorize_all
from rockcore.log import Run
from rockcore.schema import RockError, Texts
from rockcore.spelling import visible
from rockcore.stats import Interval


class NothingLogged(RockError, ValueError):
    """The run holds no token statistics to rank."""


def last_step(run: Run) -> int:
    """The last step with logged tokens; raises NothingLogged if there is none, NotLogged where only
    the words of texts are logged.
    """
    if steps := run.steps("types"):
        return steps[-1]
    held = run.holdings()
    if held.words:
        held.require("kl")
    if held.columns:
        raise NothingLogged(
            f"{run.path.name} has no fresh rollouts, only texts that are scored again",
            "The types of one step are ranked over its fresh rollouts",
            "Rank the texts that there are by a rule: rockcore rocks, or the page Rock tokens",
        )
    raise NothingLogged(
        f"{run.path.name} has no logged tokens yet",
        "There is nothing to rank",
        "Wait for the first step, or train with logging on",
    )


def rank(run: Run, step: int | None = None) -> pd.DataFrame:
    """Token types of the fresh rollouts of one step (default: the last) by falling Rock Score; ties
    by token id.

    Needs no second checkpoint, and says nothing of persistence. Columns: token_id, token, category,
    frequency, mean_kl (nats), rock_score (nats, R(v)), share of the summed kl, coverage (share of
    this type and all above it), grad_norm_sum. Raises as `last_step` does, and NotLogged where no
    kl is logged.
    """
    last = last_step(run)
    types = run.types(last if step is None else step)
    if types.kl_sum.isna().all():
        run.holdings().require("kl", Texts.FRESH)
    order = np.lexsort((types.token_id.to_numpy(), -types.kl_sum.to_numpy()))
    total = types.kl_sum.sum()
    frame = pd.DataFrame(
        {
            "token_id": types.token_id,
            "token": types.token,
            "category": categorize_all(types.token, types.special, rules=run.category_rules),
            "frequency": types.n,
            "mean_kl": types.kl_sum / types.n,
            "rock_score": types.kl_sum,
            "share": types.kl_sum / total if total > 0 else 0.0,
            "grad_norm_sum": types.grad_norm_sum,
        }
    ).iloc[order]
    frame.insert(7, "coverage", frame.share.cumsum())
    return frame.reset_index(drop=True)


def numbered(run: Run, step: int | None = None) -> pd.DataFrame:
    """`rank` with the columns rank, from 1, and shown, the token with visible whitespace."""
    frame = rank(run, step)
    return frame.assign(rank=np.arange(1, len(frame) + 1), shown=[visible(t) for t in frame.token])


class Shares(NamedTuple):
    """What falls on some token types, of 1, with 95 % intervals."""

    tokens: Interval
    kl: Interval
    gradient: Interval | None  # of the summed gradient norm; None where it is not logged


class Concentration(NamedTuple):
    """What falls on the first token types of a ranking by Rock Score."""

    top: int
    types: int
    tokens: int
    rollouts: int
    crossed: Shares | None  # chosen on one half of the rollouts, measured on the other, both ways
    naive: dict[str, float]  # tokens, kl, gradient: chosen and measured on all rollouts


def concentration(run: Run, step: int, top: int, draws: int = 1000, seed: int = 0) -> Concentration:
    """How much of a step's tokens, of their kl and of their gradient norm falls on the `top` token
    types of highest Rock Score.

    Types picked because their sum was high hold less of it when they are measured again, so every
    second rollout by id chooses and the others measure, and the other way round; the mean of
    both is given, with an interval that resamples the rollouts that measure. None from fewer than
    four rollouts. Raises RunNotFound for a step that is not logged.
    """
    cells = run.type_sums_by_rollout(step)
    rollouts, row = np.unique(cells.rollout_id, return_inverse=True)
    types, column = np.unique(cells.token_id, return_inverse=True)
    kl = cells.kl_sum.to_numpy(np.float64)

    def best(rollout_weight_B: np.ndarray) -> np.ndarray:
        """(V,) bool."""
        score = np.bincount(column, kl * rollout_weight_B[row], len(types))
        chosen = np.zeros(len(types), bool)
        chosen[np.lexsort((types, -score))[:top]] = True
        return chosen

    norm = cells.grad_norm_sum.to_numpy(np.float64)
    sums = {"tokens": cells.n.to_numpy(np.float64), "kl": kl, "gradient": norm}
    sums = {name: x for name, x in sums.items() if np.isfinite(x).all()}
    # (B,) by rollout: the sum over the chosen types, and over all
    every = np.ones(len(rollouts))
    held = {name: _held(x, best(every)[column], row, len(rollouts)) for name, x in sums.items()}
    naive = {name: float(_share(*pair, every[None])[0]) for name, pair in held.items()}
    crossed: dict[str, Interval] = {}
    if len(rollouts) >= 4:
        even = np.arange(len(rollouts)) % 2 == 0  # their ids may all be even
        for name, x in sums.items():
            ways = [
                (_held(x, best(half.astype(float))[column], row, len(rollouts)), ~half)
                for half in (even, ~even)
            ]
            crossed[name] = _crossed(ways, draws, seed)
    return Concentration(
        top=min(top, len(types)),
        types=len(types),
        tokens=int(cells.n.sum()),
        rollouts=len(rollouts),
        crossed=Shares(crossed["tokens"], crossed["kl"], crossed.get("gradient"))
        if {"tokens", "kl"} <= set(crossed)
        else None,
        naive=naive,
    )


Held = tuple[np.ndarray, np.ndarray]


def _held(x: np.ndarray, chosen_C: np.ndarray, row: np.ndarray, rollouts: int) -> Held:
    """(B,) sums of the chosen cells, and of all, by rollout."""
    return np.bincount(row, x * chosen_C, rollouts), np.bincount(row, x, rollouts)


def _share(part_B: np.ndarray, whole_B: np.ndarray, weights_DB: np.ndarray) -> np.ndarray:
    """(D,) the part of the whole with the rollouts weighted; 0 of nothing."""
    whole = weights_DB @ whole_B
    return np.divide(weights_DB @ part_B, whole, out=np.zeros(len(whole)), where=whole > 0)


def _crossed(ways: list[tuple[Held, np.ndarray]], draws: int, seed: int) -> Interval:
    """The mean of both ways' shares with its interval; each way with the rollouts that measure."""
    values, drawn = [], []
    for i, ((part, whole), measuring) in enumerate(ways):
        part, whole = part[measuring], whole[measuring]
        values.append(_share(part, whole, np.ones((1, len(part))))[0])
        drawn.append(_share(part, whole, stats.resampled(len(part), draws, seed + i)))
    units = np.array([min(int(measuring.sum()) for _, measuring in ways)])
    low, high = stats.percentile_interval(np.mean(drawn, axis=0)[:, None], units)
    return Interval(float(np.mean(values)), float(low[0]), float(high[0]))
