"""The pages, in the order of the menu. A page is a folder in app/views with a page.py."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage


class Page(NamedTuple):
    """`name`: of its folder and in its address."""

    name: str
    title: str
    own_pace: bool = False  # looks for news by itself, and can do without a run
    of_one_run: bool = True  # else it is about something else, and the sidebar says all of the run
    folds: bool = True  # its controls are put away in a lecture; not where they are what it is for


PAGES = (
    Page("overview", "Overview"),
    Page("trace", "Trace"),
    Page("rock_tokens", "Rock tokens"),
    Page("token", "One token"),
    Page("steps", "Steps"),
    Page("gradients", "Gradients"),
    Page("compare", "Compare"),
    Page("arms", "Arms", of_one_run=False),
    Page("threshold_lab", "Threshold lab"),
    Page("knockout", "Knockout"),
    Page("notes", "Notes and report"),
    Page("live", "Live", own_pace=True),
    Page("session", "Session", own_pace=True, folds=False),
    Page("imports", "Import", own_pace=True, folds=False),
)

_made: list[StreamlitPage] = []


def has(name: str) -> bool:
    """Whether there is a page of this name."""
    return any(page.name == name for page in PAGES)


def menu(views: Path) -> list[StreamlitPage]:
    """The pages as Streamlit wants them, for one script run: it writes into them. Making them asks
    the file system thirty things, so they are made once and copied.
    """
    if not _made:
        import streamlit as st

        _made[:] = [
            st.Page(views / p.name / "page.py", title=p.title, url_path=p.name, default=i == 0)
            for i, p in enumerate(PAGES)
        ]
    return [copy(page) for page in _made]


def title_of(name: str) -> str:
    """The title of a page; its name where there is no such page."""
    return next((page.title for page in PAGES if page.name == name), name)
