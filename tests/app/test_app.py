"""Every page, driven through main.py without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chrome import PAGES
from conftest import HOSTILE, PLAIN, ROLLOUTS, STEPS
from pages import DAMAGES, RunFactory, other_version, words
from streamlit.testing.v1 import AppTest

from app import charts, data, pages
from app import words as app_words
from rockcore.log import Run, sample_runs
from rockcore.rocks.ranking import concentration
from rockcore.spelling import percent

pytestmark = pytest.mark.usefixtures("may_act")  # else Session has no form

# What a page cannot do without: one element of each of its kinds, or of one of them after another.
CONTENT = {
    "learn": ("radio or slider", "button"),
    "overview": ("plotly_chart", "metric"),
    "trace": ("bidi_component",),
    "rock_tokens": ("plotly_chart", "metric"),
    "token": ("plotly_chart or text",),
    "steps": ("plotly_chart or bidi_component",),
    "gradients": ("plotly_chart",),
    "compare": ("plotly_chart", "bidi_component", "metric"),
    "arms": ("plotly_chart or code",),
    "knockout": ("plotly_chart or code",),
    "threshold_lab": ("bidi_component", "metric"),
    "notes": ("text_area or text", "button"),
    "live": ("caption or text or markdown",),
    "session": ("button", "number_input", "selectbox"),
    "imports": ("button", "multiselect", "selectbox"),
}
# pages that are about something else than the run of the sidebar
ABOUT_NO_RUN = [page.name for page in pages.PAGES if not page.of_one_run]
READS = {"learn": {"guess_picture": "own"}}  # it asks before it reads
FORMS = ("session", "imports", "notes")  # they begin something, and ask nothing of a run's log
TITLES = {
    "notes": "Notes and report",
    "session": "Train a student",
    "imports": "Import",
}  # others as in the menu; Overview: the run


def missing(app: AppTest, page: str, run: str) -> list[str]:
    """What a page that shows a run would have, and this one has not."""
    title = run if page == "overview" else TITLES.get(page, page.replace("_", " ").capitalize())
    lacks = [kinds for kinds in CONTENT[page] if not any(map(app.get, kinds.split(" or ")))]
    titles = [each.value for each in app.title]
    if page == "token":  # called by its spelling
        title = next((t for t in titles if re.fullmatch(r".+ :gray\[id \d+\]", t)), "of a token")
    if titles != [title]:
        lacks.append(f"the title {title}")
    if "cannot be" in "".join(str(each.value) for each in app.subheader):
        lacks.append("more than an apology")
    return lacks


@pytest.mark.parametrize("page", PAGES)
def test_every_page_renders_on_a_finished_run(page: str, open_app, tiny_run: RunFactory) -> None:
    app = open_app(page, tiny_run())
    assert not app.exception and not missing(app, page, "tiny")
    assert page != "live" or "not in training" in words(app)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", data.runs.SCENARIOS)
def test_every_page_renders_on_the_bundled_runs(page: str, name: str, open_app) -> None:
    app = open_app(page, sample_runs() / name)
    assert not app.exception and not missing(app, page, name)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in ("live", *FORMS, *ABOUT_NO_RUN)]
)
@pytest.mark.parametrize("question", ["facts", "key"])
def test_a_page_that_only_says_what_is_wrong_does_not_count_as_rendered(
    question: str, page: str, open_app, tiny_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise data.runs.RockError("broken on purpose", "a test wants it", "Nothing")

    monkeypatch.setattr(data.runs, question, refuse)
    app = open_app(page, tiny_run())
    assert not app.exception and "broken on purpose" in words(app)
    assert missing(app, page, "tiny")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_so_when_nothing_is_logged_yet(
    page: str, open_app, tiny_run: RunFactory
) -> None:
    app = open_app(page, tiny_run("young", steps=(), status="running"))
    assert not app.exception
    assert "yet" in words(app) or page in (*ABOUT_NO_RUN, "imports")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_what_to_do_without_a_run(
    page: str, open_app, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(data.runs, "sample_runs", lambda: tmp_path / "sample_runs")
    app = open_app(page)
    assert not app.exception
    assert "Start one on the page" in words(app)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_explained_and_never_a_traceback(
    page: str, damage: str, open_app, tiny_run: RunFactory
) -> None:
    run = tiny_run("hurt", status="running" if page == "live" else "finished")
    DAMAGES[damage](run)
    app = open_app(page, run, **READS.get(page, {}))
    assert not app.exception
    if page not in FORMS and not (
        page in ABOUT_NO_RUN and damage in ("a cut file", "spoiled pages")
    ):
        assert "cannot be" in words(app)


def test_other_runs_work_beside_a_damaged_one(open_app, tiny_run: RunFactory) -> None:
    hurt, whole = tiny_run("hurt"), tiny_run("whole")
    other_version(hurt)
    app = open_app("overview", hurt, whole)
    assert "schema version 99" in words(app)
    app.selectbox(key="widget run").set_value("whole").run()
    assert not app.exception
    assert app.title[0].value == "whole"


def test_a_link_reproduces_what_was_looked_at(open_app, tiny_run: RunFactory) -> None:
    first, second = tiny_run("first"), tiny_run("second", seed=1)
    app = open_app("trace", first, second)
    app.selectbox(key="widget run").set_value("second").run()
    app.selectbox(key="widget source").set_value("final").run()
    app.select_slider(key="widget step").set_value(10).run()
    app.selectbox(key="widget rollout").set_value(2).run()
    app.selectbox(key="widget signal").set_value("sampled_loss").run()
    app.query_params["light"] = "digit,latex"  # the pane's own toggles need a browser
    app.run()
    link = dict(app.query_params)
    expected = {
        "run": "second",
        "source": "final",
        "step": "10",
        "rollout": "2",
        "signal": "sampled_loss",
        "light": "digit,latex",
    }
    assert link == expected

    again = open_app("trace", first, second, **link)
    assert dict(again.query_params) == link
    assert again.select_slider(key="widget step").value == 10


def test_a_quick_second_press_wins_over_the_url_from_before_the_first(
    open_app, tiny_run: RunFactory
) -> None:
    app = open_app("trace", tiny_run())
    app.select_slider(key="widget step").set_value(10).run()
    app.query_params["step"] = "20"  # the browser had not heard of the first press yet
    app.select_slider(key="widget step").set_value(0).run()
    assert app.select_slider(key="widget step").value == 0
    assert app.query_params["step"] == "0"


def test_the_url_wins_where_no_control_was_moved(open_app, tiny_run: RunFactory) -> None:
    app = open_app("trace", tiny_run())
    app.select_slider(key="widget step").set_value(10).run()
    app.query_params["step"] = "20"
    assert app.run().select_slider(key="widget step").value == 20


def test_a_picked_step_survives_a_change_of_page(open_app, tiny_run: RunFactory) -> None:
    app = open_app("trace", tiny_run())
    app.select_slider(key="widget step").set_value(10).run()
    app.switch_page("views/rock_tokens/page.py").run()
    app.switch_page("views/trace/page.py").run()
    assert app.select_slider(key="widget step").value == 10


def test_the_shares_on_the_page_are_those_of_the_log(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    tokens = Run.open(run).types(STEPS[-1]).sort_values("kl_sum", ascending=False)
    head = tokens.head(5)
    app = open_app("overview", run, top="5")
    kl, gradient = (percent(head[c].sum() / tokens[c].sum()) for c in ("kl_sum", "grad_norm_sum"))
    assert f"(naive): {kl} of the KL, {gradient} of the gradient." in words(app)
    crossed = concentration(Run.open(run), STEPS[-1], 5).crossed
    assert crossed is not None and crossed.gradient is not None
    for share in crossed:
        assert f"**{percent(share.value)}** ({100 * share.low:.0f}–" in words(app)
    assert f"of the {tokens.n.sum():,} tokens" in words(app)


def test_names_in_a_title_are_shown_as_they_are() -> None:
    layout = charts.finish(go.Figure(), "Loss of <i>x</i><br>run <b>&<br>more", "x", "y").layout
    assert layout.title.text == "Loss of &lt;i&gt;x&lt;/i&gt;"
    assert layout.title.subtitle.text == "run &lt;b&gt;&amp;<br>more"


@pytest.mark.parametrize("token", HOSTILE + PLAIN)
def test_a_visible_token_is_one_printable_line(token: str) -> None:
    assert app_words.visible(token).isprintable()
    assert " " not in app_words.visible(token)


def test_one_scale_serves_the_whole_run_and_is_anchored_at_all_its_tokens(
    tiny_run: RunFactory,
) -> None:
    run = tiny_run()
    scale = data.runs.scale(data.runs.key(str(run)), "sampled_loss")
    assert scale.tokens == sum(
        len(Run.open(run).trace(s, r)) for s in STEPS for r in range(ROLLOUTS)
    )
    assert scale.edges == [-e for e in reversed(scale.edges)]


def test_what_is_left_empty_is_left_to_the_task() -> None:
    settings = {"scenario": "habit", "steps": 3, "lr": None, "held_out": 0, "student": ""}
    assert data.children.flags(settings) == ["--scenario=habit", "--steps=3", "--held-out=0"]


def test_phases_that_a_log_has_stand_on_each_other_without_those_it_lacks(tiny_run):
    run = tiny_run()
    for file, sample in zip(sorted(run.glob("metrics/*")), (0.3, None, 0.2), strict=True):
        table = pq.read_table(file)
        lacks = {f"{phase}_s": None for phase in ("teacher", "student", "update")}
        for name, value in {**lacks, "sample_s": sample, "log_s": 0.5}.items():
            at = table.column_names.index(name)
            table = table.set_column(at, name, pa.array([value], pa.float64()))
        pq.write_table(table, file)
    figure = charts.phase_times(data.runs.facts(data.runs.key(str(run))).phase_seconds, "x")
    assert [bar.name for bar in figure.data] == ["sample", "log"]
    assert [list(bar.y) for bar in figure.data] == [[0.3, 0, 0.2], [0.5] * 3]
