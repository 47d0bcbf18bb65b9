"""The page Session and what it calls: who may start trainings, from what, how many at once."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import write_tiny_run
from pages import own_buttons, words
from patience import PATIENCE_S
from streamlit.testing.v1 import AppTest

from app import access, data
from app.access import Terms
from app.data import children, turns
from rockcore import log
from rockcore.config import BadConfig, SessionConfig, refuse_beyond_form, settings
from rockcore.interventions.sets import BadIntervention
from rockcore.log.lock import locked
from rockcore.rocks.rule import RockRule


@pytest.fixture
def terms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """terms(trainings=2, models=(…,)) opens the dashboard on these terms, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda **asked: monkeypatch.setattr(access, "_terms", Terms(acting="s" * 20, **asked))


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def labels(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


# Who may.


@pytest.mark.parametrize("secret", ["", "s" * 20])
def test_who_may_only_look_has_no_controls_and_reads_what_is_missing(
    secret: str, open_app, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_terms", Terms(acting=secret))
    app = open_app("session")
    assert not app.exception and not own_buttons(app) and not app.number_input
    told = words(app)
    assert ("?access=" in told and "terminal" in told) if secret else "rockcore app" in told


ACTS: dict[str, Callable[[], object]] = {
    "start": lambda: data.trainings.start_training({"scenario": "habit"}, "x"),
    "start behind the page": lambda: turns.start({"scenario": "habit"}, Path("runs/x")),
    "cancel": lambda: data.trainings.cancel_training("x"),
    "stop": lambda: data.trainings.request_stop(data.runs.RunKey("/", "")),
    "save a rule": lambda: data.rules.save(RockRule(), "mine"),
    "look into a folder": lambda: data.shelves.models(),
    "look into sets": lambda: data.shelves.sets(),
    "start the demo": lambda: data.trainings.start_demo(),
    "reset the demo": lambda: data.trainings.reset_demo(),
}


@pytest.mark.parametrize("what", ACTS)
def test_the_server_refuses_every_act_of_who_may_only_look(what: str, terms) -> None:
    terms()
    with pytest.raises(access.Refused, match="access="):
        ACTS[what]()
    assert not list(Path().iterdir())


def test_a_button_that_was_drawn_when_one_might_act_does_nothing_afterwards(
    open_app, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a forged message: the click comes from a browser that has not shown the secret."""
    monkeypatch.setattr(access, "may_act", lambda: True)
    app = open_app("session")
    monkeypatch.setattr(access, "may_act", lambda: False)
    press(app, "Start training")
    assert not app.exception and not Path("runs").exists()


# What is asked for.


def test_a_name_that_is_no_plain_name_is_refused(may_act: None, terms) -> None:
    terms()
    names = ["", ".", "..", "../x", "/x", ".hidden", "a/b", "a\\b", "a" * 65, "a\x00b", "x.", "-x"]
    names += ["a b", "ä", "\ud800", "con", "NUL.txt", "com1", "a\n", "~", "$HOME", "run[1]", "*"]
    for name in names:
        with pytest.raises(data.trainings.CannotStart, match="no name for a folder"):
            data.trainings.start_training({"scenario": "habit"}, name)
    assert not list(Path().iterdir())


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"lr": 0.0}, {"seed": -1}, {"lr": float("inf")}])
def test_a_setting_out_of_its_range_starts_nothing(
    wrong: dict[str, float], may_act: None, tmp_path: Path
) -> None:
    with pytest.raises(data.runs.RockError, match=next(iter(wrong))):
        turns.start({"scenario": "habit"} | wrong, tmp_path / "new")
    assert not (tmp_path / "new").exists()


ASKED = [setting for setting in settings() if setting.in_form]


@pytest.mark.parametrize("setting", ASKED, ids=lambda setting: setting.name)
def test_a_number_of_the_form_that_is_too_large_starts_nothing_and_the_page_says_why(
    setting, may_act: None, open_app
) -> None:
    app = open_app("session")
    box = next(box for box in app.number_input if box.label == setting.label)
    box.set_value(10**12 if setting.whole else 1e12)
    press(app, "Start training")
    told = words(app)
    assert not app.exception and f"{setting.name} = 1" in told and f"{setting.most:,}" in told
    assert setting.flag in told and not Path("runs").exists()


@pytest.mark.parametrize("value", [0, -5, 2.5, 1e300])
def test_a_number_that_counts_nothing_starts_nothing_and_the_page_says_why(
    value: float, may_act: None, open_app
) -> None:
    app = open_app("session")
    next(box for box in app.number_input if box.label == "Steps").set_value(value)
    press(app, "Start training")
    assert not app.exception and "steps = " in words(app) and not Path("runs").exists()


def test_the_command_line_takes_more_than_a_form() -> None:
    many = SessionConfig(steps=10**9)
    many.resolved()
    with pytest.raises(BadConfig, match="steps = 1,000,000,000"):
        refuse_beyond_form(many)


@pytest.mark.parametrize("given", [{}, {"student": "x"}, {"student": "x", "teacher": "y"}])
def test_an_own_pair_needs_all_three_fields(
    given: dict[str, str], may_act: None, tmp_path: Path
) -> None:
    form = {"student": "", "teacher": "", "prompts": ""} | given
    with pytest.raises(data.trainings.CannotStart):
        turns.start(form, tmp_path / "own")


def test_an_arm_without_its_set_starts_nothing_and_the_page_says_why(
    may_act: None, open_app
) -> None:
    app = open_app("session")
    next(box for box in app.selectbox if box.label == "Arm").set_value("rock-freeze")
    press(app, "Start training")
    assert not app.exception and "--arm rock-freeze without --rocks" in words(app)
    assert not Path("runs").exists()


# What is picked from disk.


def model_at(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_models_and_prompts_are_offered_from_the_named_folders_and_from_nowhere_else(
    may_act: None, terms, tmp_path: Path
) -> None:
    shelf = model_at(tmp_path / "shelf" / "org" / "one").parents[1]
    model_at(shelf / "two")
    model_at(shelf / ".hidden")
    model_at(tmp_path / "outside")
    (shelf / "leads out").symlink_to(tmp_path / "outside")
    model_at(shelf / "half")
    (shelf / "half" / "model.safetensors").symlink_to(tmp_path / "outside" / "config.json")
    (shelf / "circle").symlink_to(shelf / "circle")
    (shelf / "p.jsonl").write_text("")
    (shelf / "other.txt").write_text("")
    (shelf / "out.jsonl").symlink_to("/etc/passwd")
    (shelf / "folder.jsonl").mkdir()
    os.mkfifo(shelf / "pipe.jsonl")
    terms(models=(shelf,), prompts=(shelf, tmp_path / "gone"))
    assert data.trainings.offered("student") == ["shelf/org/one", "shelf/two"]
    assert data.trainings.offered("prompts") == ["shelf/p.jsonl"]
    assert data.trainings.offered("rocks") == []


INDEXES = {
    "brackets without end": "[" * 100_000,
    "another folder": '{"weight_map": {"a": "part-1", "b": "../../outside/w"}}',
    "a path": '{"weight_map": {"a": "/etc/passwd"}}',
    "a NUL": '{"weight_map": {"a": "x\\u0000"}}',
    "no name": '{"weight_map": {"a": {}}}',
    "no names": '{"weight_map": []}',
    "nothing": "",
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_a_model_whose_index_leads_out_of_the_named_folder_is_not_offered(
    index: str, may_act: None, terms, tmp_path: Path
) -> None:
    model, good = model_at(tmp_path / "shelf" / "m"), model_at(tmp_path / "shelf" / "good")
    (model / "model.safetensors.index.json").write_text(index)
    (good / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part-1"}}')
    (model_at(tmp_path / "shelf" / "deep") / "parts").mkdir()
    (tmp_path / "shelf" / "deep" / "parts" / "1").symlink_to("/etc/passwd")
    terms(models=(tmp_path / "shelf",))
    assert data.trainings.offered("student") == ["shelf/good"]


@pytest.mark.parametrize("path", ["/etc", "outside", "../outside", "shelf/../outside", "x\x00y"])
def test_a_path_is_no_name_of_a_model(path: str, may_act: None, terms, tmp_path: Path) -> None:
    model_at(tmp_path / "outside")
    model_at(tmp_path / "shelf" / "one")
    terms(models=(tmp_path / "shelf",))
    with pytest.raises(data.shelves.NotOffered, match="is not among the 1 that"):
        data.trainings.start_training({"student": path, "teacher": "shelf/one"}, "new")
    assert not (tmp_path / "runs").exists()


def test_two_folders_with_one_name_are_told_apart(may_act: None, terms, tmp_path: Path) -> None:
    shelves = tuple(model_at(tmp_path / place / "models" / "m").parent for place in "ab")
    terms(models=shelves)
    assert data.trainings.offered("teacher") == [str(shelf / "m") for shelf in shelves]


def test_sets_are_those_of_the_runs_and_of_the_named_folders(
    may_act: None, terms, tmp_path: Path, tiny_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run("trained")
    (run / "rocks.json").write_text("{}")
    strange = tiny_run("strange")
    (strange / "rocks.json").symlink_to("/etc/passwd")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "mine.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["main.py", str(run), str(strange)])
    terms(sets=(tmp_path / "sets",))
    assert data.trainings.offered("rocks") == ["sets/mine.json", "trained/rocks.json"]


def test_a_set_that_holds_no_token_starts_nothing(may_act: None, terms, tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    rule = json.loads(RockRule(top_k=0).to_json())
    known = {"ids": [], "rule": rule, "tokenizer_hash": "", "fingerprint": "", "control": {}}
    (tmp_path / "sets" / "empty.json").write_text(json.dumps(known))
    terms(sets=(tmp_path / "sets",))
    asked = {"scenario": "habit", "arm": "soft", "rocks": "sets/empty.json"}
    with pytest.raises(BadIntervention, match="holds no token"):
        data.trainings.start_training(asked, "new")
    assert not (tmp_path / "runs").exists()


# One after another.


def waits_for(name: str) -> str:
    """The name of the thread that waits for the end of a training."""
    return f"waits for {Path('runs', name).resolve()}"


@pytest.fixture
def trainings(
    terms, may_act: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Trainings that are real processes, and last until `end(name)` is called: each reads a pipe
    of its name. Those that were never told to end are told at the end of the test.
    """
    pipes = tmp_path / "pipes"
    pipes.mkdir()

    def command(_: object, folder: Path) -> list[str]:
        if not (pipes / folder.name).exists():
            os.mkfifo(pipes / folder.name)
        read = "import sys; open(sys.argv[1]).read()"
        return [sys.executable, "-c", read, str(pipes / folder.name)]

    def wait_for(name: str) -> None:
        for after in [t for t in threading.enumerate() if t.name == waits_for(name)]:
            after.join(PATIENCE_S)
            assert not after.is_alive()

    def end(name: str) -> None:
        (pipes / name).write_text("")  # waits until it is read
        wait_for(name)

    monkeypatch.setattr(children, "command_of", command)
    terms()
    yield end
    for folder in turns.waiting():
        data.trainings.cancel_training(folder.name)
    for folder in children.running():
        data.trainings.cancel_training(folder.name)
        wait_for(folder.name)


def start(*names: str) -> None:
    for name in names:
        data.trainings.start_training({"scenario": "habit"}, name)


def running() -> list[str]:
    return [folder.name for folder in children.running()]


def test_one_training_runs_at_a_time_and_the_others_wait_in_order(trainings) -> None:
    start(*"abc")
    assert running() == ["a"] and data.trainings.queue() == ["b", "c"]
    assert "place 2 of 2" in data.trainings.watch("c").line
    assert not Path("runs/b").exists()  # nothing of it is on disk before its turn
    trainings("a")
    assert running() == ["b"] and data.trainings.queue() == ["c"]
    trainings("b")
    assert running() == ["c"] and data.trainings.queue() == []
    assert children.exit_code(Path("runs/b")) == 0


def test_as_many_run_at_once_as_the_command_line_says(trainings, terms) -> None:
    terms(trainings=2)
    start(*"abcd")
    assert running() == ["a", "b"] and data.trainings.queue() == ["c", "d"]
    trainings("b")
    assert running() == ["a", "c"]


def test_a_training_of_an_earlier_dashboard_counts_as_one(
    trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LOOK_S", 0.01)
    old = Path("runs/old")
    old.mkdir(parents=True)
    (old / "output.txt").write_text("")
    with locked(old, "training"):
        start("a")
        assert running() == [] and data.trainings.queue() == ["a"]
        (after,) = [t for t in threading.enumerate() if t.name == waits_for("old")]
    after.join(PATIENCE_S)
    assert running() == ["a"] and data.trainings.queue() == []


def test_a_training_that_another_dashboard_begins_meanwhile_is_waited_for_too(
    trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is told to nobody here: what waits would wait for ever."""
    monkeypatch.setattr(turns, "_LOOK_S", 0.01)
    strange = Path("runs/strange")
    start("a", "b")
    strange.mkdir()
    (strange / "output.txt").write_text("")
    with locked(strange, "training"):
        trainings("a")
        assert running() == [] and data.trainings.queue() == ["b"]
        (after,) = [t for t in threading.enumerate() if t.name == waits_for("strange")]
    after.join(PATIENCE_S)
    assert running() == ["b"]


def test_what_waits_can_be_taken_out_of_the_queue(trainings) -> None:
    start(*"abc")
    data.trainings.cancel_training("b")
    trainings("a")
    assert running() == ["c"] and not Path("runs/b").exists()


def test_a_name_in_the_queue_is_taken_and_the_next_free_one_is_offered(trainings) -> None:
    start("a", "habit-1")
    assert data.trainings.free_name("habit") == "habit-2"
    with pytest.raises(data.trainings.CannotStart, match="is waiting"):
        start("habit-1")


def test_where_its_turn_comes_in_vain_the_reason_is_kept_and_the_next_one_starts(trainings) -> None:
    start(*"abc")
    Path("runs/b").mkdir()
    Path("runs/b/mine.txt").write_text("in the way")
    trainings("a")
    assert running() == ["c"]
    assert "could not be started" in data.trainings.watch("b").line
    assert "already holds files" in data.trainings.watch("b").line


def test_a_queue_is_bounded(trainings) -> None:
    start("a", *(f"w{i}" for i in range(turns.MOST_WAITING)))
    with pytest.raises(data.trainings.CannotStart, match="are waiting already"):
        start("z")


def test_the_page_shows_the_queue_to_every_visitor_and_lets_who_may_act_leave_it(
    trainings, open_app, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(*"ab")
    app = open_app("session", watch="b")
    assert "In the queue: b." in words(app) and "place 1 of 1" in words(app)
    with monkeypatch.context() as looking:
        looking.setattr(access, "may_act", lambda: False)
        assert "In the queue: b." in words(open_app("session", watch="b"))
    press(app, "Take it out of the queue")
    assert not app.exception and "In the queue" not in words(app)
    assert data.trainings.queue() == []


def test_a_training_taken_out_of_the_queue_is_no_longer_asked_for(trainings, open_app) -> None:
    """Opened by a link to it, or loaded again, the page complained of the link."""
    start(*"ab")
    app = press(open_app("session", watch="b"), "Take it out of the queue")
    assert not app.exception and "which is not here" not in words(app)


def test_a_training_that_was_asked_to_stop_says_so_until_it_has_ended(
    may_act: None, terms, open_app, tmp_path: Path
) -> None:
    """The words were gone at the next look, and the button asked again."""
    terms()
    folder = tmp_path / "runs" / "a"
    shutil.copytree(log.sample_runs() / "habit", folder)
    (folder / children.OUTPUT).touch()
    meta = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(meta | {"status": "running"}))
    with locked(folder, "training"):
        app = open_app("session", watch="a")
        press(app, "Stop after this step").run()
        assert "Stop requested" in words(app) and "Stop after this step" not in labels(app)
        assert "asked to stop" in words(open_app("live", run="a"))
    (folder / "run.json").write_text(json.dumps(meta | {"status": "stopped"}))
    assert "Stop requested" not in words(app.run())


def test_a_training_that_dies_at_once_shows_its_exit_code_and_what_it_printed_but_no_prompt(
    may_act: None, terms, tmp_path: Path
) -> None:
    model_at(tmp_path / "models" / "m")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "p.jsonl").write_text('{"password": "hunter2", "user": "root"}')
    terms(models=(tmp_path / "models",), prompts=(tmp_path / "prompts",))
    own = {"student": "models/m", "teacher": "models/m", "prompts": "prompts/p.jsonl"}
    folder = data.trainings.start_training(own, "own-1")
    if child := children._children.get(folder.resolve()):
        child.wait(PATIENCE_S)
    for _ in range(2):  # the second look finds the process let go, and its code remembered
        seen = data.trainings.watch("own-1")
        assert not seen.running and "exit code 1" in seen.line
        assert not children._children
    assert data.trainings.trainings() == ["own-1"]
    assert folder.resolve() in children.started()
    assert "row 1 has no 'prompt'" in " ".join(seen.output.split())
    assert "hunter2" not in seen.output and "password" not in seen.output


def test_what_a_training_printed_is_shown_to_who_may_act_alone(
    may_act: None, open_app, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path("runs/x")
    app = open_app("session")
    folder.mkdir(parents=True)
    (folder / "output.txt").write_text("a path of this machine")
    monkeypatch.setitem(children._ended, folder.resolve(), 1)
    assert [code.value for code in open_app("session").code] == ["a path of this machine"]
    monkeypatch.setattr(access, "may_act", lambda: False)
    app = open_app("session")
    assert not app.code and not app.exception and app.selectbox(key="widget watch").value == "x"


def test_who_may_only_look_is_not_told_of_runs_that_the_dashboard_was_not_started_with(
    may_act: None, open_app, tiny_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_app("session", tiny_run())  # and no other
    (write_tiny_run(Path("runs/private").resolve()) / "output.txt").write_text("")
    assert data.trainings.trainings() == ["private"]
    monkeypatch.setattr(access, "may_act", lambda: False)
    assert data.trainings.trainings() == []
    assert "private" not in words(open_app("session", tiny_run(), watch="other"))
    monkeypatch.setattr(sys, "argv", ["main.py", "runs"])
    assert data.trainings.trainings() == ["private"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_what_stands_in_the_place_of_an_output_is_neither_waited_for_nor_followed(
    tmp_path: Path,
) -> None:
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "output.txt")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "output.txt").symlink_to("/etc/passwd")
    (tmp_path / "folder" / "output.txt").mkdir(parents=True)
    for name in ("pipe", "link", "folder", "gone"):
        assert children.output(tmp_path / name) == ""


def test_of_the_trainings_that_ended_only_the_last_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "_ended", type(children._ended)())
    for i in range(children._MOST_ENDED + 5):
        children._ended[Path(f"/{i}")] = 0
    assert children.exit_code(Path("/0")) is None and children.exit_code(Path("/9")) == 0
    assert len(children._ended) == children._MOST_ENDED


# The demo of a lecture, and how long a training takes.


def write_demo(**settings: object) -> Path:
    """The folder of a demo that has ended, or of one like it."""
    folder = Path("runs", data.trainings.DEMO)
    folder.mkdir(parents=True)
    (folder / children.OUTPUT).write_text("trained")
    meta = {"config": {**data.trainings.OF_DEMO, **settings}}
    (folder / "run.json").write_text(json.dumps(meta))
    return folder


def test_the_demo_starts_by_one_click_once_and_a_reset_ends_and_removes_it_alone(
    trainings, open_app
) -> None:
    start("mine")  # which goes on
    app = open_app("session")
    press(app, "Run the demo")
    assert running() == ["mine"] and data.trainings.queue() == [data.trainings.DEMO]
    app = open_app("session")
    assert "Run the demo" not in labels(app)
    press(app, "Reset the demo")
    assert not app.exception and data.trainings.queue() == []
    trainings("mine")
    press(open_app("session"), "Run the demo")
    assert running() == [data.trainings.DEMO]
    app = open_app("session", watch=data.trainings.DEMO)
    press(app, "Reset the demo")
    assert not app.exception and running() == [] and "Run the demo" in labels(app)
    assert [folder.name for folder in Path("runs").iterdir()] == ["mine"]
    assert "not here" not in words(app)


def test_a_reset_removes_a_demo_that_has_ended_and_nothing_that_is_none(
    may_act: None, terms
) -> None:
    terms()
    folder = write_demo()
    data.trainings.reset_demo()
    assert not folder.exists()
    folder = write_demo(steps=150)  # trained by hand, under its name
    with pytest.raises(data.runs.RockError, match="not what the demo writes"):
        data.trainings.reset_demo()
    assert (folder / "run.json").exists()


def test_a_reset_follows_no_link(may_act: None, terms, tmp_path: Path) -> None:
    terms()
    write_demo().rename(tmp_path / "precious")
    Path("runs", data.trainings.DEMO).symlink_to(tmp_path / "precious")
    with pytest.raises(data.runs.RockError, match="not what the demo writes"):
        data.trainings.reset_demo()
    assert (tmp_path / "precious" / "run.json").exists()


def test_how_long_a_training_takes_is_said_before_it_starts_and_grows_with_its_steps(
    may_act: None, open_app
) -> None:
    app = open_app("session", scenario="skill")
    assert "reckoned from the run skill" in words(app)
    said = lambda **more: data.trainings.expect({"scenario": "skill", **more})  # noqa: E731
    usual, longer, wider = said(), said(steps=400), said(rollouts=64)
    assert usual and longer and wider and usual.low_s <= usual.took_s <= usual.high_s
    assert longer.low_s > usual.low_s and wider.high_s > usual.high_s
    next(box for box in app.number_input if box.label == "Steps").set_value(100_000).run()
    assert "h, reckoned" in words(app) or "days, reckoned" in words(app)
    assert data.trainings.expect({"scenario": "skill", "steps": -1}) is None


def test_the_numbers_of_a_form_are_those_that_will_be_used(may_act: None, open_app) -> None:
    app = open_app("session", scenario="skill")
    shown = {box.label: box.value for box in app.number_input}
    for setting in ASKED:
        assert shown[setting.label] == data.trainings.defaults("skill")[setting.name]
