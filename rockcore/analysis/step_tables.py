"""What is shown of a signal over steps: which rows, in what order, beside which numbers, and the
span of positions that a person picked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from rockcore.analysis.signals import USUAL, Scale
from rockcore.analysis.steps import (
    PER,
    CategorySteps,
    StepAxis,
    Surface,
    TypeSteps,
    ends,
    slopes,
)
from rockcore.rocks.change import CLASSES

SORTS = ("score", "class", "category", "slope", "frequency")
_OFFERED, _AROUND = 300, 12  # types offered by name; tokens of context beside an excerpt


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


def excerpt(surface: Surface, span: tuple[int, int]) -> str:
    """The selected tokens in their text, whitespace made visible."""
    low, high = span
    before = "".join(surface.names[max(0, low - _AROUND) : low])
    inside = "".join(surface.names[low : high + 1])
    after = "".join(surface.names[high + 1 :][:_AROUND])
    return f"{'…' if low > _AROUND else ''}{before} ⟦{inside}⟧ {after}…".replace("␣", " ")


def position_table(surface: Surface, step: int, span: tuple[int, int] | None) -> pd.DataFrame:
    """The positions of a span (None: all): position, shown, first, cursor, last, change."""
    low, high = span or (0, len(surface.names) - 1)
    part = slice(low, high + 1)
    values = surface.values[part]
    columns = {
        "position": np.arange(low, low + len(values)),
        "shown": surface.names[part],
        "cursor": values[:, surface.axis.steps.index(step)],
    }
    return pd.DataFrame({**columns, **ends(values, surface.axis)})


def category_table(by_category: CategorySteps, step: int) -> pd.DataFrame:
    """category, tokens (at the cursor), first, cursor, last, change, slope, slope_steps."""
    surface, n = by_category
    values, at = surface.values, surface.axis.steps.index(step)
    slope, fitted = slopes(surface.axis.steps, values)
    columns = {
        "category": surface.names,
        "tokens": n[:, at],
        "cursor": values[:, at],
        **ends(values, surface.axis),
    }
    return pd.DataFrame({**columns, "slope": slope * PER, "slope_steps": fitted})


def arranged(
    by_type: TypeSteps,
    chosen: Sequence[int] | None,
    top: int,
    sort: str,
    known: pd.DataFrame | None,
) -> pd.DataFrame:
    """The rows of `by_type.frame` that are shown, in their order; the index says which rows of
    `values` they are.

    `chosen`: token ids (None: all); of these the `top` by score are taken. `known`: token_id and
    class, for the column and the order of classes; without it they sort by score.
    """
    frame = by_type.frame
    frame = frame.loc[frame.token_id.isin(frame.token_id if chosen is None else chosen)].head(top)
    if known is not None:
        named = known.set_index("token_id")["class"].reindex(frame.token_id)
        frame = frame.assign(**{"class": named.fillna("not judged").to_numpy()})
    if sort == "class" and "class" in frame:
        rank = {name: i for i, name in enumerate(CLASSES)}
        at = [rank.get(name, len(rank)) for name in frame["class"]]
        return frame.take(np.argsort(at, kind="stable"))
    if sort == "category":
        return frame.sort_values("category", kind="stable")
    if sort in ("slope", "frequency"):
        return frame.sort_values(sort, ascending=False, kind="stable")
    return frame


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


def with_factors(table: pd.DataFrame, key: str, factors: pd.DataFrame) -> pd.DataFrame:
    """`table` with factor, low, high of each row, by its column `key`; NaN where not told."""
    found = factors.reindex(table[key])
    return table.assign(**{name: found[name].to_numpy(float) for name in ("factor", "low", "high")})


def columns_of(columns: Sequence[str], axis: StepAxis, step: int) -> list[str]:
    """Of a table's columns those that say something of their own: a cursor on the first or last
    logged step is that step, and one step has no change.
    """
    logged = [s for s, there in zip(axis.steps, axis.logged, strict=True) if there]
    gone = {"cursor"} if step in (logged[0], logged[-1]) else set()
    if len(logged) == 1:
        gone |= {"last", "change", "slope", "slope_steps", "factor", "low", "high"}
    return [name for name in columns if name not in gone]


def in_set(known: pd.DataFrame) -> list[int]:
    """The ids of the Rock Tokens among judged types: token_id, in_set."""
    return known.token_id[known.in_set].tolist()


def spans_of(rows: pd.DataFrame, picked: Sequence[int]) -> list[tuple[int, int]]:
    """Where picked types stand among `rows`: the first and last of each run of neighbours."""
    at = np.flatnonzero(rows.token_id.isin(picked))
    parts = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) if len(at) else []
    return [(int(part[0]), int(part[-1])) for part in parts]


def offered(by_type: TypeSteps, asked: Sequence[str]) -> dict[str, str]:
    """Id, as text, -> name of the types that can be picked by hand: those of the highest score, and
    those that are asked for.
    """
    frame = by_type.frame
    named = frame.token_id.astype(str).isin(asked)
    part = frame[named | (np.arange(len(frame)) < _OFFERED)]
    return {str(i): f"{shown} · id {i}" for i, shown in zip(part.token_id, part.shown, strict=True)}


def surface_of(by_type: TypeSteps, rows: pd.DataFrame) -> Surface:
    """`rows` of these types, as `arranged` gives them."""
    return Surface(by_type.values[rows.index], rows.shown.tolist(), by_type.axis)


def binned(surface: Surface, most: int) -> Surface:
    """At most about `most` cells: neighbouring rows as their mean, over those that have a value.
    Steps are kept apart.
    """
    rows, _ = surface.values.shape
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


def steadily_high(surface: Surface, scale: Scale) -> tuple[int, float] | None:
    """How many rows stay, at every logged step, at or above the 0.90 quantile of the run (of
    |value| where signed), and it; None where the scale has no such quantile.
    """
    edge = scale.at(USUAL)
    if edge is None:
        return None
    values = surface.values[:, surface.axis.logged]
    return int(((np.abs(values) if scale.signed else values) >= edge).all(1).sum()), edge
