"""The pages, in the order of the menu. A page is a folder in app/views with a page.py."""

from __future__ import annotations

from typing import NamedTuple


class Page(NamedTuple):
    """`name`: of its folder and in its address."""

    name: str
    title: str
    own_pace: bool = False  # looks for news by itself, and can do without a run
    of_one_run: bool = True  # else it is about something else, and the sidebar says all of the run


PAGES = (
    Page("overview", "Overview"),
    Page("trace", "Trace"),
    Page("rock_tokens", "Rock tokens"),
    Page("steps", "Steps"),
    Page("gradients", "Gradients"),
    Page("compare", "Compare"),
    Page("arms", "Arms", of_one_run=False),
    Page("threshold_lab", "Threshold lab"),
    Page("knockout", "Knockout"),
    Page("live", "Live", own_pace=True),
    Page("session", "Session", own_pace=True),
)
