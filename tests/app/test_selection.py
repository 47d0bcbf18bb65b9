"""What a link can say, what is said when it asks for what is not there, and what Back and Undo take
back.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import streamlit as st
from chrome import PAGES
from conftest import STEPS, WORDS
from hypothesis import given
from hypothesis import strategies as hs
from pages import RunFactory, words
from streamlit.testing.v1 import AppTest

from app import selection

HARD = [
    "a, b",
    "back\\slash",
    "100 % sure",
    " padded ",
    "",
    ",",
    "\\",
    "\\e",
    "a\\,b",
    "+&=#",
    "é␣",
]


@given(hs.lists(hs.text() | hs.sampled_from(HARD)))
def test_any_list_survives_a_link(values: list[str]) -> None:
    assert selection.listed(selection.joined(values)) == values


def test_lists_of_plain_names_read_as_before() -> None:
    assert selection.listed("digit,latex") == ["digit", "latex"]
    assert selection.listed("") == [] and selection.listed("a,,b,") == ["a", "b"]
    assert selection.joined(["digit", 7]) == "digit,7"


def test_a_category_whose_name_holds_a_comma_can_be_picked() -> None:
    names = [n for n in HARD if n]

    def page() -> None:
        import streamlit as st

        from app import selection

        names = st.session_state["names"]
        selection.begin("page")
        selection.choose_some("category", st.pills, "C", names, selection_mode="multi")
        selection.publish()

    app = AppTest.from_function(page)
    app.session_state["names"] = names
    app.run()
    app.get("button_group")[0].set_value([names[0], names[1]]).run()
    assert not app.exception
    link = app.query_params["category"]
    link = link if isinstance(link, str) else link[0]
    assert selection.listed(link) == names[:2]
    again = AppTest.from_function(page)
    again.session_state["names"] = names
    again.query_params["category"] = selection.joined(names[2:5])
    again.run()
    assert again.get("button_group")[0].value == names[2:5]


STEPS_SAID = ", ".join(map(str, STEPS))


@pytest.mark.parametrize(
    ("page", "asked", "there"),
    [
        ("trace", {"step": "99"}, STEPS_SAID),
        ("trace", {"step": "99999999999999"}, STEPS_SAID),
        ("trace", {"rollout": "-1"}, "0, 1, 2, 3"),
        ("trace", {"signal": "weigth"}, "kl"),
        ("trace", {"source": "../x"}, "fresh, first, final"),
        ("trace", {"token_at": "9000"}, "0 to "),
        ("trace", {"span": "nope"}, "0 to "),
        ("trace", {"span": "9000-9999"}, "0 to "),
        ("trace", {"types": "999"}, f"0 to {len(WORDS) - 1}"),
        ("trace", {"types": "x"}, f"0 to {len(WORDS) - 1}"),
        ("trace", {"rest": "fly"}, "dim, hide, underline"),
        ("trace", {"cut": "much"}, "kl:0.5"),
        ("steps", {"view": "sideways"}, ""),
        ("steps", {"step": "7"}, STEPS_SAID),
        ("compare", {"run_b": "nope"}, ""),
        ("compare", {"step_a": "5"}, STEPS_SAID),
        ("rock_tokens", {"category": "no such"}, ""),
        ("overview", {"top": "0"}, "1 to 10,000"),
        ("overview", {"top": "many"}, "1 to 10,000"),
    ],
)
def test_what_a_link_asks_for_and_is_not_there_is_named_beside_what_there_is(
    page: str, asked: dict[str, str], there: str, open_app, tiny_run: RunFactory
) -> None:
    (value,) = asked.values()
    app = open_app(page, tiny_run(), **asked)
    assert not app.exception
    (said,) = [line for line in words(app).splitlines() if "the link asks for" in line]
    assert value in said and there in said and "Shown: " in said


def test_a_link_to_what_is_there_says_nothing_of_it(open_app, tiny_run: RunFactory) -> None:
    app = open_app("trace", tiny_run(), step="10", rollout="2", signal="kl", source="first")
    assert "not here" not in words(app)


def test_what_was_picked_on_one_run_and_is_missing_in_the_next_is_named(
    open_app, tiny_run: RunFactory
) -> None:
    app = open_app("trace", tiny_run("one"), tiny_run("two", steps=(0, 20)), run="one")
    app.select_slider(key="widget step").set_value(10).run()
    assert "not here" not in words(app)
    app.selectbox(key="widget run").set_value("two").run()
    assert "Step: picked before was 10, which is not here. There is 0, 20. Shown: 20." in words(app)
    app.select_slider(key="widget step").set_value(0).run()
    assert "not here" not in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_run_that_is_not_there_is_never_replaced_by_another(
    page: str, open_app, tiny_run: RunFactory
) -> None:
    app = open_app(page, tiny_run("one"), tiny_run("two"), run="nope")
    assert not app.exception
    assert "There is no run named nope" in words(app) and "There is: one, two" in words(app)
    assert app.query_params["run"] in ("nope", ["nope"])
    assert app.selectbox(key="widget run").value is None
    assert not app.title or page in ("live", "session", "arms", "imports")
    app.selectbox(key="widget run").set_value("two").run()
    assert not app.exception and "no run named" not in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_run_whose_folder_goes_while_it_is_looked_at_is_told_and_not_replaced(
    page: str, open_app, tiny_run: RunFactory, tmp_path: Path
) -> None:
    runs = tmp_path / "many"
    for name in ("one", "two"):
        shutil.copytree(tiny_run(name), runs / name)
    app = open_app(page, runs)
    assert not app.exception and app.selectbox(key="widget run").value == "one"
    shutil.rmtree(runs / "one")
    for _ in range(2):
        app.run()
        assert not app.exception
        assert "The run one is gone" in words(app) and "There is: two" in words(app)
    shutil.rmtree(runs / "two")
    app.run()
    assert not app.exception and "The run one is gone" in words(app)


def test_a_second_run_of_the_same_name_leaves_the_first_open(
    open_app, tiny_run: RunFactory, tmp_path: Path
) -> None:
    runs = tmp_path / "many"
    shutil.copytree(tiny_run("one"), runs / "one")
    app = open_app("overview", runs, tmp_path / "others", run="one")
    shutil.copytree(tiny_run("one", seed=3), tmp_path / "others" / "one")
    app.run()
    assert app.selectbox(key="widget run").value == str(runs / "one")


def test_back_to_a_link_without_an_optional_setting_takes_it_back(
    open_app, tiny_run: RunFactory
) -> None:
    app = open_app("rock_tokens", tiny_run())
    before = dict(app.query_params)
    assert "rule" not in before and "category" not in before
    app.query_params["rule"] = "paper"
    app.query_params["find"] = "7"
    app.run()
    assert selected(app)["rule"] == "paper" and app.text_input(key="widget find").value == "7"
    app.query_params.clear()
    for name, value in before.items():
        app.query_params[name] = value
    app.run()
    assert "rule" not in selected(app) and app.text_input(key="widget find").value == ""


def test_back_to_a_bare_address_takes_all_back_that_the_page_shows(
    open_app, tiny_run: RunFactory
) -> None:
    app = open_app("trace", tiny_run())
    app.select_slider(key="widget step").set_value(10).run()
    app.query_params.clear()
    assert app.run().select_slider(key="widget step").value == STEPS[-1]


def test_back_takes_nothing_back_that_belongs_to_another_page(
    open_app, tiny_run: RunFactory
) -> None:
    app = open_app("trace", tiny_run())
    app.select_slider(key="widget step").set_value(10).run()
    app.switch_page("views/overview/page.py").run()
    app.query_params["top"] = "5"
    app.run()
    app.switch_page("views/trace/page.py").run()
    assert app.select_slider(key="widget step").value == 10


def selected(app: AppTest) -> dict[str, str]:
    return {n: v if isinstance(v, str) else v[0] for n, v in app.query_params.items()}


def gestures() -> None:
    import streamlit as st

    from app import selection

    selection.begin("page")
    rule = selection.text("rule", "0")
    put = lambda value: selection.put("rule", str(int(value)))  # noqa: E731
    selection.control("slide", st.slider, "Slide", int(rule), put, min_value=0, max_value=99)
    selection.control("other", st.slider, "Other", int(rule), put, min_value=0, max_value=99)
    selection.control("number", st.number_input, "Number", int(rule), put)
    st.button("Undo", on_click=lambda: selection.undo("rule"))
    st.text(selection.previous("rule"))
    selection.publish()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(selection.time, "monotonic", lambda: now[0])
    return now


def test_one_drag_is_one_step_of_undo(clock: list[float]) -> None:
    app = AppTest.from_function(gestures).run()
    app.slider(key="widget slide").set_value(5).run()
    clock[0] += 5
    for value in (10, 11, 14, 20):
        app.slider(key="widget slide").set_value(value).run()
        clock[0] += 0.3
    assert app.button[0].click().run().slider(key="widget slide").value == 5
    assert app.button[0].click().run().slider(key="widget slide").value == 0
    assert not app.exception


def test_a_second_drag_another_control_or_a_click_is_a_step_of_its_own(clock: list[float]) -> None:
    app = AppTest.from_function(gestures).run()
    app.slider(key="widget slide").set_value(1).run()
    clock[0] += 2
    app.slider(key="widget slide").set_value(2).run()
    clock[0] += 0.1
    app.slider(key="widget other").set_value(3).run()
    for value in (4, 5):
        clock[0] += 0.1
        app.number_input(key="widget number").set_value(value).run()
    for value in (4, 3, 2, 1, 0):
        clock[0] += 0.1
        app.button[0].click().run()
        assert app.slider(key="widget slide").value == value


def test_a_drag_right_after_an_undo_can_be_undone(clock: list[float]) -> None:
    app = AppTest.from_function(gestures).run()
    app.slider(key="widget slide").set_value(1).run()
    app.button[0].click().run()
    app.slider(key="widget slide").set_value(2).run()
    assert app.button[0].click().run().slider(key="widget slide").value == 0


def test_the_url_is_sent_to_the_browser_at_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the server believes that it is there already: the browser may have emptied it."""
    sent: list[dict[str, str]] = []
    proxy = type(st.query_params)
    old = proxy.from_dict

    def note(self, values):
        sent.append(dict(values))
        old(self, values)

    monkeypatch.setattr(proxy, "from_dict", note)
    app = AppTest.from_function(gestures).run()
    app.query_params["rule"] = "7"
    app.run()
    app.run()
    assert sent == [{}, {"rule": "7"}, {"rule": "7"}]


def test_no_page_waits_for_the_browser() -> None:
    sleeps = subprocess.run(
        ["grep", "-rnE", r"\bsleep\(", str(Path(selection.__file__).parent), "--include=*.py"],
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert all("serve.py" in line for line in sleeps), sleeps
