"""One signal over the steps of a run, for the page Steps and whatever else follows types through
training: rockcore's answers, cached.

Raises RockError where rockcore does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.data import rocks, runs
from app.data.runs import RunKey
from app.work import kept, kept_saying
from rockcore.analysis import step_changes, steps
from rockcore.analysis.step_changes import Change, Changes, ratio_scale, ratios
from rockcore.analysis.step_tables import (
    SORTS,
    NoSpan,
    arranged,
    binned,
    category_table,
    columns_of,
    excerpt,
    in_set,
    offered,
    position_table,
    span_of,
    spans_of,
    steadily_high,
    surface_of,
    type_table,
    with_factors,
)
from rockcore.analysis.steps import CategorySteps, StepAxis, Surface, TypeSteps
from rockcore.schema import Texts

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SORTS",
    "CategorySteps",
    "Change",
    "Changes",
    "NoSpan",
    "StepAxis",
    "Surface",
    "TypeSteps",
    "arranged",
    "binned",
    "categories",
    "category_table",
    "changes",
    "classes",
    "columns_of",
    "excerpt",
    "in_set",
    "offered",
    "position_table",
    "positions",
    "ratio_scale",
    "ratios",
    "span_of",
    "spans_of",
    "steadily_high",
    "step_axis",
    "surface_of",
    "type_table",
    "types",
    "with_factors",
]


@kept
def step_axis(run: RunKey, source: str) -> StepAxis:
    """The steps of these texts, and those that should be logged and are not."""
    return steps.step_axis(runs.log(run), Texts(source))


@kept
def positions(run: RunKey, source: str, rollout: int, signal: str) -> Surface:
    """A probe text: rows are its positions, named by their tokens."""
    return steps.positions(runs.log(run), Texts(source), rollout, signal)


@kept_saying("Reading the steps")
def types(run: RunKey, source: str, signal: str) -> TypeSteps:
    """Every token type that occurs in these texts, by falling score."""
    return steps.types(runs.log(run), Texts(source), signal)


@kept
def categories(run: RunKey, source: str, signal: str) -> CategorySteps:
    """The categories of these types, the commonest first."""
    return steps.categories(types(run, source, signal))


def changes(run: RunKey, source: str, signal: str, frame: pd.DataFrame, by: str) -> Changes:
    """How the types of `frame` changed from the first to the last step, in rows `by` one of its
    columns, and all together: step_changes.changes.
    """
    ids, rows = tuple(frame.token_id.tolist()), tuple(frame[by].tolist())
    return _changes(run, source, signal, ids, rows)


@kept
def _changes(
    run: RunKey, source: str, signal: str, ids: tuple[int, ...], rows: tuple[int | str, ...]
) -> Changes:
    return step_changes.changes(runs.log(run), Texts(source), signal, ids, rows)


def classes(run: RunKey, rule: rocks.RockRule) -> pd.DataFrame:
    """token_id, class, in_set under a rule. Raises RockError where no detection is possible."""
    return rocks.table(run, rule).loc[:, ["token_id", "class", "in_set"]]
