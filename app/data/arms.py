"""Comparisons of arms, cached by the state of their files: what the page Arms shows.

Raises RockError where rockcore does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app.components.token_pane import parts
from app.data import runs
from app.work import kept
from rockcore.analysis import arms, arms_texts
from rockcore.analysis.arms_texts import WEIGHT_SCALE
from rockcore.categories import RULES, categories_of
from rockcore.log import comparisons, sample_runs
from rockcore.log.arms import BASELINE, find_arms
from rockcore.log.comparisons import Comparison

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BASELINE", "WEIGHT_SCALE", "Comparison"]


class ArmsKey(NamedTuple):
    """A comparison in one state of its files."""

    path: str
    fingerprint: str


def offered() -> dict[str, str]:
    """Name -> path of the comparisons in the places where runs are looked for, and of the bundled
    ones.
    """
    found = find_arms([*runs.places(sys.argv[1:]), sample_runs()])
    names = [path.name for path in found]
    return {str(p) if names.count(p.name) > 1 else p.name: str(p) for p in found}


def looked_in() -> list[Path]:
    """Where comparisons are looked for."""
    return runs.places(sys.argv[1:])


def key(path: str) -> ArmsKey:
    return ArmsKey(path, comparisons.fingerprint(path))


@kept
def comparison(of: ArmsKey) -> Comparison:
    """What was worked out of the runs. Raises NotCompared where that was not done yet."""
    return comparisons.read(of.path)


@kept
def tests(of: ArmsKey) -> pd.DataFrame:
    """The tests against the baseline, spelled out: analysis.arms.spelled_tests."""
    return arms.spelled_tests(comparison(of).tests)


def by_arm(of: ArmsKey, table: str, **where: Any) -> dict[str, pd.DataFrame]:
    """The rows of a table by arm, in the order of the plan; `where`: what their columns have to
    be. Arms without a row are left out.
    """
    found = comparison(of)
    frame = found.tables[table]
    for column, value in where.items():
        frame = frame.loc[frame[column] == value]
    rows = {arm: frame.loc[frame.arm == arm] for arm in found.plan.arms}
    return {arm: frame for arm, frame in rows.items() if len(frame)}


def rollouts(of: ArmsKey) -> list[int]:
    """The texts that are kept of each arm."""
    return comparison(of).prompts.rollout_id.tolist()


class LeftOut(NamedTuple):
    """A text of an arm for the text pane, coloured by what its training made of each token."""

    seed: int
    step: int
    tokens: int
    left_out: int
    lighter: int
    heavier: int
    text: parts.TextPart
    values: parts.ValuesPart


def categories() -> list[str]:
    """The names that the categories of a text count through."""
    return list(categories_of(RULES))


@kept
def text(of: ArmsKey, arm: str, rollout: int) -> LeftOut | None:
    """One of the kept texts; None where there is none of this arm."""
    found = arms_texts.written(comparison(of), arm, rollout)
    if found is None:
        return None
    name = f"{of.path} {arm} {rollout}"
    names = list(dict.fromkeys([*categories(), *found.text.categories]))
    return LeftOut(
        found.seed,
        found.step,
        len(found.text.tokens),
        found.left_out,
        found.lighter,
        found.heavier,
        parts.text_part(name, found.text, names, []),
        parts.values_part(name, found.step, found.readings, [], with_kl=True),
    )
