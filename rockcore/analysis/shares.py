"""Who takes the gradient: shares by type, category and class, and what would be given up without
some tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.log.holdings import SCORE
from rockcore.schema import PHASES, NoGradients

NORMS = ("grad_norm", "proj_grad_norm")
_AT_ONCE = 4_000_000  # values that are float64 at a time: all of a large log would be gigabytes
IN_SET, OUTSIDE = "Rock Tokens", "other types"  # labels of in_set


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
            f"{SCORE}; a training by this program always logs it",
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


class Stacked(NamedTuple):
    """Shares by label at every logged step, so that areas can be stacked."""

    frame: pd.DataFrame  # label_shares
    labels: list[str]  # by falling share of the gradient at the last step

    def at_last_step(self, label: str) -> Any | None:
        """The row of one label at the last step; None where it has none."""
        frame = self.frame
        return next(
            frame[(frame.step == frame.step.max()) & (frame.label == label)].itertuples(), None
        )


def stacked(types: pd.DataFrame, about: pd.DataFrame, by: str) -> Stacked:
    """`type_shares` stacked by what is known of the types. `about`: token_id and the column `by`:
    category, class, or in_set, whose labels are IN_SET and OUTSIDE.
    """
    in_set = by == "in_set"
    labels = np.where(about[by], IN_SET, OUTSIDE) if in_set else about[by].to_numpy()
    frame = label_shares(
        types, pd.Series(labels, about.token_id), OUTSIDE if in_set else "not in the probe texts"
    )
    last = frame.loc[frame.step == frame.step.max()].sort_values("gradient_share", ascending=False)
    return Stacked(frame, [str(name) for name in last.label])


def named(frame: pd.DataFrame, names: pd.DataFrame, rock_ids: Collection[int]) -> pd.DataFrame:
    """A frame of types with shown (visible whitespace) and category, from the types of the same
    texts, and in_set; types without a name are left out.
    """
    known = frame.merge(names[["token_id", "shown", "category"]], on="token_id")
    return known.assign(in_set=known.token_id.isin(list(rock_ids)))


def at_step(
    types: pd.DataFrame, step: int, names: pd.DataFrame, rock_ids: Collection[int]
) -> pd.DataFrame:
    """`type_shares` of one step with names, by falling gradient: kl is the mean (nats), and
    of_tokens how many tokens the step has.
    """
    frame = named(types.loc[types.step == step], names, rock_ids)
    frame = frame.assign(kl=frame.kl / frame.n, of_tokens=frame.n.sum())
    return frame.sort_values("gradient", ascending=False, ignore_index=True)


def logged_steps(types: pd.DataFrame) -> list[int]:
    """The steps of `type_shares`, ascending."""
    return sorted(map(int, types.step.unique()))


def is_zero(types: pd.DataFrame, floor: float) -> bool:
    """Whether student and teacher agree: the mean kl of every type is at most `floor` nats, the
    rounding of the model's numbers, at every step of `type_shares`. False where kl is not logged.
    """
    return bool((types.kl / types.n <= floor).all())


def row_of(frame: pd.DataFrame, token_id: int) -> Any | None:
    """The row of one type, its columns as attributes; None where there is none."""
    return next(frame[frame.token_id == token_id].itertuples(), None)


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
    x = values[np.isfinite(values)]
    x.sort()
    n = len(x)
    at = np.unique(np.linspace(0, n, min(points, n + 1)).round().astype(int))
    held, total, ranked = np.zeros(len(at)), 0.0, 0.0
    for begin in range(0, n, _AT_ONCE):
        part = x[begin : begin + _AT_ONCE].astype(np.float64)
        end = begin + len(part)
        ranked += float((2.0 * np.arange(begin + 1, end + 1) - n - 1) @ part)
        part[0] += total
        so_far = np.cumsum(part, out=part)
        here = (at > begin) & (at <= end)
        held[here], total = so_far[at[here] - begin - 1], float(so_far[-1])
    if total <= 0:
        return Lorenz(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.0, n)
    return Lorenz(at / n, held / total, ranked / (n * total), n)


def inequality(
    run: Run, types: pd.DataFrame, table: str, norm: str, step: int
) -> dict[str, Lorenz]:
    """Lorenz curves of a gradient norm at one step, over token types (`type_shares`) and over
    tokens.
    """
    by_type = types.gradient[types.step == step].to_numpy()
    return {"token types": lorenz(by_type), "tokens": lorenz(run.values(table, step, norm))}


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


class ProjectionShare(NamedTuple):
    """How much of a step's time the vocabulary projections and the losses take."""

    share: float | None  # None where it was not measured
    steps: int  # that it was measured at


def projection_share(run: Run, phases: Iterable[str] = PHASES) -> ProjectionShare:
    """The part of a step that leaving positions out can shorten: the median over the steps that
    were followed by an update, of which the first is warm-up. `phases`: what counts as the step.
    """
    metrics = run.metrics().sort_values("step")
    trained = metrics[metrics.update_norm.notna() & metrics.projection_s.notna()]
    trained = trained.iloc[1:] if len(trained) > 1 else trained
    step_s = trained[list(phases)].sum(axis=1)
    share = float((trained.projection_s / step_s).median()) if len(trained) else None
    return ProjectionShare(share, len(trained))


def given_up(
    run: Run, token_ids: Iterable[int], table: str = "tokens", norm: str = "grad_norm"
) -> GivenUp:
    """Tokens, kl and gradient on these types, and the time that not training them could save.
    Raises NoGradients.

    A skipped position still has to be written and read, because later positions see it; what
    shrinks is its way through the vocabulary projections of both models, the loss, and back. Their
    time is measured in each step (`projection_s`), so the bound is their share of the step times
    the share of tokens skipped.
    """
    types = type_shares(run, table, norm)
    skipped = types[types.token_id.isin(list(token_ids))]
    share, steps = projection_share(run)
    tokens, of_tokens = int(skipped.n.sum()), int(types.n.sum())
    return GivenUp(
        tokens=tokens,
        of_tokens=of_tokens,
        kl=float(skipped.kl.sum()),
        of_kl=float(types.kl.sum()),
        gradient=float(skipped.gradient.sum()),
        of_gradient=float(types.gradient.sum()),
        projection_share=share,
        time_saved=None if share is None else share * tokens / max(of_tokens, 1),
        steps=steps,
    )
