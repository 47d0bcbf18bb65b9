"""Learn: eight steps, each of which asks, answers from the open run, and is ticked off by what the
reader does; and the strip that goes with the reader to the real page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from imported_runs import KINDS
from pages import RunFactory
from streamlit.testing.v1 import AppTest
from test_odd_runs import ODD_RUNS, shown, stands, write_tiny_run

from app import data, pages
from app.views.learn import words as sentences
from app.views.learn.steps import STEPS, LessonStep
from rockcore.log import sample_runs

SAMPLES = ("habit", "hidden", "skill", "smollm2")
GUESSED = {name: next(iter(step.answers), "20") for name, step in STEPS.items()}
ANSWERS = {f"guess_{name}": answer for name, answer in GUESSED.items()}
# what the reader does on the page of a step, as the link then says it
ACTIONS: dict[str, dict[str, str]] = {
    "picture": {"token_at": "5"},
    "training": {"step": "150"},
    "gates": {"rule": "default;tau_quantile=0.8"},
    "gradient": {"by": "set"},
    "reasons": {"run": "skill"},
    "cornerstones": {"candidate": "token-434"},
}


def all_words(app: AppTest) -> str:
    """What a reader reads: links and our own HTML too."""
    html = "\n".join(
        re.sub(r"<[^>]*>", "", body)
        for body in (str(e.proto.body) for e in app.main.get("html"))
        if not body.startswith("<style")
    )
    links = "\n".join(str(e.proto.label) for e in app.get("page_link"))
    return "\n".join([shown(app), html, links])


def walk(app: AppTest) -> dict[str, str]:
    """The words of each step, one after another."""
    read = {}
    for name in STEPS:
        app.query_params["lesson"] = name
        app.run()
        stands(app)
        read[name] = all_words(app)
        assert "Now you:" in read[name], name
    return read


@pytest.mark.parametrize("name", SAMPLES)
def test_each_step_answers_from_the_open_run(name: str, open_app) -> None:
    read = walk(open_app("learn", sample_runs(), run=name, **ANSWERS))
    unlike = {step for step in STEPS if name not in read[step]}
    assert not unlike - {"reasons"}, "each tells whose numbers it shows"
    assert ("**Not one**" in read["gates"]) == (name in ("skill", "smollm2"))


@pytest.mark.parametrize("case", ["one step", "no step", "fresh only", "tokens only", "no metrics"])
def test_an_odd_run_is_told_what_it_cannot_show(case: str, open_app, tmp_path: Path) -> None:
    changes, change = ODD_RUNS[case]
    run = write_tiny_run(tmp_path / "odd", **changes)
    change(run)
    walk(open_app("learn", sample_runs(), run, run="odd", **ANSWERS))


@pytest.mark.parametrize("kind", KINDS)
def test_an_imported_run_leads_to_a_bundled_one_where_it_cannot_show_a_step(
    kind: str, open_app, tmp_path: Path
) -> None:
    run = KINDS[kind](tmp_path / "mine")
    read = walk(open_app("learn", sample_runs(), run, run="mine", **ANSWERS))
    assert "See it on the bundled run habit" in read["sample"]
    assert ("mine has no kl" in read["picture"]) == ("kl" not in kind and kind != "probes alone")


def test_a_step_asks_before_it_shows(open_app) -> None:
    for name, step in STEPS.items():
        app = open_app("learn", sample_runs(), run="habit", lesson=name)
        said = all_words(app)
        assert step.question in [e.label for e in (*app.radio, *app.slider)]
        assert "Say what you think" in said and "Now you:" not in said
        assert not app.get("plotly_chart")


def test_an_answer_is_kept_in_the_link_and_the_run_says_whether_it_is_right(open_app) -> None:
    app = open_app("learn", sample_runs(), run="habit")
    assert app.query_params["lesson"] == "picture"
    app.radio[0].set_value("own").run()
    assert app.query_params["guess_picture"] == "own" and "Right. **Its own**" in shown(app)
    app.radio[0].set_value("book").run()
    assert "No: **Its own**" in shown(app)


def done(app: AppTest) -> bool:
    return "Done: " in shown(app)


def entered(step: LessonStep) -> dict[str, str]:
    """The link from Learn to the page of a step, as a browser opens it."""
    key = data.runs.key(data.lessons.samples()["habit"].path)
    state = step.enter(key, data.rocks.rule("default"))
    return {"run": "habit", **{n: t for n, t in state.items() if t}, "lesson": step.id}


@pytest.mark.parametrize("name", ACTIONS)
def test_a_step_is_ticked_off_by_its_action_and_by_nothing_else(name: str, open_app) -> None:
    step = STEPS[name]
    state = entered(step) | {"hide": ",".join(step.hide)}
    app = open_app(step.page, sample_runs(), **state)
    assert not app.exception and step.todo in shown(app) and not done(app)
    assert "Hidden controls" not in shown(app), "a lesson hides what the page has"
    app.run()
    assert not done(app)
    for key, text in ACTIONS[name].items():
        app.query_params[key] = text
    app.run()
    assert not app.exception and done(app)
    assert any(e.proto.label == "Next step" for e in app.get("page_link")) or name == "mistakes"


@pytest.mark.parametrize("name, button", [("sample", "Draw 100 again"), ("mistakes", "Deal again")])
def test_what_is_done_on_learn_itself_ticks_a_step_off(name: str, button: str, open_app) -> None:
    app = open_app("learn", sample_runs(), run="habit", lesson=name, **ANSWERS)
    assert "**Done.**" not in shown(app)
    before = shown(app)
    next(b for b in app.button if b.label == button).click().run()
    assert "**Done.**" in shown(app) and shown(app) != before
    seed = {"sample": "draw", "mistakes": "deal"}[name]
    again = open_app("learn", sample_runs(), run="habit", lesson=name, **ANSWERS, **{seed: "1"})
    numbers = [line for line in shown(app).splitlines() if "of 100**" in line or " down, " in line]
    assert numbers and all(line in shown(again) for line in numbers), "the seed is in the link"
    assert "**Done.**" not in shown(again)


def test_it_goes_on_where_the_reader_left_it(open_app) -> None:
    app = open_app("learn", sample_runs(), run="habit", lesson="sample", **ANSWERS)
    next(b for b in app.button if b.label == "Draw 100 again").click().run()
    next(b for b in app.button if b.label == "Next").click().run()
    assert app.query_params["lesson"] == "training"
    assert "2 ✓" in str(app.button_group[0].proto.options)


def test_a_strip_can_be_closed_and_hides_nothing_on_another_page(open_app) -> None:
    step = STEPS["training"]
    app = open_app("trace", sample_runs(), **entered(step), hide="rollout,signal")
    assert not [box for box in app.selectbox if box.label == "Rollout"]
    app.switch_page("views/steps/page.py").run()
    assert f"Learn {3} of 8" in shown(app) and "hide" not in app.query_params
    assert [box for box in app.selectbox if box.label == "Signal"]
    next(b for b in app.button if b.label == "Close").click().run()
    assert "Learn 3 of 8" not in shown(app) and "lesson" not in app.query_params


def test_an_unknown_lesson_of_a_link_is_named(open_app) -> None:
    app = open_app("trace", sample_runs(), run="habit", lesson="tenth")
    assert "Lesson: the link asks for tenth" in shown(app)


def offer(app: AppTest) -> bool:
    return any("New here?" in e.proto.label for e in app.get("page_link"))


def test_learn_is_offered_at_a_first_start_once(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    app = open_app("overview", run)
    assert offer(app)
    app.run()
    assert offer(app)
    next(b for b in app.button if b.label == "Not now").click().run()
    assert not offer(app)
    assert not offer(open_app("overview", run, top="5")), "a link has something to show"


def test_learn_is_first_in_the_menu_and_overview_at_the_plain_address() -> None:
    assert pages.PAGES[0].name == "learn" and pages.HOME == "overview"


def test_at_most_eight_steps_each_with_a_page_that_there_is() -> None:
    assert len(STEPS) <= 8 and list(STEPS) == [step.id for step in STEPS.values()]
    assert {step.page for step in STEPS.values()} - {""} <= {page.name for page in pages.PAGES}


def test_all_of_it_is_read_in_five_minutes(open_app) -> None:
    """At 200 words a minute, with all answers and numbers; charts and the menu aside."""
    app = open_app("learn", sample_runs(), run="habit", **ANSWERS)
    read = []
    for name in STEPS:
        app.query_params["lesson"] = name
        app.run()
        assert "Now you:" in shown(app)
        kinds = ("subheader", "text", "markdown", "caption")
        read += [str(e.value) for kind in kinds for e in getattr(app.main, kind)]
        read += [STEPS[name].text, STEPS[name].question, *STEPS[name].answers.values()]
    once = dict.fromkeys(read)  # what stands on every step is read once
    words = [word for text in once for word in text.split() if re.search(r"[^\W\d]", word)]
    assert len(words) / 200 <= 5, len(words)


@pytest.mark.parametrize("name", ["gradient", "sample", "mistakes"])
def test_a_number_in_a_link_too_long_to_be_read_is_none(
    name: str, open_app, tiny_run: RunFactory
) -> None:
    long = "9" * 5_000
    said = {f"guess_{name}": long if name == "gradient" else "yes", "draw": long, "deal": long}
    app = open_app("learn", tiny_run(), lesson=name, **said)
    assert not app.exception and app.title[0].value == "Learn"


def test_token_text_cannot_bring_markup_into_learn() -> None:
    hostile = "<img src=x onerror=alert(1)>[S:x]*y*"
    drawn = sentences.token_strip([(hostile, 1.0, True)], [0.1, 0.5])
    assert "<img" not in drawn and "&lt;img" in drawn and "<b" not in drawn
