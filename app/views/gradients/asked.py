"""What the controls at the head of the page ask for, and the set that the types are compared by."""

from __future__ import annotations

from typing import Any, NamedTuple

from app import data, selection


class Asked(NamedTuple):
    """Whose gradients, by which norm, at which step."""

    run: data.runs.RunKey
    facts: data.runs.Course
    texts: data.gradients.Texts
    norm: str
    step: int

    @property
    def about(self) -> str:
        """The line below the heading of a chart."""
        of = f"{self.facts.meta.name} · {self.texts.label.lower()}"
        return f"{of} · {data.gradients.SYMBOLS[self.norm]} · {self.facts.estimator}"


class RuleSet(NamedTuple):
    """The rule of the link and its Rock Tokens; empty, with the reason, where none can be found."""

    rule: data.rocks.RockRule
    ids: set[int]
    why_empty: str


def find_set(run: data.runs.RunKey) -> RuleSet:
    rule = data.rocks.rule(selection.text("rule", "default"))
    try:
        return RuleSet(rule, data.gradients.rocks_of(run, rule), data.rocks.no_set(run, rule))
    except data.runs.RockError as e:
        return RuleSet(rule, set(), str(e))


def pick_clicked_type(event: Any) -> None:
    """A clicked point becomes the type in the link."""
    points = getattr(event, "selection", {}).get("points", [])
    token = int(points[0]["customdata"][0]) if points and points[0].get("customdata") else None
    if selection.is_new("point", token):
        selection.pick("token", str(token))
