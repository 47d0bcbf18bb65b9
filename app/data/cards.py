"""The numbers of the run that formula cards put in."""

from __future__ import annotations

from typing import Any

from app.data import rocks, runs
from app.data.runs import RunKey
from rockcore.analysis.card_values import values_of
from rockcore.schema import RockError


def values(run: RunKey, rule: str = "default") -> dict[str, Any]:
    """By the names that the glossary uses. Of a detection only what was worked out already: a card
    makes nobody wait.
    """
    facts = runs.facts(run)
    known = {"kl_measured": facts.measured("kl")} if facts.held.has("kl") else {}
    try:
        return known | values_of(facts.meta, rocks.found_before(run, rocks.rule(rule)))
    except RockError:
        return known | values_of(facts.meta)
