"""The report of a run under a rule, made part by part beside the page: what was made is kept, so
that whoever asks next has it at once. Nothing is written on the server.

Raises RockError where rockcore does.
"""

from __future__ import annotations

from collections.abc import Hashable

from app.data import notes, rocks, runs
from app.data.rocks import Examined, RockRule
from app.data.runs import RunKey
from app.work import work
from rockcore.analysis import report
from rockcore.analysis.report import Part
from rockcore.log import comparisons
from rockcore.log.screens import Screen

__all__ = ["Part"]

BESIDE = ("knockouts", "arms")  # parts of what the fingerprint of a run does not know


def titles() -> dict[str, str]:
    """The parts of a report, in its order: key -> title."""
    return {key: analysis.title for key, analysis in report.PARTS.items()}


def part(run: RunKey, rule: RockRule, key: str) -> Part:
    """One part, there or with the reason why not; anew where what it is of has changed."""
    return work(
        ("report part", run, rule, key, _state(run, rule, key)),
        lambda pulse: report.make_part(_asked(run, rule), key),
        "Making the report",
    )


def document(run: RunKey, rule: RockRule, address: str) -> bytes:
    """The whole file. `address`: of this dashboard, for the links in it."""
    parts = [part(run, rule, key) for key in titles()]
    beside = tuple(_state(run, rule, key) for key in BESIDE)
    return work(
        ("report", run, rule, address, notes.state(run), beside),
        lambda pulse: report.write_report(_asked(run, rule), parts, address).encode(),
        "Writing the report",
    )


def _state(run: RunKey, rule: RockRule, key: str) -> Hashable:
    """Another value whenever that changes which a part reads beside the log of the run."""
    if key == "knockouts":
        return Screen.state(run.path)
    if key == "arms":
        return tuple(map(comparisons.fingerprint, _asked(run, rule).folders()))
    return None


def _asked(run: RunKey, rule: RockRule) -> report.Asked:
    """The run under the rule, with what pages have worked out already."""
    try:
        examined = rocks.found(run, rule)
    except runs.RockError:  # the parts that need it say why
        examined = Examined(runs.log(run), rule)
    return report.Asked(examined, known=runs.facts(run))
