"""The door from the pages to knockout screens: what `rockcore.analysis.knockouts` makes of one,
cached by the run and the screen's own fingerprint, and what it says of a token in words.

Raises RockError where rockcore does, but in `told`, which pages about other things ask.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from app import words
from app.components.token_pane import parts
from app.data import runs
from app.data.runs import RunKey
from app.memory import known
from app.work import kept, work
from rockcore.analysis import knockout_pairs, knockouts
from rockcore.analysis.knockout_pairs import ROLES
from rockcore.analysis.knockout_predictors import PREDICTORS
from rockcore.analysis.knockouts import NEUTRAL, PILLAR, STUMBLING, UNDECIDED, VERDICTS, Knockouts
from rockcore.log import screens
from rockcore.log.screens import Screen
from rockcore.schema import RockError
from rockcore.schema.screen import KINDS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KINDS", "PREDICTORS", "ROLES", "VERDICTS", "Knockouts"]

NOT_MEASURED = "not measured"
SHORT = {
    PILLAR: "Pillar",
    NEUTRAL: "neutral",
    STUMBLING: "stumbling",
    UNDECIDED: "undecided",
}


class ScreenKey(NamedTuple):
    """A screen in one state of its files."""

    run: RunKey
    fingerprint: str


def key(run: RunKey) -> ScreenKey | None:
    """The screen of a run; None where there is none. Raises RockError for one that cannot be
    read.
    """
    if not Screen.exists(run.path):
        return None
    found = ScreenKey(run, Screen.state(run.path))
    screen(found)
    return found


@kept
def screen(of: ScreenKey) -> Screen:
    return Screen.open(runs.log(of.run))


def examined(of: ScreenKey) -> Knockouts:
    """Verdicts, intervals, corrections: everything that a page shows of a screen."""
    opened = screen(of)  # here: the work is done in a thread that Streamlit does not know
    return work(of, lambda pulse: knockouts.examine(opened), "Weighing the screen")


def command(run: RunKey, ids: Iterable[int | str] = ()) -> str:
    """What measures the candidates of a run, or these token types."""
    named = " ".join(["", "--candidates", *map(str, ids)]) if ids else ""
    return f"rockcore knockout {shlex.quote(runs.short_path(run))}{named}"


class Progress(NamedTuple):
    """How far a screen is."""

    done: int  # candidates
    planned: int

    @property
    def is_whole(self) -> bool:
        return self.done == self.planned


@kept
def progress(of: ScreenKey) -> Progress:
    return Progress(len(screen(of).finished), len(screen(of).candidates))


def alone(of: ScreenKey) -> pd.DataFrame:
    """The candidates that the correlations are over: tokens knocked out alone that no answer
    needs.
    """
    rows = examined(of).candidates
    return rows.loc[(rows.kind == "token") & ~rows.needed]


def examples(of: ScreenKey, candidate: str) -> dict[int, str]:
    """Row of `pairs` -> what a list says of it: those whose grade changed come first."""
    rows = _pairs(of, candidate)
    shown = (rows.problem, rows.rollout, rows.baseline_correct, rows.knockout_correct)
    return {
        i: f"problem {problem}, rollout {rollout} · {GRADES[a]} with, {GRADES[b]} without"
        for i, (problem, rollout, a, b) in enumerate(zip(*shown, strict=True))
    }


GRADES = {True: "right", False: "wrong"}


@kept
def _pairs(of: ScreenKey, candidate: str) -> pd.DataFrame:
    return examined(of).pairs(candidate)


@kept
def replacements(of: ScreenKey, candidate: str) -> pd.DataFrame:
    """What is written where the first banned token stood: token_id, token, n, share."""
    return examined(of).replacements(candidate)


class Side(NamedTuple):
    """One side of a pair, for the token pane."""

    letter: str  # A with the token, B without it
    text: parts.TextPart
    values: parts.ValuesPart
    roles: bytes  # one for each token: index into ROLES
    tokens: int
    correct: bool


class Pair(NamedTuple):
    """A rollout with and without a candidate."""

    sides: tuple[Side, Side]
    blocks: list[tuple[int, int, int]]  # see pane_pair.show
    parts_at: int | None
    instead: str  # the token that B writes there; empty where B ends there
    answer: str  # the right one
    step: int


@kept
def pair(of: ScreenKey, candidate: str, row: int) -> Pair:
    """A row of `examples`, lined up."""
    at: Any = _pairs(of, candidate).loc[row]
    plan = screen(of).plan
    banned = next(c.ids for c in plan.candidates if c.key == candidate)
    found = knockout_pairs.beside(at.baseline_ids, at.knockout_ids, banned)
    sides = (
        _side(of, "A", at, at.baseline_ids, found.marks_a, at.baseline_correct),
        _side(of, "B", at, at.knockout_ids, found.marks_b, at.knockout_correct),
    )
    at_most = sides[1].tokens - 1
    instead = ""
    if found.parts_at is not None and found.parts_at <= at_most:
        instead = knockout_pairs.text_of(
            runs.log(of.run), [at.knockout_ids[found.parts_at]], ""
        ).tokens[0]
    return Pair(sides, found.aligned.blocks(), found.parts_at, instead, str(at.answer), plan.step)


def _side(of: ScreenKey, letter: str, at: Any, ids: Any, roles: Any, correct: bool) -> Side:
    run, step = of.run, screen(of).plan.step
    name = f"{run.path} knockout {letter} {at.problem} {at.rollout}"
    read = knockout_pairs.text_of(runs.log(run), ids, at.prompt)
    text = parts.text_part(name, read, runs.categories(run), [])
    values = parts.values_part(name, step, knockout_pairs.readings_of(ids), [], with_kl=True)
    return Side(letter, text, values, roles.astype("u1").tobytes(), len(ids), bool(correct))


@kept
def why_not(run: RunKey) -> str:
    """Why a run cannot be screened; empty where it can."""
    return screens.why_not(runs.log(run))


class Measured(NamedTuple):
    """What a run knows of its tokens by knockout; empty where it has no screen."""

    verdicts: dict[int, str]  # token id -> Pillar, neutral, stumbling, undecided
    words: dict[int, str]  # token id -> the verdict with Δ and its interval
    by_window: set[int]  # token ids whose verdict is that of their window, not of themselves
    missing: str  # what to say where nothing is measured
    others: str  # what to say of a token that is not; {id} stands for its id
    later: bool = False  # whether more can be known in a moment
    note: str = ""  # what is to be said beside all of it

    @property
    def pillars(self) -> set[int]:
        return {token for token, verdict in self.verdicts.items() if verdict == SHORT[PILLAR]}


def measured(run: RunKey, at_once: bool = False) -> Measured:
    """By token, for pages that are about something else: a screen that cannot be read is told in
    `missing`. `at_once`: only if it has been weighed before.
    """
    why = why_not(run)
    missing, others = (
        f"{NOT_MEASURED} ({why or f'{command(run, ids)} measures it'})" for ids in ((), ("{id}",))
    )
    try:
        of = key(run)
        if of is None or not progress(of).done:
            return Measured({}, {}, set(), missing, others)
        if at_once and known(("verdicts", of)) is None:
            weighed = "its screen is being weighed"
            return Measured({}, {}, set(), weighed, weighed, later=True)
        return _told(of)._replace(missing=missing, others=others)
    except RockError as e:
        unread = f"{NOT_MEASURED}, as its screen cannot be read. {e}"
        return Measured({}, {}, set(), unread, unread)


@kept
def _told(of: ScreenKey) -> Measured:
    opened = screen(of)
    rows = work(
        ("verdicts", of), lambda pulse: knockouts.token_verdicts(opened), "Weighing the screen"
    )
    of_step = f" · the student after step {opened.plan.step}" if opened.stale else ""
    ids, verdicts = rows.token_id.tolist(), [SHORT[v] for v in rows.verdict]
    by_window = {i for i, by in zip(ids, rows.decided_by, strict=True) if by == "window"}
    told = {
        i: f"{verdict}{' by its window:' * (i in by_window)} {words.delta(value, low, high)}"
        f"{' · needed by the answer' * needed}{of_step}"
        for i, verdict, value, low, high, needed in zip(
            ids, verdicts, rows.delta, rows.low, rows.high, rows.needed, strict=True
        )
    }
    note = f"{knockouts.trained_on(opened)}." if opened.stale else ""
    return Measured(dict(zip(ids, verdicts, strict=True)), told, by_window, "", "", note=note)


def beside(run: RunKey, types: pd.DataFrame) -> pd.DataFrame:
    """A table of types, with `knockout`, the verdict of each, and `knockout_told`, it with Δ."""
    found = measured(run)
    ids = types.token_id.tolist()
    return types.assign(
        knockout=[found.verdicts.get(i, NOT_MEASURED) for i in ids],
        knockout_told=[found.words.get(i, NOT_MEASURED) for i in ids],
    )


class OfText(NamedTuple):
    """What the token pane says of the tokens of a text."""

    of: dict[str, str]  # token id -> words
    others: str  # of the others; {id} stands for the id
    later: bool


def of_text(run: RunKey, ids: Any, at_once: bool = False) -> OfText:
    """The words for the tokens `ids` (T,) of a text; `at_once` as in `measured`."""
    found = measured(run, at_once)
    here = set(ids.tolist())
    told = {str(i): words for i, words in found.words.items() if i in here}
    return OfText(told, found.others, found.later)
