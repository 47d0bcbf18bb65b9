"""Rules by name, on the page and in links: what cannot be is told in words, and the lab stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pages import words
from streamlit.testing.v1 import AppTest

from app import data
from rockcore.rocks import RockRule
from rockcore.rocks.rule_fields import KNOBS

pytestmark = pytest.mark.usefixtures("may_act")  # to save is to act

SAVED = RockRule(name="my rule", window=2, top_k=3)


def warned(app: AppTest) -> str:
    return "\n".join(str(w.value) for w in app.warning).replace("\\", "")


def save(app: AppTest, name: str) -> AppTest:
    app.session_state["save rule"] = True  # opens what is drawn only when it is open
    app.run()
    app.text_input(key="save name").set_value(name).run()
    next(b for b in app.button if b.label == "Save the rule").click().run()
    return app


def is_lab(app: AppTest) -> bool:
    return not app.exception and any(m.label == "Rock Tokens K" for m in app.metric)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("paper", "Presets keep their names"),
        ("default", "Presets keep their names"),
        ("a/b", "name = 'a/b'"),
        ("../up", "name = '../up'"),
        (".hidden", "name = '.hidden'"),
        ("x" * 61, "up to 60 letters"),
        ("a;b", "name = 'a;b'"),
    ],
)
def test_a_name_that_cannot_be_is_told_and_the_lab_stays(name, says, open_app, tiny_run):
    app = save(open_app("threshold_lab", tiny_run()), name)
    assert is_lab(app) and says in warned(app)
    assert not list(Path().rglob("*.json"))


def test_a_folder_that_cannot_be_written_is_told_and_the_lab_stays(open_app, tiny_run):
    app = open_app("threshold_lab", tiny_run())
    Path("rules").write_text("in the way")
    save(app, "mine")
    assert is_lab(app) and "could not be written" in warned(app)


BROKEN = {
    "no JSON": "{",
    "a list": "[]",
    "out of range": '{"gamma": 7}',
    "an unknown field": '{"gama": 1}',
    "empty": "",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_that_is_picked_is_told_and_the_lab_stays(what, open_app, tiny_run):
    app = open_app("threshold_lab", tiny_run())
    Path("rules").mkdir()
    Path("rules/x.json").write_text(BROKEN[what])
    app.run()
    app.pills(key="widget preset").set_value("x").run()
    assert is_lab(app) and "rules/x.json" in warned(app)
    assert app.slider(key="widget window").value == RockRule().window


def test_a_file_that_breaks_while_its_rule_is_open_leaves_the_lab(open_app, tiny_run):
    app = save(open_app("threshold_lab", tiny_run()), "x")
    app.run()
    app.pills(key="widget preset").set_value("x").run()
    Path("rules/x.json").write_text("{")
    app.slider(key="widget window").set_value(2).run()
    assert is_lab(app) and app.slider(key="widget window").value == 2


def test_strangers_in_the_folder_are_no_rules(open_app, tiny_run):
    Path("rules").mkdir(exist_ok=True)
    app = open_app("threshold_lab", tiny_run())
    Path("rules/paper.json").write_text(SAVED.to_json())
    Path("rules/a;b.json").write_text(SAVED.to_json())
    Path("rules/folder.json").mkdir()
    Path("rules/good.json").write_text(SAVED.to_json())
    app.run()
    assert is_lab(app) and data.rocks.rule_names()[-2:] == ["lenient", "good"]
    assert data.rocks.named_rule("good").name == "good"


@pytest.mark.parametrize("page", ["threshold_lab", "rock_tokens", "gradients", "steps"])
def test_a_link_may_name_a_saved_rule(page, open_app, tiny_run):
    run = tiny_run()
    app = open_app(page, run)
    data.rocks.save_rule(SAVED, "my rule")
    app = open_app(page, run, rule="my rule")
    assert not app.exception and "No preset" not in words(app)
    if page == "threshold_lab":
        assert app.slider(key="widget window").value == 2
        assert app.pills(key="widget preset").value == "my rule"
    assert data.rocks.rule("my rule;window=3") == RockRule(name="my rule", window=3, top_k=3)


def test_a_link_to_a_rule_that_is_not_there_names_those_that_are(open_app, tiny_run):
    run = tiny_run()
    open_app("threshold_lab", run)
    data.rocks.save_rule(SAVED, "my rule")
    app = open_app("threshold_lab", run, rule="our rule")
    assert "No preset 'our rule'" in words(app) and "my rule" in words(app)


@pytest.mark.parametrize("rule", ["default;gamma=7", "default;post_step=7", "nothing"])
def test_there_is_a_way_back_from_a_rule_that_cannot_be_tried(rule, open_app, tiny_run):
    app = open_app("threshold_lab", tiny_run(), rule=rule)
    assert not app.exception and not is_lab(app)
    next(b for b in app.button if b.label == "Back to the default rule").click().run()
    assert is_lab(app)


# the knobs that are drawn only when their part is open, and that part
INSIDE = {"min_frequency": "out", "drop_most_frequent": "out", "draws": "texts", "seed": "texts"}


@pytest.mark.parametrize("name", [n for n in KNOBS if n not in ("gamma", "tau_pre", "tau_post")])
def test_every_control_takes_the_whole_range_of_its_knob(name, open_app, tiny_run):
    knob = KNOBS[name]
    opened = {"knob": INSIDE[name]} if name in INSIDE else {}
    for end in (knob.low, knob.high):
        if name == "draws" and end == knob.high:
            continue  # minutes
        rule = f"default;{name}={json.dumps(end)}"
        app = open_app("threshold_lab", tiny_run(), rule=rule, **opened)
        assert is_lab(app), end
        widget = next(w for w in (*app.slider, *app.number_input) if w.key == f"widget {name}")
        assert widget.value == end and (widget.min, widget.max) == (knob.low, knob.high)


def test_without_a_rule_the_types_of_one_step_are_headed_and_formatted_alike(open_app, tiny_run):
    run = tiny_run()
    heads = []
    for rule in ("default", "default;gamma=7"):
        frame = open_app("rock_tokens", run, rule=rule).dataframe[0]
        heads.append(json.loads(frame.proto.columns))
    whole, of_step = heads
    for name in ("rank", "shown", "token_id", "frequency", "rock_score", "share", "coverage"):
        # a card also says what is known of the run, which is less without a rule
        assert of_step[name] | {"help": ""} == whole[name] | {"help": ""}
    assert of_step["mean_kl"]["label"] == "mean KL (nats)"
    assert of_step["share"]["type_config"]["format"] == "percent"
