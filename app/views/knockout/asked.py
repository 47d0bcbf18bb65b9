"""What the page is about: the screen of a run, weighed, and the candidate that is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app import data, selection
from app.views.knockout import words as sentences

if TYPE_CHECKING:
    import pandas as pd


class Asked(NamedTuple):
    """The screen of a run."""

    run: data.runs.RunKey
    facts: data.runs.Course
    key: data.knockouts.ScreenKey
    found: data.knockouts.Knockouts

    @property
    def about(self) -> str:
        """The line below the heading of a chart."""
        return f"{self.facts.meta.name} · {sentences.screened(self.found)}"


def names_of(rows: pd.DataFrame) -> list[str]:
    """How each candidate is called."""
    about = zip(rows.kind, rows.token, rows.ids, strict=True)
    return [sentences.named(kind, token, len(ids)) for kind, token, ids in about]


def pick_clicked(event: Any) -> None:
    """A clicked point becomes the candidate in the link."""
    points = getattr(event, "selection", {}).get("points", [])
    key = str(points[0]["customdata"][0]) if points and points[0].get("customdata") else None
    if selection.is_new("candidate point", key):
        selection.pick("candidate", key or "")
