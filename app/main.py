"""The dashboard's door: finds the runs, opens the picked one, and shows a page.

    streamlit run app/main.py -- RUN_OR_FOLDER ...

A run that cannot be opened is explained in words; the others stay usable.
"""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if (
    sys.path[0] != ROOT
):  # a script called app.py in the current folder must not stand in for this package
    sys.path.insert(0, ROOT)

import streamlit as st  # noqa: E402
from streamlit.navigation.page import StreamlitPage  # noqa: E402

from app import data, selection  # noqa: E402

VIEWS = Path(__file__).parent / "views"
# Streamlit's own: a sixth of a small screen is empty, captions are too faint to read, buttons are
# white on light blue.
STYLE = """
.stMainBlockContainer {padding-top: 3.5rem}
[data-testid=stCaptionContainer] {opacity: 0.8}
[data-testid^=stBaseButton-primary] {color: light-dark(white, black)}
"""


def open_picked(places: list[Path]) -> data.runs.RunKey | None:
    """The run picked in the sidebar, or None after saying why there is none."""
    found = data.runs.find(places)
    if not found:
        st.subheader("No run to show")
        st.text(f"Looked in: {', '.join(map(str, places))}. A run is a folder with run.json.")
        st.text(
            "Start one on the page “Session”, or give a run's folder on the command line: "
            "rockcore app RUN_OR_FOLDER"
        )
        return None
    with st.sidebar:
        name = selection.choose(
            "run", st.selectbox, "Run", list(found), data.runs.opened_first(found)
        )
    try:
        return data.runs.key(found[name])
    except data.runs.RockError as e:
        st.subheader("This run cannot be opened")
        st.text(str(e))
        st.text("Other runs can still be picked in the sidebar.")
        return None


def follow(run: data.runs.RunKey) -> None:
    """For a run in training: say how it stands, and show the page anew when it has logged
    something.
    """
    with st.sidebar:
        if data.runs.is_live(run) and st.toggle(
            "Follow the training", value=True, help="Looks for a new step every 10 seconds."
        ):
            st.fragment(_look, run_every=10)(run)


def _look(run: data.runs.RunKey) -> None:
    try:
        st.text(data.runs.status(run))
        changed = data.runs.key(run.path) != run
    except data.runs.RockError:
        changed = True  # the whole page says what is wrong
    if changed:
        st.rerun()


def _page(view: str, title: str, default: bool = False) -> StreamlitPage:
    return st.Page(VIEWS / view / "page.py", title=title, url_path=view, default=default)


def main() -> None:
    st.set_page_config(page_title="Rock Token Explorer", layout="wide")
    st.html(f"<style>{STYLE}</style>")
    live, session = _page("live", "Live"), _page("session", "Session")
    own_pace = (live, session)  # pages that look for news by themselves, and can do without a run
    pages = [
        _page("overview", "Overview", default=True),
        _page("trace", "Trace"),
        _page("rock_tokens", "Rock tokens"),
        _page("steps", "Steps"),
        _page("gradients", "Gradients"),
        _page("compare", "Compare"),
        _page("threshold_lab", "Threshold lab"),
        live,
        session,
    ]
    page = st.navigation(pages)
    selection.begin()
    try:
        run = open_picked(data.runs.places(sys.argv[1:]))
        selection.open_run(run)
        if run is not None and page not in own_pace:
            follow(run)
        if run is not None or page in own_pace:
            page.run()
    except data.runs.RockError as e:
        st.subheader("This part of the run cannot be read")
        st.text(str(e))
    selection.publish()
    selection.arrive(page.url_path)


main()
