"""Turn the log of another trainer into a run. The import is a process of its own; this page starts
it and shows what it says.
"""

import streamlit as st

from app import access, data, selection

ADD_LOGS = "--logs DIR, or put it into ./logs"
ADD_MODELS = "--models DIR, or put it into ./models"


def ask_from(label: str, names: list[str], add: str, help: str) -> str:
    """One of a shelf; "" for none."""
    picked = st.selectbox(
        label,
        names,
        index=None,
        placeholder=f"one of {len(names)}" if names else f"none: {add}",
        help=f"{help} Others: start rockcore app with {add}.",
        disabled=not names,
    )
    return picked or ""


def ask_logs() -> list[str]:
    names = data.imports.logs()
    return st.multiselect(
        "Logs",
        names,
        placeholder=f"of {len(names)} files and folders" if names else f"none: {ADD_LOGS}",
        help="Files, or folders of them, of one export. Others: start rockcore app with "
        f"{ADD_LOGS}.",
        disabled=not names,
    )


def ask_what_is_not_told() -> data.imports.Told:
    """What some exports do not say themselves; most need none of it."""
    with st.expander("What the export does not say"):
        left, right = st.columns(2)
        renames = left.text_area(
            "Fields",
            placeholder="sampled_loss=reverse_kl",
            help="COLUMN=FIELD, one a line: which field of the export fills a column of ours, "
            "where it is called otherwise.",
        )
        steps = right.text_input(
            "Steps",
            placeholder="0,500",
            help="The step of each file in its order, where the export does not tell.",
        )
        whose = right.selectbox(
            "Whose student_logp",
            data.imports.JUDGES,
            index=None,
            placeholder="as the export says",
            help="Of the model that is trained, or of the engine that sampled, where the export "
            "has both.",
        )
        kind = right.selectbox(
            "What kl is",
            data.imports.ESTIMATORS,
            index=None,
            placeholder="as the export says",
            help="Over the whole vocabulary, or the likeliest tokens with or without the rest.",
        )
        opd = left.checkbox(
            "Its advantages are log p_teacher − log p_student",
            help="As the on-policy distillation estimator of NeMo-RL writes them; with any other "
            "they are not.",
        )
        reference = left.checkbox(
            "Its reference model was the teacher",
            help="A divergence from a reference model is not one from a teacher, unless it was.",
        )
    return data.imports.Told(renames, steps, whose or "", kind or "", opd, reference)


def ask_what_to_import() -> None:
    """Ask what to import, and start it."""
    with st.form("import", border=False, enter_to_submit=False):
        names = ask_logs()
        left, right = st.columns(2)
        with left:
            format = st.selectbox(
                "Format",
                data.imports.formats(),
                help="auto: recognised by its fields.",
            )
        with right:
            tokenizer = ask_from(
                "Tokenizer",
                data.imports.tokenizers(),
                ADD_MODELS,
                "Of a model: tokens are shown by their text, by their ids without.",
            )
        told = ask_what_is_not_told()
        name = st.text_input(
            "Name",
            value=data.imports.free_name(),
            max_chars=64,
            help="The run goes to ./runs/NAME.",
        )
        if not st.form_submit_button("Import", type="primary"):
            return
    try:
        folder = data.imports.start_import(format or "", names, tokenizer, name.strip(), told)
    except data.runs.RockError as e:
        st.text(str(e))
        return
    selection.pick("import", folder.name)
    st.rerun()


def watch(name: str, was_going_on: bool) -> None:
    """How the import stands: one line, what can be done with it, what it said."""
    now = data.imports.watch(name)
    st.text(now.line)
    if now.going_on and st.button("Cancel"):
        data.imports.cancel(name)
        st.rerun()
    if now.run is not None:
        for sentence in data.runs.facts(now.run).provenance:
            st.text(sentence)
        if st.button("Open this run"):
            selection.pick("run", data.trainings.name_in_sidebar(now.run))
            st.switch_page("views/overview/page.py")
    if now.output:
        st.caption("End of its output")
        st.code(now.output, language=None, height=240, wrap_lines=True)
    if was_going_on and not now.going_on:
        st.rerun()  # the whole page: the sidebar has the run now


st.title("Import")
st.text(
    "The log of another trainer becomes a run: its texts, its tokens, and what it says of them."
)
if not access.may_act():
    st.subheader("Here you can look at runs, and not import any")
    for sentence in access.how_to_act():
        st.text(f"{sentence}.")
    selection.stop()
ask_what_to_import()
names = data.imports.imports()
if names:
    st.subheader("Watch")
    watched = selection.choose("import", st.selectbox, "Import", names, names[0])
    going_on = data.imports.watch(watched).going_on
    st.fragment(watch, run_every=2 if going_on else None)(watched, going_on)
