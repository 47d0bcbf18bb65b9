"""What readers pinned in this run: listed, searched, opened, deleted; and the report, which holds
it.
"""

from __future__ import annotations

import streamlit as st

from app import access, data, pins, reports, selection, words

run = selection.run()


def show_notes() -> None:
    notes = data.notes.notes_of(run)
    st.subheader("Notes")
    if not notes.found:
        st.text(
            "No note yet. “Pin” keeps one on what a page shows: a token, a rule or a view. They "
            "stand here and in the report."
        )
    else:
        search = selection.words("find", "Search the notes", placeholder="part of a note or a name")
        shown = notes.holding(search)
        st.text(f"{len(shown)} of {len(notes.found)} notes, the newest first")
        for note in shown:
            show_note(note)
    if notes.unread:
        with st.expander(f"Files among the notes that are none: {len(notes.unread)}"):
            for line in notes.unread:
                st.text(words.printable(line))


def show_note(note: data.notes.Note) -> None:
    """A note with the way to what it is on."""
    with st.container(border=True):
        st.markdown(f"**{words.literal(words.visible(note.about, spaces=True))}**")
        st.text(words.printable(note.text))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{note.kind} · {words.moment(note.written)}")
            pins.link_to(note)
            if access.may_act() and st.button(
                "Delete", key=f"delete {note.id}", type="tertiary", icon=":material/delete:"
            ):
                delete(note.id)


def delete(id: str) -> None:
    try:
        data.notes.delete(run, id)
    except data.runs.RockError as e:
        st.warning(words.literal(str(e)))
    else:
        st.rerun()


st.title("Notes and report")
reports.offer_report(run)
show_notes()
