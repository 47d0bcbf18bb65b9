"""What the page is about: one type of a run under a rule."""

from __future__ import annotations

from typing import NamedTuple

from app import data, links, selection


class Asked(NamedTuple):
    """One type. `rule`: None where the link has none that can be read."""

    run: data.runs.RunKey
    facts: data.runs.Course
    token_id: int
    shown: str
    rule_text: str
    rule: data.rocks.RockRule


def asked_type(run: data.runs.RunKey, rule: str) -> int | None:
    """The id of the link; the first of the ranking where it names none, or one that is not there;
    None for a run without a vocabulary.
    """
    picked = selection.text("token", "")
    if links.is_count(picked) and data.token.exists(run, int(picked)):
        return int(picked)
    first = data.token.first(run, rule)
    if picked:
        size = data.runs.facts(run).meta.vocab_size
        selection.explain_gone("token", "Token", picked, f"0 to {size - 1:,}", str(first))
    elif first is not None:
        selection.keep("token", str(first))
        selection.text("token", "")
    return first
