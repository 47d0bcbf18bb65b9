"""Start a training, watch it, stop it. The training is a process of its own; this page only reads
its folder.
"""

import streamlit as st

from app import data, selection

OWN = "own pair"


HINTS = {
    "student": "folder or hub name of a model",
    "teacher": "folder or hub name of a model",
    "prompts": "a .jsonl or .parquet file with the column prompt, and answer if known",
}


def ask_numbers(scenario: str) -> dict[str, int | float | None]:
    """The numbers every training has; an empty field leaves the default that it shows."""
    asked, default = data.trainings.asked_for(), data.trainings.defaults(scenario)
    values: dict[str, int | float | None] = {}
    for column, setting in zip(st.columns(len(asked)), asked, strict=True):
        least = setting.least if setting.whole else setting.above
        values[setting.name] = column.number_input(
            f"{setting.label} ({setting.unit})" if setting.unit else setting.label,
            min_value=least if setting.whole or least is None else float(least),
            value=None,
            step=1 if setting.whole else None,
            format="%d" if setting.whole else "%g",
            placeholder=f"{default[setting.name]:g}",
            help=setting.help,
        )
    return values


def ask_arm() -> dict[str, str]:
    """What is trained on, and by which set; the baseline asks for none."""
    arms = data.trainings.arms()
    left, right = st.columns([1, 2])
    arm = left.selectbox("Arm", list(arms), help=data.trainings.about("arm"))
    users = ", ".join(name for name, needs_set in arms.items() if needs_set)
    rocks = right.text_input(
        "Rock set", placeholder=f"file, for {users}", help=data.trainings.about("rocks")
    )
    return {"arm": arm or "", "rocks": rocks.strip()}


def ask_what_to_train() -> None:
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
        if scenario:
            task = {"scenario": scenario}
        else:
            task = {
                setting.name: st.text_input(setting.label, placeholder=HINTS[setting.name]).strip()
                for setting in data.trainings.pair()
            }
        values = ask_numbers(scenario) | ask_arm()
        name = st.text_input(
            "Name", value=data.trainings.free_name(scenario), help="The run goes to ./runs/NAME."
        )
        if not st.form_submit_button("Start training", type="primary"):
            return
    try:
        folder = data.trainings.start_training(task | values, name.strip())
    except data.runs.RockError as e:
        st.text(str(e))
        return
    selection.pick("watch", folder.name)
    st.rerun()


def watch(name: str, was_running: bool) -> None:
    """How the training stands: one line, how far it is, the end of its output."""
    now = data.trainings.watch(name)
    st.text(now.line)
    if now.run is not None:
        if now.running and st.button("Stop after this step"):
            data.trainings.request_stop(now.run.path)
            st.text(
                "Stop requested: it ends after its current step, and everything logged so far "
                "stays."
            )
        if st.button("Watch it live" if now.running else "Open this run"):
            selection.pick("run", data.trainings.name_in_sidebar(now.run))
            st.switch_page("views/live/page.py" if now.running else "views/overview/page.py")
        try:
            show_progress(now.run)
        except data.runs.RockError as e:
            st.text(str(e))
    elif now.running and st.button("Cancel"):
        data.trainings.cancel_training(name)
    if now.output:
        st.caption("End of its output")
        st.code(now.output, language=None, height=240)
    if was_running and not now.running:
        st.rerun()  # the whole page: no need to look again every two seconds


def show_progress(run: data.runs.RunKey) -> None:
    far = data.runs.facts(run).progress
    if far is None:
        st.text("No step is finished yet.")
        return
    st.progress(
        far.step / max(far.steps, 1),
        f"Step {far.step} of {far.steps}"
        + ("" if far.kl_mean is None else f" · mean kl {far.kl_mean:.4f} nats"),
    )


st.title("Train a student")
if data.trainings.can_train():
    ask_what_to_train()
else:
    st.subheader("Training needs torch, which is not installed")
    st.text("Looking at logs works without it. To train, install it, then reload this page:")
    st.code('python -m pip install -e ".[train]"', language=None)

names = data.trainings.trainings()
if names:
    st.subheader("Watch")
    watched = selection.choose("watch", st.selectbox, "Training", names, names[0])
    running = data.trainings.watch(watched).running
    st.fragment(watch, run_every=2 if running else None)(watched, running)
else:
    st.text(
        "No training was started from this folder yet; its runs would be listed here, and in the "
        "sidebar."
    )
