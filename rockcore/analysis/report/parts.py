"""The parts of a report, in its order: each one analysis, that is there or says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rockcore.analysis.report import of_change, of_set, of_trials
from rockcore.analysis.report.asked import Asked
from rockcore.analysis.report.made import Found, Part
from rockcore.schema import RockError


class Analysis(NamedTuple):
    """`page`: where the dashboard shows the same. `make` raises RockError where the run has nothing
    for it.
    """

    title: str
    page: str
    make: Callable[[Asked], Found]


PARTS = {
    "course": Analysis("The run", "overview", of_change.course),
    "share": Analysis("What share the Rock Tokens have", "overview", of_set.share),
    "funnel": Analysis("High, recurring, in the set", "rock_tokens", of_set.funnel),
    "cutoff": Analysis("Coverage and stability", "threshold_lab", of_set.cutoff),
    "density": Analysis("Density, by both definitions", "rock_tokens", of_set.density),
    "categories": Analysis("Categories, beside a control", "rock_tokens", of_set.categories),
    "gradient": Analysis("Who takes the gradient", "gradients", of_change.gradient),
    "change": Analysis("Early against late", "rock_tokens", of_change.change),
    "knockouts": Analysis("Knockouts", "knockout", of_trials.knockouts),
    "arms": Analysis("Arms: trained without them", "arms", of_trials.arms),
}


def make_part(asked: Asked, key: str) -> Part:
    """One part; where the run has nothing for it, `missing` says why and what would give it."""
    title, page, make = PARTS[key]
    try:
        return Part(key, title, page, make(asked))
    except RockError as e:
        return Part(key, title, page, missing=str(e))


def make_report(asked: Asked, told: Callable[[str], None] = lambda _: None) -> Iterator[Part]:
    """All parts, one after another; `told` hears the title of each before it is made."""
    for key, analysis in PARTS.items():
        told(analysis.title)
        yield make_part(asked, key)
