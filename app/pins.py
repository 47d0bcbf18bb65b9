"""Pin what is looked at, with a note: a control that any page may have."""

from __future__ import annotations

import streamlit as st

from app import access, data, selection, words
from app.data.notes import RULE, TOKEN, VIEW
from app.pages import PAGES, title_of

_PLACE = "What do you see here?"
_OF_RULES = "threshold_lab"
_NOT_IN_A_VIEW = (
    "run",
    "present",
    "controls",
    "hide",
)  # the run is known, and how it is shown is no matter


def offer_pin(run: data.runs.RunKey, token: int | None = None, label: str = "Pin") -> None:
    """Offer to keep a note on a token type, or else on what the page shows: in the lab that is its
    rule. For a visitor who may not write it says why.
    """
    kind = TOKEN if token is not None else RULE if selection.view()[0] == _OF_RULES else VIEW
    with st.popover(
        label,
        icon=":material/push_pin:",
        type="secondary" if kind == TOKEN else "tertiary",
        key=f"pin {kind}",
        help=f"Keep a note on this {kind} in the run's folder; it stands in the report too.",
    ):
        if not access.may_act():
            why, todo = access.how_to_act()
            st.text(f"Notes are not kept for this browser. {why}. {todo}.")
            return
        _ask(run, kind, token)


def link_to(note: data.notes.Note) -> None:
    """The way back to what a note is on; nothing where there is no such page any more."""
    if any(page.name == note.page for page in PAGES):
        values = {**note.values, "run": selection.asked("run")}
        selection.link_back(note.page, f"Open {title_of(note.page)}", values)


def _ask(run: data.runs.RunKey, kind: str, token: int | None) -> None:
    page, values = selection.view()
    values = {name: text for name, text in values.items() if name not in _NOT_IN_A_VIEW}
    about = title_of(page)
    if token is not None:
        page, about = "token", data.notes.token_name(run, token)
        values |= {"token": str(token)}
    elif kind == RULE:
        about = f"rule {values.get('rule', 'default')}"[: data.notes.MOST_LETTERS["about"]]
    with st.form(f"pin form {kind}", clear_on_submit=True, border=False):
        st.text(f"On {words.visible(about, spaces=True)}")
        most = data.notes.MOST_LETTERS["text"]
        text = st.text_area("Note", key=f"pin text {kind}", max_chars=most, placeholder=_PLACE)
        if st.form_submit_button("Keep the note"):
            _keep(run, kind, about, text, page, values)


def _keep(
    run: data.runs.RunKey, kind: str, about: str, text: str, page: str, values: dict[str, str]
) -> None:
    try:
        data.notes.keep(run, data.notes.Note(kind, about, text, page, values))
    except data.runs.RockError as e:
        st.warning(words.literal(str(e)))
    else:
        st.text("Kept. It stands on the page Notes and report.")
