"""One signal over the steps of a run, by position, token type or category.

What has no value is NaN and stays so: a step that is not logged, a type that does not occur.
Nothing here turns a gap into a zero. Axes: T positions, K types, C categories, S steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore.categories import categorize_all
from rockcore.categories.places import Places, usual_places
from rockcore.log import Run
from rockcore.rocks.ranking import NothingLogged
from rockcore.schema import DamagedRun, Texts
from rockcore.spelling import visible

PER = 100  # updates; a slope per update is a number with too many zeros to read
_MOST_STEPS = 20_000  # of a plan: beyond, gaps are not looked for


class StepAxis(NamedTuple):
    """The steps of a run on one axis: those that are logged, and those that should be."""

    steps: list[int]
    logged: list[bool]

    @property
    def missing(self) -> list[int]:
        return [s for s, there in zip(self.steps, self.logged, strict=True) if not there]


@dataclass(frozen=True)
class Surface:
    """A signal over rows (positions, types or categories) and steps."""

    values: np.ndarray  # (rows, S) float32, NaN where there is no value
    names: list[str]  # one a row, whitespace made visible
    axis: StepAxis
    per: int = 1  # rows of the log in one row here

    @property
    def cells(self) -> int:
        return self.values.size


@dataclass(frozen=True)
class TypeSteps:
    """Means by token type over the steps of one kind of texts.

    `frame`, one row a type: token_id, shown, category, frequency (at the last logged step), score
    (Rock Score there, nats; Σ sampled_loss without kl, NaN without either), first, last, change
    (of the signal), slope (per 100 updates), slope_steps (steps that the slope is fitted to).
    """

    frame: pd.DataFrame
    values: np.ndarray  # (K, S) float32
    counts: np.ndarray  # (K, S) int64
    axis: StepAxis


class CategorySteps(NamedTuple):
    """Means by category over all tokens of its types, and how many they are."""

    surface: Surface  # C rows
    counts: np.ndarray  # (C, S) int64


def step_axis(run: Run, texts: Texts) -> StepAxis:
    """Every step at which `texts` are logged or, by the run's own plan, should be.

    The plan is the run's log_every or probe_every; a log that does not name it is taken to have its
    commonest distance, from its first step on: another program may begin to count anywhere.
    """
    logged = run.steps(texts.table)
    if not logged:
        return StepAxis([], [])
    last = max([*logged, *run.steps("metrics")])
    first, planned = _planned(run, texts, logged)
    plan = range(first, last + 1, planned) if planned > 0 and last < planned * _MOST_STEPS else ()
    steps = sorted({*logged, *plan})
    there = set(logged)
    return StepAxis(steps, [s in there for s in steps])


def _planned(run: Run, texts: Texts, logged: list[int]) -> tuple[int, int]:
    """The first step that should be logged, and updates from one to the next; 0 of them where
    nobody knows.
    """
    name = "log_every" if texts is Texts.FRESH else "probe_every"
    config = run.meta.config  # of a foreign log it may be anything that JSON can say
    planned = config.get(name) if isinstance(config, dict) else None
    if isinstance(planned, int) and not isinstance(planned, bool) and planned >= 1:
        return 0, planned
    apart = Counter(b - a for a, b in zip(logged, logged[1:], strict=False))
    return logged[0], apart.most_common(1)[0][0] if apart else 0


def positions(run: Run, texts: Texts, rollout: int, signal: str) -> Surface:
    """A probe text: rows are its positions, named by their tokens. Raises DamagedRun."""
    frame = run.positions(texts.value, rollout, signal)
    axis = step_axis(run, texts)
    if frame.duplicated(["position", "step"]).any():
        raise DamagedRun(
            f"{run.path.name} logs a position of rollout {rollout} twice at one step",
            "It cannot be told which of the values counts",
            "Copy the probe files from a backup, or train or import the run again",
        )
    wide = frame.pivot(index="position", columns="step", values="value").reindex(columns=axis.steps)
    ids = frame.drop_duplicates("position").set_index("position").token_id.loc[wide.index]
    named = _spelled(run.vocab, pd.Index(ids.unique())).token
    return Surface(wide.to_numpy(np.float32), [visible(named[i]) for i in ids], axis)


def types(run: Run, texts: Texts, signal: str) -> TypeSteps:
    """Every token type that occurs in `texts`, by falling score, or by falling frequency where no
    loss is logged.

    Raises NothingLogged where no step of them is logged, DamagedRun where a token has no text.
    """
    axis = step_axis(run, texts)
    if not axis.steps:
        raise NothingLogged(
            f"{run.path.name} has logged no {texts.phrase}",
            "There is nothing to follow over the steps",
            "Choose other texts, or wait for the first step",
        )
    known = run.holdings().loss_of(texts)
    column = known or "kl"
    losses = run.type_means(texts.table, column)
    means = losses if signal == column else run.type_means(texts.table, signal)
    values, counts, loss = (
        f.pivot(index="token_id", columns="step", values=name)
        .sort_index()
        .reindex(columns=axis.steps)
        for f, name in ((means, "mean"), (means, "n"), (losses, "mean"))
    )
    n = counts.fillna(0).astype(int)
    last = max(s for s, there in zip(axis.steps, axis.logged, strict=True) if there)
    slope, fitted = slopes(axis.steps, values.to_numpy())
    frame = pd.DataFrame(
        {
            "token_id": values.index,
            **_named_types(run, texts, values.index),
            "frequency": n[last].to_numpy(),
            "score": (loss[last] * n[last]).fillna(0.0 if known else np.nan).to_numpy(),
            **ends(values.to_numpy(), axis),
            "slope": slope * PER,
            "slope_steps": fitted,
        }
    )
    order = np.lexsort((frame.token_id, -frame.score if known else -frame.frequency))
    return TypeSteps(
        frame.iloc[order].reset_index(drop=True),
        values.to_numpy(np.float32)[order],
        n.to_numpy()[order],
        axis,
    )


def categories(by_type: TypeSteps) -> CategorySteps:
    """The categories of these types, the commonest first. A type counts in one category."""
    kinds, which = np.unique(by_type.frame.category, return_inverse=True)
    there = np.isfinite(by_type.values)
    sums, n = np.zeros((2, len(kinds), len(by_type.axis.steps)))
    np.add.at(sums, which, np.where(there, by_type.values.astype(float) * by_type.counts, 0.0))
    np.add.at(n, which, np.where(there, by_type.counts, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums / n).astype(np.float32)
    order = np.argsort(-n.max(1), kind="stable")
    surface = Surface(means[order], kinds[order].tolist(), by_type.axis)
    return CategorySteps(surface, n[order].astype(int))


def slopes(steps: Sequence[int], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares slope of each row of `values` (rows, S) over `steps`, per update, and how many
    steps it rests on.

    Steps without a value are left out of their row; NaN where fewer than two remain. Steps weigh
    alike, whatever n stands behind their mean.
    """
    there = np.isfinite(values)
    n = there.sum(1)
    x = np.where(there, np.asarray(steps, float), 0.0)
    y = np.where(there, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = x.sum(1) / n, y.sum(1) / n
        dx = np.where(there, x - mean_x[:, None], 0.0)
        slope = (dx * (y - mean_y[:, None])).sum(1) / (dx**2).sum(1)
    return np.where(n >= 2, slope, np.nan), n


def ends(values: np.ndarray, axis: StepAxis) -> dict[str, np.ndarray]:
    """first, last: values (rows, S) at the first and last logged step; change between them; NaN
    where a row has no value there.
    """
    at = np.flatnonzero(axis.logged)
    first, last = values[:, at[0]], values[:, at[-1]]
    return {"first": first, "last": last, "change": last - first}


def _named_types(run: Run, texts: Texts, ids: pd.Index) -> dict[str, list[str]]:
    """shown and category of each type."""
    tokens = _spelled(run.vocab, ids)
    places = _usual_places(run, texts)
    opens, joins = (None if each is None else each[ids.to_numpy()] for each in places)
    kinds = categorize_all(
        tokens.token,
        tokens.special,
        opens,
        run.category_rules,
        joins,
    )
    return {"shown": [visible(t) for t in tokens.token], "category": kinds}


def _spelled(vocab: pd.DataFrame, ids: pd.Index) -> pd.DataFrame:
    unknown = ids.difference(pd.Index(vocab.token_id))
    if len(unknown):
        raise DamagedRun(
            f"vocab.parquet lacks {len(unknown)} ids, e.g. {unknown[:5].tolist()}",
            "These tokens have no text",
            "Import the run again with its own tokenizer",
        )
    return vocab.set_index("token_id").loc[ids]


def _usual_places(run: Run, texts: Texts) -> Places | tuple[None, None]:
    """Where a type mostly stands, (V,); None for fresh texts, whose steps differ."""
    if texts.probe_set is None:
        return None, None
    tokens, first = run.probe_tokens(texts.probe_set)
    if not len(tokens):
        return None, None
    return usual_places(tokens, first, run.vocab.token_id.to_numpy(), run.vocab.token)
