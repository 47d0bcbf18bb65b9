"""Start a training, watch it, stop it. The training is a process of its own; this page only reads
its folder.
"""

import streamlit as st

from app import access, data, selection

OWN = "own pair"
STOPPING = (
    "Stop requested: it ends after its current step, and scores its last texts. Everything logged "
    "so far stays."
)

SHELVES = {  # what a form picks from, and how the command line adds to it
    "student": ("models", "--models DIR, or put it into ./models"),
    "teacher": ("models", "--models DIR, or put it into ./models"),
    "prompts": ("prompts", "--prompts DIR, or put it into ./prompts"),
    "rocks": ("rock sets", "--sets DIR, or put it into ./sets"),
}


def ask_numbers(scenario: str) -> dict[str, float | None]:
    """The numbers every training has; an empty field leaves the default that it shows."""
    asked, default = data.trainings.asked_for(), data.trainings.defaults(scenario)
    values: dict[str, float | None] = {}
    for column, setting in zip(st.columns(len(asked)), asked, strict=True):
        # no bounds: a browser would keep what is out of them to itself, and the training begin
        # without it; the server refuses it in words
        values[setting.name] = column.number_input(
            f"{setting.label} ({setting.unit})" if setting.unit else setting.label,
            value=None,
            step=1.0 if setting.whole else None,
            format="%.0f" if setting.whole else "%g",
            placeholder=f"{default[setting.name]:g}",
            help=setting.help,
        )
    return values


def ask_from_shelf(setting: str, label: str, help: str | None = None) -> str:
    """One of what lies in the named folders; "" for none."""
    what, to_add = SHELVES[setting]
    names = data.trainings.offered(setting)
    picked = st.selectbox(
        label,
        names,
        index=None,
        placeholder=f"one of {len(names)}" if names else f"no {what}: {to_add}",
        help=help or f"Others: start rockcore app with {to_add}.",
        disabled=not names,
    )
    return picked or ""


def ask_arm() -> dict[str, str]:
    """What is trained on, and by which set; the baseline asks for none."""
    arms = data.trainings.arms()
    left, right = st.columns([1, 2])
    arm = left.selectbox("Arm", list(arms), help=data.trainings.about("arm"))
    users = ", ".join(name for name, needs_set in arms.items() if needs_set)
    with right:
        rocks = ask_from_shelf("rocks", "Rock set", f"For {users}: {data.trainings.about('rocks')}")
    return {"arm": arm or "", "rocks": rocks}


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
    with st.form("training", border=False, enter_to_submit=False):
        if scenario:
            task = {"scenario": scenario}
        else:
            task = {
                setting.name: ask_from_shelf(setting.name, setting.label)
                for setting in data.trainings.pair()
            }
        values = ask_numbers(scenario) | ask_arm()
        name = st.text_input(
            "Name",
            value=data.trainings.free_name(scenario),
            max_chars=64,
            help="The run goes to ./runs/NAME.",
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
    try:
        show_controls(name, now)
        if now.run is not None:
            show_progress(now.run)
    except data.runs.RockError as e:
        st.text(str(e))
    if now.output and access.may_act():
        st.caption("End of its output")
        st.code(now.output, language=None, height=240)
    if was_running and not now.running:
        st.rerun()  # the whole page: no need to look again every two seconds


def show_controls(name: str, now: data.trainings.Watched) -> None:
    """What can be done with the training; to look at it is all that everyone may."""
    if now.running and access.may_act():
        if now.run is None:
            if st.button("Cancel" if now.place is None else "Take it out of the queue"):
                data.trainings.cancel_training(name)
                selection.pick("watch", "")  # else the address goes on asking for it
                st.rerun()
        elif now.stopping:
            st.text(STOPPING)
        elif st.button("Stop after this step"):
            data.trainings.request_stop(now.run)
            st.text(STOPPING)
    if now.run is not None and st.button("Watch it live" if now.running else "Open this run"):
        selection.pick("run", data.trainings.name_in_sidebar(now.run))
        st.switch_page("views/live/page.py" if now.running else "views/overview/page.py")


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
if not access.may_act():
    st.subheader("Here you can look at trainings, and not start or stop any")
    for sentence in access.how_to_act():
        st.text(f"{sentence}.")
elif data.trainings.can_train():
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
    if queue := data.trainings.queue():
        st.text(
            f"{data.trainings.at_once()} may train at a time. In the queue: {', '.join(queue)}. It "
            "ends with the dashboard: what still waits then is not started."
        )
    st.fragment(watch, run_every=2 if running else None)(watched, running)
else:
    st.text(
        "No training was started from this folder yet; its runs would be listed here, and in the "
        "sidebar."
    )
