"""What the page Learn shows of a run, cached: rockcore's answers.

Raises RockError where rockcore does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from app.data import knockouts, rocks, runs
from app.data.runs import RunKey
from app.work import kept, kept_saying
from rockcore.analysis import lessons, lessons_course, lessons_null
from rockcore.analysis.lessons import Draws, Occurrence, OneSample
from rockcore.analysis.lessons_null import Deals, NoEffect, NothingHard, NothingLearned, Rejections
from rockcore.log import sample_runs
from rockcore.schema import RockError, Texts
from rockcore.spelling import visible
from rockcore.stats import MeanOfTokens

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MeanOfTokens", "Occurrence", "Texts"]

ROCKS, OTHERS, ALL = lessons_course.ROCKS, lessons_course.OTHERS, lessons_course.ALL


@kept_saying("Looking for a token to show")
def occurrence(run: RunKey, rule: rocks.RockRule) -> Occurrence:
    """The occurrence that the lesson is about. Raises NothingToDraw."""
    return lessons.chosen(rocks.found(run, rule))


def draws(at: Occurrence, seed: int) -> Draws:
    """Tokens drawn from the student there."""
    return lessons.draw(at, seed=seed)


@kept
def over_steps(run: RunKey, rule: rocks.RockRule) -> pd.DataFrame:
    """The occurrence under the student of each step: lessons.over_steps."""
    return lessons.over_steps(runs.log(run), occurrence(run, rule))


@kept
def one_sample(run: RunKey) -> OneSample | None:
    """How often the loss of a sampled token is negative; None where it is not logged."""
    return lessons.one_sample(runs.log(run))


@kept
def twice(run: RunKey, rule: rocks.RockRule, seed: int) -> NothingLearned:
    """One student called early and late. Raises TooFewTexts."""
    return lessons_null.same_student_twice(rocks.found(run, rule), seed)


@kept_saying("Dealing the texts many times")
def deals(run: RunKey, rule: rocks.RockRule) -> Deals:
    """The same, many times. Raises TooFewTexts."""
    return lessons_null.deals(rocks.found(run, rule))


@kept
def dealt_anew(run: RunKey, rule: rocks.RockRule, seed: int) -> NothingHard:
    """The shares of rocks where losses are shuffled over the tokens."""
    return lessons_null.losses_dealt_anew(rocks.found(run, rule), seed)


@kept
def shared_baseline(seed: int) -> NoEffect:
    """A simulated screen in which no ban does anything."""
    return lessons_null.shared_baseline(seed)


@kept
def rejections() -> Rejections:
    """How often either test of such screens is wrong."""
    return lessons_null.rejections()


@kept
def course(run: RunKey, rule: rocks.RockRule) -> pd.DataFrame:
    """The set and all other tokens over the steps: lessons_course.course_of_set."""
    return lessons_course.course_of_set(rocks.found(run, rule))


def _bundled(name: str) -> str:
    return os.path.realpath(sample_runs() / name)


def samples() -> dict[str, RunKey]:
    """The bundled run of each scenario, as far as they are there."""
    found = {}
    for name in runs.SCENARIOS:
        try:
            found[name] = runs.key(_bundled(name))
        except RockError:
            continue
    return found


def offered_sample(run: RunKey) -> str:
    """The name by which the sidebar offers the bundled run that shows all of the lessons; empty
    where it does not, or where it is open.
    """
    path = _bundled("habit")
    names = [name for name, at in runs.offered().items() if at == path]
    return names[0] if names and run.path != path else ""


def name_of(run: RunKey) -> str:
    """The name by which the sidebar offers a run; empty where it does not."""
    return next((name for name, at in runs.offered().items() if at == run.path), "")


def screened_rock(run: RunKey, rule: rocks.RockRule) -> str:
    """The key of a screened type of the set, or of any candidate; empty where there is no
    screen.
    """
    try:
        of = knockouts.key(run)
        if of is None:
            return ""
        screened = {c.token_id: c.key for c in knockouts.screen(of).finished if c.kind == "token"}
        return next(
            (screened[i] for i in rocks.found(run, rule).report.ids if i in screened),
            next(iter(screened.values()), ""),
        )
    except RockError:
        return ""


class KnockedOut(NamedTuple):
    """What the ban of a type of the set did."""

    name: str
    verdict: str  # Pillar, neutral, stumbling, undecided
    delta: float
    low: float
    high: float


def knocked_out(run: RunKey, rule: rocks.RockRule) -> list[KnockedOut]:
    """The types of the set that a screen has knocked out alone, the best first."""
    of = knockouts.key(run)
    if of is None or not knockouts.progress(of).done:
        return []
    tokens = knockouts.examined(of).by_token
    by_id = {row["token_id"]: row for row in tokens.to_dict("records")}
    return [
        KnockedOut(
            visible(str(by_id[i]["token"])),
            knockouts.SHORT[by_id[i]["verdict"]],
            *(float(by_id[i][name]) for name in ("delta", "low", "high")),
        )
        for i in rocks.found(run, rule).report.ids
        if i in by_id
    ]


class Fall(NamedTuple):
    """How rare types of high loss changed in a run, by both numbers."""

    types: int
    naive: float
    crossed: float
    low: float
    high: float


def own_fall(run: RunKey, rule: rocks.RockRule) -> Fall | None:
    """Of the run's own rare types; None where there are none, or nothing is known of a change."""
    groups = rocks.found(run, rule).report.groups.to_dict("records")
    row = next((r for r in groups if r["group"] == "rare, high before"), None)
    if row is None or not row["types"] or row["low"] != row["low"]:
        return None
    return Fall(int(row["types"]), *(float(row[n]) for n in Fall._fields[1:]))
