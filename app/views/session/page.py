"""Start a training, watch it, stop it. The training is a process of its own; this page only reads
its folder.
"""

from typing import Any

import streamlit as st

from app import access, data, selection, words

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
    """The numbers every training has, first as they are tuned for the scenario; what is left so, or
    left empty, is not given.
    """
    asked, default = data.trainings.asked_for(), data.trainings.defaults(scenario)
    values: dict[str, float | None] = {}
    for column, setting in zip(st.columns(len(asked)), asked, strict=True):
        first = float(default[setting.name])
        # no bounds: a browser would keep what is out of them to itself, and the training begin
        # without it; the server refuses it in words
        value = column.number_input(
            f"{setting.label} ({setting.unit})" if setting.unit else setting.label,
            value=first,
            step=1.0 if setting.whole else None,
            format="%.0f" if setting.whole else "%g",
            help=setting.help,
        )
        values[setting.name] = None if value == first else value
    return values


def say_how_long(settings: dict[str, Any]) -> None:
    """How long a training with these settings will take, and how that is known."""
    if (found := data.trainings.expect(settings)) is None:
        st.text("How long it will take is known after its first steps.")
        return
    st.text(
        f"About {words.duration(found.low_s)} to {words.duration(found.high_s)}, reckoned from the "
        f"run {found.run}: {found.steps} steps of {found.rollouts} rollouts in "
        f"{words.duration(found.took_s)} on the machine that trained it. A slower or busier one "
        "takes longer."
    )


def offer_demo() -> None:
    """The training of a lecture: started, and taken away, by one click each."""
    of, there = data.trainings.OF_DEMO, data.trainings.is_demo_there()
    st.subheader("Demo, under a minute")
    st.text(
        f"{of['steps']} steps of {of['rollouts']} rollouts of {of['scenario']}, into "
        f"./runs/{data.trainings.DEMO}. One training at a time, one folder: it can be left running."
    )
    say_how_long(dict(of))
    try:
        if there and st.button("Reset the demo", help="Ends it, and removes its run and no other."):
            data.trainings.reset_demo()
            leave(data.trainings.DEMO)
        elif not there and st.button("Run the demo", type="primary"):
            selection.pick("watch", data.trainings.start_demo().name)
            st.rerun()
    except data.runs.RockError as e:
        st.text(str(e))


def leave(name: str) -> None:
    """Ask no more for a training that is gone."""
    for place in ("watch", "run"):
        if selection.asked(place) == name:
            selection.pick(place, "")
    st.rerun()


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
    if scenario:
        task: dict[str, Any] = {"scenario": scenario}
    else:
        task = {
            setting.name: ask_from_shelf(setting.name, setting.label)
            for setting in data.trainings.pair()
        }
    settings = task | ask_numbers(scenario) | ask_arm()
    name = st.text_input(
        "Name",
        value=data.trainings.free_name(scenario),
        max_chars=64,
        help="The run goes to ./runs/NAME.",
    )
    say_how_long(settings)
    if not st.button("Start training", type="primary"):
        return
    try:
        folder = data.trainings.start_training(settings, name.strip())
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
        + ("" if far.kl_mean is None else f" · mean KL {far.kl_mean:.4f} nats"),
    )


st.title("Train a student")
if not access.may_act():
    st.subheader("Here you can look at trainings, and not start or stop any")
    for sentence in access.how_to_act():
        st.text(f"{sentence}.")
elif data.trainings.can_train():
    offer_demo()
    st.subheader("A training of your own")
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
