"""The numbers of the run that formula cards put in."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from app.data import rocks, runs
from app.data.runs import RunKey
from rockcore.analysis.card_values import values_of
from rockcore.rocks.rule import RockRule
from rockcore.schema import RockError


def values(run: RunKey, rule: str = "default") -> dict[str, Any]:
    """By the names that the glossary uses. Of a detection only what was worked out already: a card
    makes nobody wait.
    """
    try:
        asked = rocks.rule(rule)
        known = rocks.found_before(run, asked) is not None
        return _told(run, asked if known else None)
    except RockError:
        return _told(run, None)


@lru_cache(maxsize=64)  # a page has some forty cards
def _told(run: RunKey, rule: RockRule | None) -> dict[str, Any]:
    """`rule`: one under which the run was looked through already."""
    facts = runs.facts(run)
    kl = {"kl_measured": facts.measured("kl")} if facts.held.has("kl") else {}
    return kl | values_of(facts.meta, None if rule is None else rocks.found_before(run, rule))
