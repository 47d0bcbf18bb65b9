"""The report of a run, made with progress and offered as a file to whoever may look."""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st

from app import data, selection, words

_HERE = "http://localhost:8501"  # where nobody says under which address this page was asked for


def offer_report(run: data.runs.RunKey) -> None:
    """A button that makes the report under the rule of the link, then one that saves it."""
    rule = selection.text("rule", "default")
    st.subheader("Report")
    st.text(
        "The analyses of the paper on this run, each with n, interval, estimator and rule, its "
        "figures to save and the notes below: one HTML file that needs no network. Rule: "
        f"{words.printable(rule)}."
    )
    if not st.button("Make the report", icon=":material/description:", key="make report"):
        return
    try:
        asked = data.rocks.rule(rule)
        made = _made(run, asked)
    except data.runs.RockError as e:
        st.warning(words.literal(str(e)))
        return
    name = words.file_name(data.runs.facts(run).meta.name)
    st.download_button(
        f"Save the report ({len(made) / 10**6:.1f} MB)",
        made,
        file_name=f"{name}-report.html",
        mime="text/html",
        on_click="ignore",
        key="save report",
        icon=":material/download:",
    )
    st.caption("The same from a terminal:")
    st.code(data.rocks.command_line(run, asked, "report"), language=None, wrap_lines=True)


def _made(run: data.runs.RunKey, rule: data.rocks.RockRule) -> bytes:
    """The file, while the page says which part is being made."""
    titles = data.reports.titles()
    bar = st.progress(0.0)
    for i, (key, title) in enumerate(titles.items()):
        bar.progress(i / len(titles), f"{i + 1} of {len(titles)}: {title}")
        data.reports.part(run, rule, key)
    made = data.reports.document(run, rule, _address())
    bar.empty()
    return made


def _address() -> str:
    """Under which this page was asked for, without its name."""
    asked = urlsplit(st.context.url or _HERE)
    return f"{asked.scheme}://{asked.netloc}" if asked.netloc else _HERE
