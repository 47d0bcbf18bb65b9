"""Who takes the gradient: shares by type, category and class, and what would be given up without
some tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore import stats
from rockcore.log import Run
from rockcore.schema import PHASES, NoGradients
from rockcore.stats import Interval

NORMS = ("grad_norm", "proj_grad_norm")


def type_shares(run: Run, table: str = "tokens", norm: str = "grad_norm") -> pd.DataFrame:
    """What each token type takes at each step, over the fresh "tokens" or a probe set
    ("probe/final").

    Columns: step, token_id, n, kl (nats) and gradient (Σ of `norm`), and tokens_share, kl_share,
    gradient_share of the whole step. Raises NoGradients if `norm` is logged at no step; steps
    without it are left out.
    """
    if norm not in NORMS:
        raise ValueError(f"{norm!r} is no gradient norm; there is {', '.join(NORMS)}")
    sums: Any = run.type_sums(table)
    known = (
        sums.groupby("step")[f"{norm}_sum"].transform(lambda s: s.notna().all()).astype(bool)
        if len(sums)
        else pd.Series(dtype=bool)
    )
    if not known.any():
        raise NoGradients(
            f"{run.path.name} has no {norm} in {table} ({sums.step.nunique()} logged steps)",
            "Shares of the gradient need its norm at every position",
            "Train with this program, which always logs it; in an imported log, add the column",
        )
    columns = {
        "step": "step",
        "token_id": "token_id",
        "n": "n",
        "kl": "kl_sum",
        "gradient": f"{norm}_sum",
    }
    return _with_shares(
        pd.DataFrame({name: sums[source][known].to_numpy() for name, source in columns.items()})
    )


def label_shares(
    types: pd.DataFrame, labels: Mapping[int, str] | pd.Series, other: str = "other"
) -> pd.DataFrame:
    """`type_shares` summed up by a label of the types (category, class): step, label, n, kl,
    gradient and the three shares.

    Types without a label are counted as `other`; every label has a row at every step, so that areas
    can be stacked.
    """
    label = types.token_id.map(labels).fillna(other)
    sums: Any = (
        types.assign(label=label)[["step", "label", "n", "kl", "gradient"]]
        .groupby(["step", "label"])
        .sum()
    )
    every = pd.MultiIndex.from_product(
        [np.unique(types.step), np.unique(label)], names=["step", "label"]
    )
    return _with_shares(sums.reindex(every, fill_value=0).reset_index())


def _with_shares(frame: pd.DataFrame) -> pd.DataFrame:
    step = np.unique(frame.step, return_inverse=True)[1]
    for name, share in (("n", "tokens_share"), ("kl", "kl_share"), ("gradient", "gradient_share")):
        part = frame[name].to_numpy(np.float64)
        whole = np.bincount(step, part)[step] if len(part) else part
        frame[share] = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return frame


class Lorenz(NamedTuple):
    """How unequally a sum is spread: the `population` with the least holds `held` of it, both
    rising from 0 to 1.
    """

    population: np.ndarray
    held: np.ndarray
    gini: float  # 0: all alike; 1: one holds everything
    n: int


def lorenz(values: np.ndarray, points: int = 500) -> Lorenz:
    """Lorenz curve at `points` places at most, and the exact Gini coefficient of `values` (>= 0;
    NaN left out).

    Source: Gini = Σ (2i - n - 1) x_i / (n Σ x) over ascending x, i from 1; 0 where nothing is
    there.
    """
    x = np.sort(values[np.isfinite(values)].astype(np.float64))
    n, total = len(x), x.sum()
    if total <= 0:
        return Lorenz(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.0, n)
    held = np.append(0.0, np.cumsum(x)) / total
    at = np.unique(np.linspace(0, n, min(points, n + 1)).round().astype(int))
    gini = float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * total))
    return Lorenz(at / n, held[at], gini, n)


@dataclass(frozen=True)
class GivenUp:
    """What a training without some token types would have skipped, on the fresh rollouts of the
    logged steps.
    """

    tokens: int
    of_tokens: int
    kl: float  # nats
    of_kl: float
    gradient: float
    of_gradient: float
    projection_share: float | None  # of a step's time; None where it was not measured
    time_saved: float | None  # share of a step's time, at most
    steps: int  # whose times were measured


def given_up(
    run: Run, token_ids: Iterable[int], table: str = "tokens", norm: str = "grad_norm"
) -> GivenUp:
    """Tokens, kl and gradient on these types, and the time that not training them could save.
    Raises NoGradients.

    A skipped position still has to be written and read, because later positions see it; what
    shrinks is its way through the vocabulary projections of both models, the loss, and back. Their
    time is measured in each step (`projection_s`), so the bound is their share of the step times
    the share of tokens skipped. Medians over steps; the first is warm-up.
    """
    types = type_shares(run, table, norm)
    some = types[types.token_id.isin(list(token_ids))]
    metrics = run.metrics().sort_values("step")
    trained = metrics[metrics.update_norm.notna() & metrics.projection_s.notna()]
    trained = trained.iloc[1:] if len(trained) > 1 else trained
    step_s = trained[list(PHASES)].sum(axis=1)
    share = float((trained.projection_s / step_s).median()) if len(trained) else None
    tokens, of_tokens = int(some.n.sum()), int(types.n.sum())
    return GivenUp(
        tokens=tokens,
        of_tokens=of_tokens,
        kl=float(some.kl.sum()),
        of_kl=float(types.kl.sum()),
        gradient=float(some.gradient.sum()),
        of_gradient=float(types.gradient.sum()),
        projection_share=share,
        time_saved=None if share is None else share * tokens / max(of_tokens, 1),
        steps=len(trained),
    )


class Correlation(NamedTuple):
    value: float
    low: float
    high: float
    n: int


def exact_correlation(
    run: Run, probe_set: str, norm: str = "grad_norm", draws: int = 1000, seed: int = 0
) -> Correlation:
    """Pearson correlation of the closed-form norm with the exact one, both as logarithms, over the
    sampled positions.

    The interval (95 %) resamples rollouts. Positions where either is 0 or unknown are left out.
    Raises NoGradients.
    """
    frame: Any = run.exact_gradients(probe_set)
    frame = (
        frame[(frame[norm] > 0) & (frame.exact_norm > 0) & np.isfinite(frame[norm])]
        if len(frame)
        else frame
    )
    if len(frame) < 3:
        raise NoGradients(
            f"{run.path.name} has {len(frame)} positions of the probe set {probe_set!r} with "
            f"{norm} and an exact gradient",
            "A correlation needs three",
            "Train with --gradients full",
        )
    x, y = np.log(frame[norm].to_numpy(np.float64)), np.log(frame.exact_norm.to_numpy(np.float64))
    rollouts, member = np.unique(frame.rollout_id, return_inverse=True)
    drawn = np.sort(
        [_pearson(x, y, w[member]) for w in stats.resampled(len(rollouts), draws, seed)]
    )
    drawn = drawn[np.isfinite(drawn)]
    low, high = (
        np.quantile(drawn, [0.025, 0.975]) if len(rollouts) > 1 and len(drawn) else (np.nan, np.nan)
    )
    return Correlation(float(_pearson(x, y, np.ones(len(x)))), float(low), float(high), len(x))


def _pearson(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
    spread = np.sqrt((w @ x**2) * (w @ y**2))
    return float(w @ (x * y) / spread) if spread > 0 else np.nan


def second_moments(run: Run, step: int | None = None) -> pd.DataFrame:
    """Adam's second moment beside how often each type was written in the logged fresh rollouts
    before that step.

    Columns: token_id, second_moment, n; types that were never written are left out. `step`: default
    the last one logged. Raises NoGradients.
    """
    steps = run.steps("optimizer")
    if not steps:
        raise NoGradients(
            f"{run.path.name} has no log of the optimizer",
            "Adam's state is not in the gradients",
            "Train with --gradients sums",
        )
    step = steps[-1] if step is None else step
    sums = run.type_sums()
    n = sums[sums.step < step].groupby("token_id").n.sum()
    frame = run.optimizer(step)[["token_id", "second_moment"]]
    return frame.assign(n=frame.token_id.map(n)).dropna().astype({"n": int}).reset_index(drop=True)


def rank_correlation(x: Any, y: Any) -> Correlation:
    """Spearman's rank correlation with a 95 % interval by Fisher's z. Source: Bonett and Wright
    2000, eq. 3. NaN below 4.
    """
    from scipy.stats import spearmanr

    n = len(x)
    rho = float(np.asarray(spearmanr(x, y))[0]) if n > 3 else np.nan
    if not np.isfinite(rho):
        return Correlation(np.nan, np.nan, np.nan, n)
    half = 1.959964 * np.sqrt((1 + rho**2 / 2) / (n - 3))
    z = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    interval = Interval(rho, float(np.tanh(z - half)), float(np.tanh(z + half)))
    return Correlation(*interval, n)
