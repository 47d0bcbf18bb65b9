"""What the page is about: the Rock Tokens of a run under a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app import data

if TYPE_CHECKING:
    import pandas as pd


class Found(NamedTuple):
    """The answer of a run under a rule."""

    run: data.runs.RunKey
    facts: data.runs.Course
    rule: data.rocks.RockRule
    report: data.rocks.RockReport
    types: pd.DataFrame  # a row a token type, the best first, as it is shown


def find(run: data.runs.RunKey, facts: data.runs.Course, rule: data.rocks.RockRule) -> Found:
    """Raises RockError where the rule cannot be tried on the run."""
    report, types = data.rocks.found(run, rule).report, data.rocks.table(run, rule)
    return Found(run, facts, rule, report, data.knockouts.beside(run, types))
