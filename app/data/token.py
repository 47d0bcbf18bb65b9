"""One token type of a run under a rule: what rockcore.analysis tells of it, cached; and the search
over all types.

Raises RockError where rockcore does, but in `search`, `shown` and `alike`, which stand without a
rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.data import arms, rocks, runs
from app.data.runs import RunKey
from app.work import kept
from rockcore.analysis import token_arms, token_search
from rockcore.analysis.token_arms import NotTrained
from rockcore.analysis.token_history import History
from rockcore.analysis.token_instead import Instead
from rockcore.analysis.token_search import Hit, Spellings, Standing
from rockcore.analysis.token_story import Share, TokenStory
from rockcore.analysis.token_verdict import Gate, Verdict
from rockcore.schema import Texts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Gate", "Hit", "History", "Instead", "NotTrained", "Share", "Texts", "Verdict"]


def _story(run: RunKey, rule: rocks.RockRule, token_id: int) -> TokenStory:
    return TokenStory(rocks.found(run, rule), token_id)


def _log_alone(run: RunKey, rule: rocks.RockRule, token_id: int) -> TokenStory:
    """What needs no detection, also where none is possible."""
    try:
        return TokenStory(rocks.examined(run, rule), token_id)
    except runs.RockError:
        return TokenStory(rocks.Examined(runs.log(run), rule), token_id)


@kept
def verdict(run: RunKey, rule: rocks.RockRule, token_id: int) -> Verdict:
    """Whether it is a Rock Token, and why."""
    return _story(run, rule, token_id).verdict


@kept
def history(run: RunKey, rule: rocks.RockRule, token_id: int) -> History:
    """Its mean loss at every step, with intervals."""
    return _log_alone(run, rule, token_id).history


@kept
def change(run: RunKey, rule: rocks.RockRule, token_id: int) -> str:
    """What became of it, in words."""
    return _story(run, rule, token_id).change


@kept
def share(run: RunKey, rule: rocks.RockRule, token_id: int) -> Share:
    """What it takes of tokens, loss and gradient."""
    return TokenStory(rocks.examined(run, rule), token_id).share


@kept
def contexts(run: RunKey, rule: rocks.RockRule, token_id: int) -> pd.DataFrame:
    """Where it stands, those in the set first: see occurrences.examples."""
    return _story(run, rule, token_id).contexts


@kept
def instead(run: RunKey, rule: rocks.RockRule, token_id: int) -> Instead:
    """What student and teacher would have said in its place."""
    return _log_alone(run, rule, token_id).instead


def not_trained(run: RunKey, token_id: int) -> list[NotTrained]:
    """What was measured of not training on it, in the comparisons that can be read."""
    found = {}
    for name, path in arms.offered().items():
        try:
            found[name] = arms.comparison(arms.key(path))
        except runs.RockError:
            continue  # the page Arms says what is wrong with it
    return token_arms.not_trained(runs.log(run), token_id, found)


@kept
def _spellings(run: RunKey) -> Spellings:
    return Spellings(runs.log(run).vocab)


@kept
def _standing_of_run(run: RunKey) -> Standing:
    return Standing.of_run(runs.log(run))


@kept
def _standing_of_rule(run: RunKey, rule: rocks.RockRule) -> Standing:
    return Standing.of_report(rocks.found(run, rule).report)


def _standing(run: RunKey, rule: str) -> Standing:
    """By the rule of a link where its set is known already, else by the log alone."""
    try:
        asked = rocks.rule(rule)
        if rocks.found_before(run, asked) is not None:
            return _standing_of_rule(run, asked)
    except runs.RockError:
        pass  # the pages of the rule say what is wrong with it
    return _standing_of_run(run)


def search(run: RunKey, rule: str, text: str, most: int) -> tuple[list[Hit], int]:
    """The best types that hold `text`, and how many do: see Spellings.search."""
    return _spellings(run).search(text, _standing(run, rule), most)


def alike(run: RunKey, rule: str, token_id: int) -> list[Hit]:
    """The types that are spelled the same but for spaces and case."""
    return _spellings(run).alike(token_id, _standing(run, rule))


def beside(run: RunKey, rule: rocks.RockRule, token_id: int) -> tuple[int | None, int | None]:
    """The types before and after it in the ranking."""
    return token_search.beside(rocks.found(run, rule).report, token_id)


def first(run: RunKey, rule: str) -> int | None:
    """The type that is shown where none is asked for: the first of the ranking."""
    hits, _ = search(run, rule, "", 1)
    return hits[0].token_id if hits else next(iter(_spellings(run).ids), None)


def exists(run: RunKey, token_id: int) -> bool:
    """Whether the vocabulary has it."""
    return token_id in _spellings(run)


def shown(run: RunKey, token_id: int) -> str:
    """A type with its whitespace visible."""
    return _spellings(run).shown(token_id)
