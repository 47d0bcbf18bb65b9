"""The one door from the pages to rockcore: each function answers one question about a run, cached
and bounded.

Caches are keyed by (path, fingerprint, arguments): a run that is still training gets new answers as
soon as it has written something, and nothing else is ever recomputed. Raises RockError where
rockcore does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app import words
from app.data import children
from app.work import is_known, kept, kept_saying
from rockcore import schema
from rockcore.analysis import course, signals
from rockcore.analysis.course import Course
from rockcore.analysis.signals import Scale
from rockcore.categories import categories_of
from rockcore.log import Run, find_runs, is_stop_requested, sample_runs
from rockcore.log.arms import find_arms
from rockcore.log.folders import fingerprint
from rockcore.log.holdings import Holdings, NotLogged
from rockcore.log.holdings import opening as opening_of
from rockcore.rocks import ranking as rank
from rockcore.rocks.ranking import Concentration
from rockcore.schema import RockError, RunNotFound, Texts
from rockcore.stats import Interval
from rockcore.world import SCENARIOS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCENARIOS",
    "Concentration",
    "Course",
    "Holdings",
    "Interval",
    "NotLogged",
    "RockError",
    "RunNotFound",
    "Scale",
    "Texts",
]

# The columns of the log that differ from token to token; a weight is what the training chose.
SIGNALS = tuple(name for name in signals.COLUMNS if name != "weight")
_SILENT_S = 600  # a run without a step for so long is not counted as training


class RunKey(NamedTuple):
    """A run in one state of its files: the first argument of every cached question."""

    path: str
    fingerprint: str


def places(arguments: list[str]) -> list[Path]:
    """Where to look for runs: what the command line names, else the bundled runs and ./runs."""
    named = [Path(a) for a in arguments] or [sample_runs(), Path("runs")]
    return [*named, *children.started()]


def find(where: list[Path]) -> dict[str, str]:
    """Name -> path of each run; a place that holds none stands for itself, so that opening it says
    what is wrong.
    """
    paths: list[Path] = []
    optional = (sample_runs(), Path("runs"), *children.started())
    for place in where:
        holds_none = place in optional or find_arms([place])
        paths += find_runs([place]) or ([] if holds_none else [Path(os.path.realpath(place))])
    paths = list(dict.fromkeys(paths))
    names = [p.name for p in paths]
    return {as_text(str(p) if names.count(p.name) > 1 else p.name): str(p) for p in paths}


def as_text(path: str) -> str:
    """A path as a page can show it: bytes that are no text are spelled out."""
    return path.encode(errors="backslashreplace").decode()


def offered() -> dict[str, str]:
    """Name -> path of the runs that the sidebar offers."""
    return find(places(sys.argv[1:]))


def opened_first(found: dict[str, str]) -> str:
    """The name of the run that opens where none is asked for."""
    return "habit" if "habit" in found else next(iter(found))


def key(path: str) -> RunKey:
    """Raises RockError if there is no readable run at `path`."""
    found = RunKey(path, fingerprint(Path(path)))
    log(found)
    return found


@kept
def log(run: RunKey) -> Run:
    """The run of a key; opening it looks into every file, once for all sessions."""
    return Run.open(run.path)


def short_path(run: RunKey) -> str:
    """The folder of a run as it would be typed from where the dashboard was started."""
    path = Path(run.path)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@kept
def facts(run: RunKey) -> Course:
    """How the session went, step by step."""
    return course.course(log(run))


def holdings(run: RunKey) -> Holdings:
    """What the run has, and what to say of what it lacks."""
    return facts(run).held


def scanned_name(run: RunKey) -> str | None:
    """The name under which the log is offered whose scan this folder holds; None where it is
    not.
    """
    log = holdings(run).elsewhere
    return next((n for n, path in offered().items() if log and _is_one(path, log)), None)


def _is_one(path: str, other: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def opening(run: RunKey) -> str:
    """The command that opens the log which was scanned; empty where that lies elsewhere."""
    log = holdings(run).elsewhere
    return "" if "://" in log else opening_of(log)


def offered_signals(run: RunKey, names: Iterable[str]) -> list[str]:
    """Those of the signals that some text of the run has."""
    return signals.offered(holdings(run), names)


def usual_signal(run: RunKey, names: Sequence[str], texts: Texts) -> str:
    """Of the signals that are offered the one that a page begins with."""
    return signals.usual(holdings(run), names, texts)


def lacks(run: RunKey, names: Iterable[str]) -> dict[str, NotLogged]:
    """Those of the signals that no text of the run has, each with why and what would give it."""
    return signals.lacks(holdings(run), names)


def by_reason(gone: Mapping[str, NotLogged]) -> dict[tuple[str, str], list[str]]:
    """(why, what to do) -> the names that lack for this reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, error in gone.items():
        found.setdefault(error.parts[1:], []).append(name)
    return found


