"""What stands around every page: whose run it shows, the way to copy its link, to reset it and to
present it, and at its foot what a link has hidden.
"""

from __future__ import annotations

import streamlit as st

from app import cards, pins, search, selection, words
from app.components import page_tools
from app.components.colours import PAGE, themed
from app.pages import Page

TITLE = "Rock Token Explorer"
PRESENT_KEY, RESET_KEY = "Alt+P", "Alt+X"  # letters alone belong to the text pane
# Streamlit's own: a sixth of a small screen is empty, captions are too faint to read, buttons are
# white on light blue, and no focus is seen on a link of the menu.
STYLE = """
.stMainBlockContainer {padding-top: 0}
[data-testid=stHeader] {height: 2.75rem; z-index: 999992; background: transparent}
[data-testid=stHeader], [data-testid=stHeader] div {pointer-events: none}
[data-testid=stHeader] :is(button, a, button div, a div) {pointer-events: auto}
[data-testid=stSidebarHeader] {height: 2.75rem; margin-bottom: 0}
[data-testid=stSidebarNavLink] {height: 1.6rem; margin-block: 0}
[data-testid=stNavSectionHeader] {margin-top: 0; padding-bottom: 0}
[data-testid=stCaptionContainer] {opacity: 0.8}
.stApp button kbd {color: inherit; opacity: 0.8}
[data-testid^=stBaseButton-primary] {color: light-dark(white, black)}
:is([data-testid=stSidebarNavLink], [data-testid=stSidebarNavSectionHeader],
  [data-testid=stPageLink-NavLink], [data-testid=stSkipToContent],
  .stApp button):focus-visible {outline: 2px solid currentColor !important; outline-offset: 1px}
.st-key-page-head {position: sticky; top: 0; z-index: 999991; min-height: 2.75rem;
  padding: 0.25rem 3.5rem 0.25rem 0; margin-bottom: -0.5rem;
  background: PAGE}
.st-key-page-head p {font-size: 0.85rem}
.st-key-page-head button {min-height: 1.8rem; padding: 0 0.5rem}
@media (max-width: 1500px) {
  .st-key-page-head :not(.st-key-find-a-token) > .stButton kbd {display: none}
}
@media (max-width: 640px) {
  .st-key-page-head {padding: 0.25rem 2.5rem}
  .st-key-page-head .stHorizontalBlock {gap: 0}
  .st-key-page-head button {padding: 0 0.25rem}
  .st-key-page-head [data-testid=stPopoverButton] > div > :last-child {display: none}
  [data-testid=stButtonGroup] > div {flex-wrap: wrap; overflow: visible}
  [data-testid=stButtonGroup] > div > button {padding-inline: 0.4rem}
  :has(> [data-testid=stColumn] [data-testid=stMetric]):not(:has([data-testid=stHeading]))
    > [data-testid=stColumn] {flex: 1 1 40%; min-width: 40%}
  .st-key-page-head :is(kbd, [class*=hortcut]) {display: none}
  .st-key-page-head button p {position: absolute; clip-path: inset(50%)}
}
""".replace("PAGE", themed(PAGE))
# Larger by half, for the last row of a hall; what selection.py draws has a class of its own.
PRESENTER = """
:root {font-size: 24px}
"""
FOLDED = """
.stMain [class*="st-key-widget-"],
.stMain [class*="st-key-widget-"] + :has(> [data-testid=stCaptionContainer]) {display: none}
"""


def show_style(about: Page) -> None:
    """The style of the page; larger and with its controls folded for a lecture."""
    style = STYLE
    if selection.presents():
        style += PRESENTER
        if about.folds and not selection.flag("controls"):
            style += FOLDED
    st.html(f"<style>{style}</style>")


def show_head(about: Page) -> None:
    """A line above the page: whose run it shows, and what can be done with any page."""
    run = selection.asked("run") if about.of_one_run and selection.opened() is not None else ""
    st.set_page_config(
        page_title=f"{run} · {about.title}" if run else f"{about.title} · {TITLE}",
        initial_sidebar_state="collapsed" if selection.presents() else "auto",
    )
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="right", gap="xsmall"
    ):
        st.caption(f"run: **{words.literal(run)}**" if run else _of_no_run(about), width="stretch")
        _show_tools(about)


def _of_no_run(about: Page) -> str:
    return "no run is open" if about.of_one_run else "not of one run"


def _show_tools(about: Page) -> None:
    presenting = selection.presents()
    if presenting and about.folds:
        shown = selection.flag("controls")
        st.button(
            "Hide controls" if shown else "Controls",
            icon=":material/tune:",
            type="tertiary",
            on_click=selection.put_flag,
            args=("controls", not shown),
            help="The controls of the page are put away while it is presented.",
        )
    run = selection.opened()
    if run is not None:
        search.offer_search(run)
    if run is not None and about.of_one_run and not presenting:
        pins.offer_pin(run)
    cards.offer_words(about.name)
    page_tools.show()
    st.button(
        "Reset",
        key="reset this page",
        icon=":material/restart_alt:",
        type="tertiary",
        shortcut=RESET_KEY,
        on_click=selection.reset,
        help="Reset this page: all choices on it to what they are at first. The run stays.",
    )
    st.button(
        "Leave" if presenting else "Present",
        key="present",
        icon=":material/close_fullscreen:" if presenting else ":material/co_present:",
        type="tertiary",
        shortcut=PRESENT_KEY,
        on_click=selection.put_flag,
        args=("present", not presenting),
        help="Back to the usual size."
        if presenting
        else "For a lecture: larger text, controls and menu put away.",
    )


def show_foot() -> None:
    """Below the page: what a link has hidden, and the way to have it back."""
    selection.explain_hidden()
    if hidden := selection.all_hidden():
        st.caption(f"Hidden by the link: {words.literal(', '.join(hidden))}.")
        st.button("Show all controls", on_click=selection.pick, args=("hide", ""))
