"""The dashboard's door: finds the runs, opens the picked one, and shows a page.

    streamlit run app/main.py -- RUN_OR_FOLDER ...

A run that cannot be opened is explained in words; the others stay usable.
"""

import sys
from contextlib import nullcontext
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if (
    sys.path[0] != ROOT
):  # a script called app.py in the current folder must not stand in for this package
    sys.path.insert(0, ROOT)

import streamlit as st  # noqa: E402

from app import (  # noqa: E402
    controls,
    data,
    early,
    lesson,
    links,
    pages,
    selection,
    shell,
    turns,
)
from app.pages import Page  # noqa: E402

VIEWS = Path(__file__).parent / "views"


def show_notice(heading: str, *lines: str) -> None:
    """What stands in the place of a page that cannot be shown."""
    st.subheader(heading)
    for line in lines:
        st.text(line)


def picked_run(found: dict[str, str]) -> str | None:
    """The name of the run that was asked for, by the link or in the sidebar; None where it is not
    there. Never another run in its place.
    """
    asked, before = selection.asked("run"), selection.last_opened()
    if asked not in found and before is not None and Path(before.path).name == Path(asked).name:
        # its name changes when a second run of this name appears, or goes
        asked = next((name for name, path in found.items() if path == before.path), asked)
    name = asked or data.runs.opened_first(found)
    with st.sidebar:
        return selection.choose_if_there("run", st.selectbox, "Run", list(found), name)


def explain_missing_run(found: dict[str, str]) -> None:
    asked, before = selection.asked("run"), selection.last_opened()
    there = f"There is: {links.span_of(list(found))}. Pick one in the sidebar."
    if before is not None and Path(before.path).name == Path(asked).name:
        show_notice(
            f"The run {asked} is gone",
            f"There is no run.json in {before.path} any more: it was deleted or moved.",
            there,
        )
    else:
        show_notice(f"There is no run named {asked}", there)


def open_picked(places: list[Path]) -> data.runs.RunKey | None:
    """The run picked in the sidebar, or None after saying why there is none."""
    found = data.runs.find(places)
    if not found and not selection.asked("run"):
        show_notice(
            "No run to show",
            f"Looked in: {data.runs.as_text(', '.join(map(str, places)))}. "
            "A run is a folder with run.json.",
            "Start one on the page “Session”, or give a run's folder on the command line: "
            "rockcore app RUN_OR_FOLDER",
        )
        return None
    name = picked_run(found)
    if name is None:
        explain_missing_run(found)
        return None
    try:
        run = data.runs.key(found[name])
    except data.runs.RockError as e:
        show_notice(
            "This run cannot be opened", str(e), "Other runs can still be picked in the sidebar."
        )
        return None
    selection.keep("run", name)
    return run


def show_unfinished(run: data.runs.RunKey) -> None:
    """Where the texts of the final student are not yet scored under all checkpoints: say so on
    every page.
    """
    if (so_far := data.runs.unscored(run)) is None:
        return
    now = data.runs.is_live(run)
    st.info(
        f"{'Still being written' if now else 'Never finished'}: the texts of the final student "
        f"are scored under {so_far.scored} of {so_far.checkpoints} checkpoints. What is said of "
        f"them {'will change' if now else 'rests on these alone'}.",
        icon=":material/hourglass_top:",
    )


def follow(run: data.runs.RunKey) -> None:
    """For a run in training: say how it stands, and show the page anew when it has logged
    something.
    """
    with st.sidebar:
        if data.runs.is_live(run) and st.toggle(
            "Follow the training", value=True, help="Looks for a new step every 10 seconds."
        ):
            st.fragment(rerun_on_news, run_every=10)(run)


def rerun_on_news(run: data.runs.RunKey) -> None:
    try:
        st.text(data.runs.status(run))
        changed = data.runs.key(run.path) != run
    except data.runs.RockError:
        changed = True  # the whole page says what is wrong
    if changed:
        st.rerun()


def show_lesson(about: Page) -> None:
    """What a lesson asks of the reader on this page, or at the first start that there are some."""
    if about.name == pages.HOME:
        lesson.offer()
    if about.name != "learn" and selection.asked("lesson"):
        lesson.strip(about.name)


def main() -> None:
    st.set_page_config(page_title=shell.TITLE, layout="wide")
    page = st.navigation(pages.menu(VIEWS), expanded=True)
    about = pages.of(page)
    selection.begin(about.name)
    shell.show_style(about)
    head = st.container(key="page head")
    try:
        with nullcontext() if about.of_one_run else st.sidebar:
            run = open_picked(data.runs.places(sys.argv[1:]))
        selection.open_run(run)
        with head:
            shell.show_head(about)
        if run is not None and about.of_one_run:
            if not about.own_pace:
                follow(run)
            show_unfinished(run)
            controls.show_size(run)
        if run is not None or about.own_pace or not about.of_one_run:
            show_lesson(about)
            page.run()
    except data.runs.RockError as e:
        show_notice("This part of the run cannot be read", str(e))
    shell.show_foot()
    selection.publish()


if __name__ == "__main__":  # a process that is begun from here loads this file by another name
    with turns.turn():
        main()
    early.drawn.set()
