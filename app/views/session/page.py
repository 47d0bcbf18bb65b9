"""Start a training, watch it, stop it. The training is a process of its own; this page only reads
its folder.
"""

import streamlit as st

from app import data, selection

OWN = "own pair"


def numbers(scenario: str) -> dict[str, int | float | None]:
    """The fields every training has; an empty one leaves the default that it shows."""
    default = data.runs.defaults(scenario)
    columns = st.columns(4)
    return {
        "steps": columns[0].number_input(
            "Steps", min_value=1, value=None, step=1, placeholder=f"{default['steps']}"
        ),
        "rollouts": columns[1].number_input(
            "Rollouts a step", min_value=1, value=None, step=1, placeholder=f"{default['rollouts']}"
        ),
        "lr": columns[2].number_input(
            "Learning rate",
            min_value=0.0,
            value=None,
            format="%g",
            placeholder=f"{default['lr']:g}",
        ),
        "seed": columns[3].number_input("Seed", min_value=0, value=None, step=1, placeholder="0"),
    }


def order_form() -> None:
    """Ask what to train, and start it."""
    picked = selection.choose(
        "scenario",
        st.segmented_control,
        "Scenario",
        [*data.runs.SCENARIOS, OWN],
        "habit",
        required=True,
    )
    scenario = "" if picked == OWN else picked
    st.text(
        data.runs.SCENARIOS[scenario].summary
        if scenario
        else "Your own student, teacher and prompts; both must share one tokenizer."
    )
    with st.form("training", border=False):
        texts = {"scenario": scenario}
        if not scenario:
            texts["student"] = st.text_input("Student", placeholder="folder or hub name of a model")
            texts["teacher"] = st.text_input("Teacher", placeholder="folder or hub name of a model")
            texts["prompts"] = st.text_input(
                "Prompts",
                placeholder="a .jsonl or .parquet file with the column prompt, and answer if known",
            )
        values = numbers(scenario)
        name = st.text_input(
            "Name", value=data.runs.free_name(scenario), help="The run goes to ./runs/NAME."
        )
        if not st.form_submit_button("Start training", type="primary"):
            return
    try:
        folder = data.runs.start_training(data.runs.Order(**texts, **values), name.strip())  # pyright: ignore[reportArgumentType]
    except data.runs.CannotStart as e:
        st.text(str(e))
        return
    selection.pick("watch", folder.name)
    st.rerun()


def watch(name: str, was_running: bool) -> None:
    """How the training stands: one line, how far it is, the end of its output."""
    now = data.runs.watch(name)
    st.text(now.line)
    if now.run is not None:
        if now.running and st.button("Stop after this step"):
            data.runs.request_stop(now.run.path)
            st.text(
                "Stop requested: it ends after its current step, and everything logged so far "
                "stays."
            )
        if st.button("Watch it live" if now.running else "Open this run"):
            selection.pick("run", name)
            st.switch_page("views/live/page.py" if now.running else "views/overview/page.py")
        try:
            progress(now.run)
        except data.runs.RockError as e:
            st.text(str(e))
    elif now.running and st.button("Cancel"):
        data.runs.cancel_training(name)
    if now.output:
        st.caption("End of its output")
        st.code(now.output, language=None, height=240)
    if was_running and not now.running:
        st.rerun()  # the whole page: no need to look again every two seconds


def progress(run: data.runs.RunKey) -> None:
    far = data.live.progress(run)
    if far is None:
        st.text("No step is finished yet.")
        return
    st.progress(
        far.step / max(far.steps, 1),
        f"Step {far.step} of {far.steps} · mean kl {far.kl_mean:.4f} nats",
    )


st.title("Train a student")
if data.runs.can_train():
    order_form()
else:
    st.subheader("Training needs torch, which is not installed")
    st.text("Looking at logs works without it. To train, install it, then reload this page:")
    st.code('python -m pip install -e ".[train]"', language=None)

names = data.runs.trainings()
if names:
    st.subheader("Watch")
    watched = selection.choose("watch", st.selectbox, "Training", names, names[0])
    running = data.runs.watch(watched).running
    st.fragment(watch, run_every=2 if running else None)(watched, running)
else:
    st.text(
        "No training was started from this folder yet; its runs would be listed here, and in the "
        "sidebar."
    )
