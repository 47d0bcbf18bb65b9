"""The pages, in the order of the menu and by its sections. A page is a folder in app/views with a
page.py.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage


class Page(NamedTuple):
    """`name`: of its folder and in its address."""

    name: str
    title: str
    own_pace: bool = False  # looks for news by itself, and can do without a run
    of_one_run: bool = True  # else it is about something else, and the sidebar says all of the run
    folds: bool = True  # its controls are put away in a lecture; not where they are what it is for
    section: str = "Look"


HOME = "overview"  # the page without a name in the address
PAGES = (
    Page("learn", "Learn", folds=False, section=""),
    Page("overview", "Overview"),
    Page("trace", "Trace"),
    Page("rock_tokens", "Rock tokens"),
    Page("token", "One token"),
    Page("steps", "Steps"),
    Page("gradients", "Gradients"),
    Page("compare", "Compare"),
    Page("arms", "Arms", of_one_run=False, section="Decide"),
    Page("threshold_lab", "Threshold lab", section="Decide"),
    Page("knockout", "Knockout", section="Decide"),
    Page("notes", "Notes and report", section="Keep"),
    Page("live", "Live", own_pace=True, section="Train"),
    Page("session", "Session", own_pace=True, folds=False, section="Train"),
    Page("imports", "Import", own_pace=True, folds=False, section="Train"),
)

_made: dict[str, StreamlitPage] = {}  # by the name of the page
_BY_NAME = "home by its name"


def menu(views: Path) -> dict[str, list[StreamlitPage]]:
    """The pages by section as Streamlit wants them, for one script run: it writes into them. Making
    them asks the file system thirty things, so they are made once and copied.
    """
    if not _made:
        import streamlit as st

        def made(p: Page, path: str, **more: Any) -> StreamlitPage:
            return st.Page(views / p.name / "page.py", title=p.title, url_path=path, **more)

        _made.update({p.name: made(p, p.name) for p in PAGES if p.name != HOME})
        home = next(p for p in PAGES if p.name == HOME)
        # Streamlit keeps a name for the page without one, and says "Page not found" to it: so that
        # is one which nobody types, and a page that no menu shows has the page's own
        _made[HOME] = made(home, "start", default=True)
        _made[_BY_NAME] = made(home, HOME, visibility="hidden")
    sections = list(dict.fromkeys(page.section for page in PAGES))
    shown = {s: [copy(_made[p.name]) for p in PAGES if p.section == s] for s in sections}
    shown[sections[-1]].append(copy(_made[_BY_NAME]))
    return shown


def of(page: StreamlitPage) -> Page:
    """What is known of a page that Streamlit has picked."""
    return next(about for about in PAGES if about.title == page.title)


def title_of(name: str) -> str:
    """The title of a page; its name where there is no such page."""
    return next((page.title for page in PAGES if page.name == name), name)
