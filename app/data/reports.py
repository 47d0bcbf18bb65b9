"""The report of a run under a rule, made part by part beside the page: what was made is kept, so
that whoever asks next has it at once. Nothing is written on the server.

Raises RockError where rockcore does.
"""

from __future__ import annotations

from app.data import notes, rocks, runs
from app.data.rocks import Examined, RockRule
from app.data.runs import RunKey
from app.work import work
from rockcore.analysis import report
from rockcore.analysis.report import Part

__all__ = ["Part"]


def titles() -> dict[str, str]:
    """The parts of a report, in its order: key -> title."""
    return {key: analysis.title for key, analysis in report.PARTS.items()}


def part(run: RunKey, rule: RockRule, key: str) -> Part:
    """One part, there or with the reason why not."""
    return work(
        ("report part", run, rule, key),
        lambda pulse: report.make_part(_asked(run, rule), key),
        "Making the report",
    )


def document(run: RunKey, rule: RockRule, address: str) -> bytes:
    """The whole file. `address`: of this dashboard, for the links in it."""
    parts = [part(run, rule, key) for key in titles()]
    return work(
        ("report", run, rule, address, notes.state(run)),
        lambda pulse: report.write_report(_asked(run, rule), parts, address).encode(),
        "Writing the report",
    )


def _asked(run: RunKey, rule: RockRule) -> report.Asked:
    """The run under the rule, with what pages have worked out already."""
    try:
        examined = rocks.found(run, rule)
    except runs.RockError:  # the parts that need it say why
        examined = Examined(runs.log(run), rule)
    return report.Asked(examined, known=runs.facts(run))
