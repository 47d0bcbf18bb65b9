"""The door from the Steps page to rockcore: one signal over the steps of a run, by position, token
type or category.

What has no value is NaN and stays so: a step that is not logged, a type that does not occur.
Nothing here turns a gap into a zero. Raises RockError where rockcore does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from app import words
from app.data import rocks, runs
from app.data.runs import RunKey
from rockcore.categories import categorize_all, sentence_marks, sentence_starts_of
from rockcore.schema import DamagedRun

SORTS = ("score", "class", "category", "slope", "frequency")
_CHOICES, _AROUND = 300, 12  # types offered by name; tokens of context beside an excerpt
_PER = 100  # updates; a slope per update is a number with too many zeros to read


class StepAxis(NamedTuple):
    """The steps of a run on one axis: those that are logged, and those that should be and are not."""

    steps: list[int]
    logged: list[bool]

    @property
    def missing(self) -> list[int]:
        return [s for s, there in zip(self.steps, self.logged, strict=True) if not there]


@dataclass(frozen=True)
class Surface:
    """A signal over rows (positions, types or categories) and steps."""

    values: np.ndarray  # (R, S) float32, NaN where there is no value
    names: list[str]  # R
    axis: StepAxis
    per: int = 1  # rows of the log in one row here

    @property
    def cells(self) -> int:
        return self.values.size


@dataclass(frozen=True)
class TypeSteps:
    """Means by token type over the steps of the texts of one source.

    `frame`, one row a type: token_id, shown, category, frequency (at the last logged step), score
    (Rock Score there, nats), first, last, change (of the signal), slope (per 100 updates),
    slope_steps (steps that the slope is fitted to).
    """

    frame: pd.DataFrame
    values: np.ndarray  # (V, S) float32
    counts: np.ndarray  # (V, S) int64
    axis: StepAxis


@st.cache_data(max_entries=64, show_spinner=False)
def step_axis(run: RunKey, source: str) -> StepAxis:
    """Every step at which `source` is logged or, by the run's own plan, should be.

    The plan is the run's log_every or probe_every; a log that does not name it is taken to have its
    commonest distance.
    """
    logged = runs.steps(run, source)
    if not logged:
        return StepAxis([], [])
    meta = runs.log(run).meta
    planned = meta.config.get("log_every" if source == "fresh" else "probe_every")
    if not isinstance(planned, int) or planned < 1:
        apart = Counter(b - a for a, b in zip(logged, logged[1:], strict=False))
        planned = apart.most_common(1)[0][0] if apart else 0
    last = max([*logged, *runs.log(run).steps("metrics")])
    steps = sorted({*logged, *(range(0, last + 1, planned) if planned else ())})
    return StepAxis(steps, [s in set(logged) for s in steps])


@st.cache_data(max_entries=16, show_spinner=False)
def positions(run: RunKey, source: str, rollout: int, signal: str) -> Surface:
    """A probe text: rows are its positions, named "position token"."""
    frame = runs.log(run).positions(source, rollout, signal)
    axis = step_axis(run, source)
    wide = frame.pivot(index="position", columns="step", values="value").reindex(columns=axis.steps)
    ids = frame.drop_duplicates("position").set_index("position").token_id.loc[wide.index]
    token_texts = _words(runs.log(run).vocab, pd.Index(ids.unique())).token
    return Surface(wide.to_numpy(np.float32), [words.visible(token_texts[i]) for i in ids], axis)


@st.cache_resource(max_entries=6, show_spinner="Reading the steps")
def types(run: RunKey, source: str, signal: str) -> TypeSteps:
    """Every token type that occurs in the texts of `source`, by falling score."""
    opened, axis = runs.log(run), step_axis(run, source)
    table = runs.table(source)
    losses = opened.type_means(table, "sampled_loss" if opened.meta.estimator == "absent" else "kl")
    means = (
        losses
        if signal == "kl" and opened.meta.estimator != "absent"
        else opened.type_means(table, signal)
    )
    values, counts, loss = (
        f.pivot(index="token_id", columns="step", values=column)
        .sort_index()
        .reindex(columns=axis.steps)
        for f, column in ((means, "mean"), (means, "n"), (losses, "mean"))
    )
    last = max(s for s, there in zip(axis.steps, axis.logged, strict=True) if there)
    n = counts.fillna(0).astype(int)
    token_texts = _words(opened.vocab, values.index)
    ends = _ends(values.to_numpy(), axis)
    slope, fitted = slopes(axis.steps, values.to_numpy())
    frame = pd.DataFrame(
        {
            "token_id": values.index,
            "shown": [words.visible(t) for t in token_texts.token],
            "category": categorize_all(
                token_texts.token,
                token_texts.special,
                _mostly_open(run, source, token_texts.index),
                opened.category_rules,
            ),
            "frequency": n[last].to_numpy(),
            "score": (loss[last] * n[last]).fillna(0.0).to_numpy(),
            **ends,
            "slope": slope * _PER,
            "slope_steps": fitted,
        }
    )
    order = np.lexsort((frame.token_id, -frame.score))
    return TypeSteps(
        frame.iloc[order].reset_index(drop=True),
        values.to_numpy(np.float32)[order],
        n.to_numpy()[order],
        axis,
    )


def _words(vocab: pd.DataFrame, ids: pd.Index) -> pd.DataFrame:
    unknown = ids.difference(pd.Index(vocab.token_id))
    if len(unknown):
        raise DamagedRun(
            f"vocab.parquet lacks {len(unknown)} ids, e.g. {unknown[:5].tolist()}",
            "These tokens have no text",
            "Import the run again with its own tokenizer",
        )
    return vocab.set_index("token_id").loc[ids]


def _ends(values: np.ndarray, axis: StepAxis) -> dict[str, np.ndarray]:
    """First and last logged step, and what lies between them; NaN where a row has no value there."""
    at = np.flatnonzero(axis.logged)
    return {
        "first": values[:, at[0]],
        "last": values[:, at[-1]],
        "change": values[:, at[-1]] - values[:, at[0]],
    }


def _mostly_open(run: RunKey, source: str, ids: pd.Index) -> np.ndarray | None:
    """(V,) whether a type opens a sentence in at least half of its occurrences; None for fresh
    texts, whose steps differ.
    """
    rollouts = [] if source == "fresh" else runs.log(run).probe_ids(source)
    if not rollouts:
        return None
    vocab = runs.log(run).vocab
    marks = np.zeros(int(vocab.token_id.max()) + 1, np.int8)
    marks[vocab.token_id] = sentence_marks(vocab.token.tolist())
    tokens = np.concatenate([np.array(r, int) for r in rollouts])
    first = np.zeros(len(tokens), bool)
    first[np.cumsum([0, *(len(r) for r in rollouts[:-1])])] = True
    opens = sentence_starts_of(tokens, first, marks)
    size = len(marks)
    return (2 * np.bincount(tokens[opens], minlength=size) >= np.bincount(tokens, minlength=size))[
        ids.to_numpy()
    ]


def slopes(steps: Sequence[int], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares slope of each row of `values` (R, S) over `steps`, per update, and how many
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


@st.cache_data(max_entries=16, show_spinner=False)
def categories(run: RunKey, source: str, signal: str) -> tuple[Surface, np.ndarray]:
    """Mean by category over all tokens of its types, and (C, S) how many they are; the commonest
    category first.
    """
    by_type = types(run, source, signal)
    kinds, which = np.unique(by_type.frame.category, return_inverse=True)
    there = np.isfinite(by_type.values)
    sums, n = np.zeros((2, len(kinds), len(by_type.axis.steps)))
    np.add.at(sums, which, np.where(there, by_type.values.astype(float) * by_type.counts, 0.0))
    np.add.at(n, which, np.where(there, by_type.counts, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums / n).astype(np.float32)
    order = np.argsort(-n.max(1), kind="stable")
    return Surface(means[order], kinds[order].tolist(), by_type.axis), n[order].astype(int)


def category_table(run: RunKey, source: str, signal: str, step: int) -> pd.DataFrame:
    """category, tokens (at the cursor), first, cursor, last, change, slope, slope_steps."""
    surface, n = categories(run, source, signal)
    values, at = surface.values, surface.axis.steps.index(step)
    slope, fitted = slopes(surface.axis.steps, values)
    columns = {
        "category": surface.names,
        "tokens": n[:, at],
        "cursor": values[:, at],
        **_ends(values, surface.axis),
    }
    return pd.DataFrame({**columns, "slope": slope * _PER, "slope_steps": fitted})


def position_table(surface: Surface, step: int, span: tuple[int, int] | None) -> pd.DataFrame:
    """The positions of a span (None: all): position, shown, first, cursor, last, change."""
    low, high = span or (0, len(surface.names) - 1)
    part = slice(low, high + 1)
    values = surface.values[part]
    columns = {"position": np.arange(low, low + len(values)), "shown": surface.names[part]}
    return pd.DataFrame(
        {
            **columns,
            "cursor": values[:, surface.axis.steps.index(step)],
            **_ends(values, surface.axis),
        }
    )


class NoSpan(ValueError):
    """A text that names no span of positions."""


def span_of(text: str, length: int) -> tuple[int, int] | None:
    """The first and last position that "12-40" or "12" names, cut to the text; None for an empty
    text. Raises NoSpan.
    """
    if not text.strip():
        return None
    found = re.fullmatch(r"\s*(\d{1,9})(?:\s*[-–]\s*(\d{1,9}))?\s*", text)
    low, high = sorted(int(x) for x in (found[1], found[2] or found[1])) if found else (0, -1)
    if not found or low >= length:
        raise NoSpan(
            f"“{text}” names no positions of this text: they run from 0 to {length - 1}, such as "
            "12-40."
        )
    return low, min(high, length - 1)


def classes(run: RunKey, rule: rocks.RockRule) -> pd.DataFrame:
    """token_id, class, in_set under a rule. Raises RockError where no detection is possible."""
    return rocks.table(run, rule).loc[:, ["token_id", "class", "in_set"]]


def arranged(
    by_type: TypeSteps,
    chosen: Sequence[int] | None,
    top: int,
    sort: str,
    known: pd.DataFrame | None,
) -> pd.DataFrame:
    """The rows of `by_type.frame` that are shown, in their order; the index says which rows of
    `values` they are.

    `chosen`: token ids (None: all); of these the `top` by score are taken. `known`: what `classes`
    gave, for the column and the order of classes; without it they sort by score.
    """
    frame = by_type.frame
    frame = frame.loc[frame.token_id.isin(frame.token_id if chosen is None else chosen)].head(top)
    if known is not None:
        named = known.set_index("token_id")["class"].reindex(frame.token_id)
        frame = frame.assign(**{"class": named.fillna("not judged").to_numpy()})
    if sort == "class" and "class" in frame:
        rank = {name: i for i, name in enumerate(rocks.CLASSES)}
        return frame.take(
            np.argsort([rank.get(c, len(rank)) for c in frame["class"]], kind="stable")
        )
    if sort == "category":
        return frame.sort_values("category", kind="stable")
    if sort in ("slope", "frequency"):
        return frame.sort_values(sort, ascending=False, kind="stable")
    return frame


def in_set(known: pd.DataFrame) -> list[int]:
    return known.token_id[known.in_set].tolist()


def spans_of(rows: pd.DataFrame, picked: Sequence[int]) -> list[tuple[int, int]]:
    """Where the picked types stand among `rows`: the first and last row of each run of neighbours."""
    at = np.flatnonzero(rows.token_id.isin(picked))
    parts = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) if len(at) else []
    return [(int(part[0]), int(part[-1])) for part in parts]


def offered(by_type: TypeSteps, asked: str) -> dict[str, str]:
    """Id, as text, -> name of the types that can be picked by hand: those of the highest score, and
    those that are asked for.
    """
    frame = by_type.frame
    named = frame.token_id.astype(str).isin(asked.split(","))
    part = frame[named | (np.arange(len(frame)) < _CHOICES)]
    return {str(i): f"{shown} · id {i}" for i, shown in zip(part.token_id, part.shown, strict=True)}


def excerpt(surface: Surface, span: tuple[int, int]) -> str:
    """The selected tokens in their text, whitespace made visible."""
    low, high = span
    before, inside, after = (
        surface.names[max(0, low - _AROUND) : low],
        surface.names[low : high + 1],
        surface.names[high + 1 :][:_AROUND],
    )
    return f"{'…' if low > _AROUND else ''}{''.join(before)} ⟦{''.join(inside)}⟧ {''.join(after)}…".replace(
        "␣", " "
    )


def type_table(
    by_type: TypeSteps, rows: pd.DataFrame, step: int, picked: Sequence[int]
) -> pd.DataFrame:
    """`rows`, or those of `picked` among them, with tokens and cursor: how often, and the value, at
    the cursor's step.
    """
    at = by_type.axis.steps.index(step)
    frame = rows.assign(
        tokens=by_type.counts[rows.index, at], cursor=by_type.values[rows.index, at]
    )
    return frame.loc[frame.token_id.isin(picked)] if picked else frame


def surface_of(by_type: TypeSteps, rows: pd.DataFrame) -> Surface:
    return Surface(by_type.values[rows.index], rows.shown.tolist(), by_type.axis)


def binned(surface: Surface, most: int) -> Surface:
    """At most about `most` cells: neighbouring rows as their mean, over those that have a value.
    Steps are kept apart.
    """
    rows, steps = surface.values.shape
    per = -(-surface.cells // most) if surface.cells > most else 1
    if per == 1:
        return surface
    starts = np.arange(0, rows, per)
    there = np.isfinite(surface.values)
    n = np.add.reduceat(there, starts, axis=0, dtype=int)
    with np.errstate(invalid="ignore"):
        means = np.add.reduceat(np.where(there, surface.values, 0.0), starts, axis=0) / n
    names = [f"{surface.names[a]} … {surface.names[min(a + per, rows) - 1]}" for a in starts]
    return replace(
        surface, values=np.where(n > 0, means, np.nan).astype(np.float32), names=names, per=per
    )


def steadily_high(surface: Surface, scale: runs.Scale) -> tuple[int, float] | None:
    """How many rows stay, at every logged step, at or above the 0.90 quantile of the run (of
    |value| where signed), and it.
    """
    if 0.9 not in scale.quantiles:
        return None
    edge = max(e for e, q in zip(scale.edges, scale.quantiles, strict=True) if q == 0.9)
    values = surface.values[:, surface.axis.logged]
    return int(((np.abs(values) if scale.signed else values) >= edge).all(1).sum()), edge
