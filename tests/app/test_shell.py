"""What stands around every page: controls that a link hides, reset, the presenter's switch, whose
run it is.
"""

from __future__ import annotations

import pytest
from chrome import PAGES
from conftest import STEPS
from pages import RunFactory, words
from streamlit.testing.v1 import AppTest

HIDDEN = [  # a page, a value that its link gives, and what would draw it
    ("trace", {"step": "10"}, "select_slider"),
    ("trace", {"source": "first"}, "segmented_control"),
    ("trace", {"rollout": "2"}, "selectbox"),
    ("overview", {"top": "5"}, "number_input"),
    ("rock_tokens", {"find": "7"}, "text_input"),
    ("rock_tokens", {"category": "digit"}, "pills"),
    ("overview", {"run": "tiny"}, "selectbox"),
]


def keys(app: AppTest) -> set[str]:
    """The keys of all widgets that are on the page."""
    kinds = "select_slider segmented_control selectbox number_input text_input pills slider toggle"
    kinds += " multiselect button_group"
    return {each.key for kind in kinds.split() for each in app.get(kind) if each.key}


def plain(app: AppTest) -> dict[str, str]:
    return {n: v if isinstance(v, str) else v[0] for n, v in app.query_params.items()}


@pytest.mark.parametrize(("page", "asked", "kind"), HIDDEN)
def test_a_control_that_a_link_hides_is_not_drawn_and_keeps_its_value(
    page: str, asked: dict[str, str], kind: str, open_app, tiny_run: RunFactory
) -> None:
    (name,) = asked
    run = tiny_run()
    shown = open_app(page, run, **asked)
    assert f"widget {name}" in keys(shown), kind
    app = open_app(page, run, **asked, hide=name)
    assert not app.exception and f"widget {name}" not in keys(app)
    assert plain(app) == plain(shown) | {"hide": name}
    assert keys(app) == keys(shown) - {f"widget {name}"}


def test_a_knob_of_a_rule_is_hidden_by_the_name_of_its_field(open_app, tiny_run: RunFactory):
    run = tiny_run()
    rest = keys(open_app("threshold_lab", run)) - {"widget eta", "widget score"}
    app = open_app("threshold_lab", run, hide="eta,score", rule="default;eta=0.3")
    assert not app.exception and keys(app) == rest
    assert "eta=0.3" in plain(app)["rule"]


def test_hidden_controls_that_the_page_has_not_are_named_and_ignored(
    open_app, tiny_run: RunFactory
) -> None:
    app = open_app("trace", tiny_run(), hide="step,nonsense,*x*", step="10")
    (said,) = [line for line in words(app).splitlines() if "the link asks for" in line]
    assert "Hidden controls: the link asks for nonsense, *x*, which is not here" in said
    assert "rollout" in said and "Shown: step" in said
    assert "widget step" not in keys(app) and "widget rollout" in keys(app)
    app.switch_page("views/overview/page.py").run()  # of which the link said nothing
    assert "not here" not in words(app) and plain(app)["hide"] == "step,nonsense,*x*"


def test_hidden_controls_come_back_by_one_click(open_app, tiny_run: RunFactory) -> None:
    app = open_app("trace", tiny_run(), hide="step,rollout", step="10")
    press(app, "Show all controls").run()
    assert {"widget step", "widget rollout"} <= keys(app)
    assert "hide" not in plain(app) and plain(app)["step"] == "10"
    assert "Show all controls" not in [button.label for button in app.button]


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click()


def test_a_reset_takes_all_choices_of_the_page_back_and_keeps_the_run(
    open_app, tiny_run: RunFactory
) -> None:
    first, second = tiny_run("first"), tiny_run("second", seed=1)
    fresh = plain(open_app("trace", first, second, run="second"))
    app = open_app("trace", first, second, run="second", step="10", source="first", light="digit")
    app.selectbox(key="widget rollout").set_value(2).run()
    press(app, "Reset").run()
    assert plain(app) == fresh and fresh["run"] == "second"
    assert app.select_slider(key="widget step").value == STEPS[-1]


def test_a_reset_leaves_what_belongs_to_another_page(open_app, tiny_run: RunFactory) -> None:
    app = open_app("overview", tiny_run(), top="5")
    app.switch_page("views/trace/page.py").run()
    press(app, "Reset").run()
    app.switch_page("views/overview/page.py").run()
    assert app.number_input(key="widget top").value == 5


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_whose_run_it_shows_and_can_be_presented_and_reset(
    page: str, open_app, tiny_run: RunFactory
) -> None:
    app = open_app(page, tiny_run("my_run"))
    about = [c.value for c in app.caption if c.value in ("run: **my\\_run**", "not of one run")]
    assert about == ["not of one run" if page == "arms" else "run: **my\\_run**"]
    before = plain(app)
    press(app, "Present").run()
    assert not app.exception and plain(app) == before | {"present": "on"}
    press(app, "Leave").run()
    assert not app.exception and plain(app) == before