@kept
def unscored(run: RunKey) -> course.Unscored | None:
    """How far a run that ends is with its final texts; None if what is shown of them is whole."""
    return course.unscored(log(run))


def status(run: RunKey) -> str:
    """One line: running and when it last wrote, or how it ended, why and when. Not cached: it
    ages.
    """
    opened = log(run)
    meta = opened.meta
    if meta.status != "running":
        reason = f": {meta.reason}" if meta.reason else ""
        ended = words.moment(meta.ended)
        return f"{meta.status}{reason}{f' · ended {ended}' if ended else ''}"
    steps, age = opened.steps("metrics"), opened.age_s()
    stands = f"step {steps[-1]} of {meta.steps_planned}" if steps else "no step finished yet"
    stands += f" · last written {words.duration(age)} ago"
    trained = opened.is_in_training()
    if trained is False:
        return f"ended without a word: {stands} · rockcore train --resume goes on with it"
    silent = trained is None and age >= _SILENT_S
    doubt = " · nothing for long: the process that trains it may have died" if silent else ""
    asked = " · asked to stop" if is_stop_requested(run.path) else ""
    return f"running: {stands}{doubt}{asked}"


def is_live(run: RunKey) -> bool:
    """Whether the run is in training: its lock says so, or without one what was written lately."""
    opened = log(run)
    trained = opened.is_in_training()
    return opened.age_s() < _SILENT_S if trained is None else trained


@kept
def steps(run: RunKey, source: str = "fresh") -> list[int]:
    """The steps at which a trace of `source` can be shown."""
    return log(run).steps(Texts(source).table)


def logged_texts(run: RunKey) -> list[str]:
    """Whose texts the run has logged, as the values of Texts."""
    return [texts.value for texts in Texts if steps(run, texts.value)]


def texts_label(texts: str) -> str:
    """Whose texts, as a control names them."""
    return Texts(texts).label


@kept
def tokens(run: RunKey, source: str) -> int:
    """How many tokens of these texts the last logged step has, by the footer of its file."""
    return log(run).rows(Texts(source).table, steps(run, source)[-1])


LARGE = 2_000_000  # tokens: what asks all of them takes longer than a reader waits


def is_large(run: RunKey) -> bool:
    """Whether some texts of the run have so many tokens at one step that pages show first what
    needs few of them.
    """
    return any(tokens(run, texts) > LARGE for texts in logged_texts(run))


@kept
def ranking(run: RunKey, step: int) -> pd.DataFrame:
    """The types of a step by Rock Score, numbered from 1, with their visible text."""
    return rank.numbered(log(run), step)


@kept
def concentration(run: RunKey, step: int, top: int) -> Concentration:
    """How much of a step falls on its `top` token types."""
    return rank.concentration(log(run), step, top)


@kept
def rollouts(run: RunKey, source: str, step: int) -> pd.DataFrame:
    """rollout_id and `hint` of each text: graded how, how long, how far from the teacher."""
    return course.graded_texts(log(run), Texts(source), step)


@kept
def text_ids(run: RunKey, source: str, step: int) -> list[int]:
    """The numbers of the texts of a step, ascending."""
    about = Texts(source)
    return course.text_ids(log(run), about, step if about is Texts.FRESH else 0)


def hints(run: RunKey, source: str, step: int) -> dict[int, str]:
    """Number -> one line on each text of a step."""
    found = rollouts(run, source, step)
    return dict(zip(found.rollout_id.tolist(), found.hint, strict=True))


@kept
def hint(run: RunKey, source: str, step: int, rollout: int) -> str:
    """The line on one text, which alone is read."""
    found = course.graded_texts(log(run), Texts(source), step, rollout)
    return found.hint.iloc[0] if len(found) else f"{rollout} · no tokens"


@kept_saying("Measuring how the values of the run are spread")
def scale(run: RunKey, signal: str) -> Scale:
    """The colour scale of a signal, the same for every text of the run."""
    return signals.scale(log(run), signal)


def is_measured(run: RunKey, signal: str) -> bool:
    """Whether the scale of a signal is there at once."""
    return is_known(scale, run, signal)


def meaning(signal: str) -> str:
    """The sentence of the log's schema on a signal."""
    return schema.TOKENS[signal].meaning


def categories(run: RunKey) -> list[str]:
    """The names that the categories of a trace count through."""
    return list(categories_of(log(run).category_rules))
