"""The Arms page: its numbers are those of the comparison, and where there is none it says how to
make one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from chrome import charts_of
from conftest import HOSTILE, STEPS
from pages import words
from sent import content
from small_arms import ARMS, change, write_small_arms

from app import data, tables
from app.components import colours
from app.views.arms import charts
from rockcore.analysis.arms import compare
from rockcore.config import ArmName
from rockcore.interventions import dynamic
from rockcore.log import comparisons
from rockcore.log.arms import ArmsFolder, Cell


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> ArmsFolder:
    folder = write_small_arms(tmp_path_factory.mktemp("arms") / "small")
    comparisons.write(folder, compare(folder))
    return folder


@pytest.fixture
def only_bundled_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if no comparison came with the project."""
    monkeypatch.setattr(data.arms, "sample_runs", lambda: tmp_path / "none")


def test_the_page_shows_every_part(open_app, compared: ArmsFolder) -> None:
    drawn = 0
    for name in ("accuracy", "difference", "kl", "cost", "rocks", "left_out", "weights"):
        app = open_app("arms", compared.path, comparison="small", arms_figure=name)
        assert not app.exception and "Against the baseline" in words(app)
        assert len(app.get("plotly_chart")) <= 2
        drawn += len(app.get("plotly_chart"))
        if name == "left_out":
            assert "Each student wrote its own text" in words(app)
    assert drawn == charts_of("arms")
    shown = words(app)
    assert "What dynamic weighed" in shown
    found = comparisons.read(compared.path)
    for line in (*found.about["verdicts"], found.about["paper"]):
        assert line in shown
    assert "9 of 9 runs of 20 steps" in shown and "crossed" in shown
    assert f"PROGRESS = {dynamic.PROGRESS:g}" in app.code[0].value
    assert "w_v ← w_v + RATE (1 − w_v)" in app.code[0].value


def test_the_table_has_a_row_a_test_with_its_interval_and_corrected_p(open_app, compared) -> None:
    app = open_app("arms", compared.path, comparison="small")
    table = app.dataframe[0].value
    tests = comparisons.read(compared.path).tests
    assert table.arm.tolist() == tests.arm.tolist() and len(table) == 3 * (len(ARMS) - 1)
    assert table.p_holm.tolist() == pytest.approx(tests.p_holm.tolist())
    row = tests[tests.measure == "greedy"].iloc[0]
    shown = table[table.measure == "greedy accuracy"].iloc[0]
    assert shown.difference == f"{tables.UNSEEN}{100 * row.difference:+.1f} points"
    assert shown.interval == f"{tables.UNSEEN}{100 * row.low:+.1f} to {100 * row.high:+.1f}"


@pytest.mark.parametrize("over", ["step", "seconds", "trained"])
def test_accuracy_is_drawn_over_steps_time_and_tokens(open_app, compared, over: str) -> None:
    ask = {"comparison": "small", "arms_figure": "accuracy"}
    app = open_app("arms", compared.path, over=over, decoding="greedy", **ask)
    assert not app.exception
    spec = json.loads(app.get("plotly_chart")[0].proto.spec)
    drawn = {trace["name"] for trace in spec["data"] if trace.get("name")}
    assert drawn == set(ARMS)
    assert charts.AXES[over] == spec["layout"]["xaxis"]["title"]["text"]


def test_a_text_is_coloured_by_what_its_training_left_out(compared: ArmsFolder) -> None:
    key = data.arms.key(str(compared.path))
    frozen, base = (data.arms.text(key, arm, 0) for arm in ("rock-freeze", "baseline"))
    assert frozen and base and frozen.left_out > 0 == base.left_out
    found = comparisons.read(compared.path)
    own = found.texts[(found.texts.arm == "rock-freeze") & (found.texts.rollout_id == 0)]
    scale = data.arms.WEIGHT_SCALE
    assert scale["name"] in frozen.values.signals
    assert frozen.text.length == len(own) == frozen.tokens
    assert len(content(frozen.text.body)["at"]) == len(own)
    assert frozen.left_out == (own.weight == 0).sum()


def test_the_page_needs_no_run_and_no_runs_beside_the_comparison(
    open_app, compared, tmp_path
) -> None:
    alone = tmp_path / "folder" / "alone"
    shutil.copytree(compared.path, alone, ignore=lambda _, names: {"runs"} & {*names})
    for place in (alone, alone.parent):
        app = open_app("arms", place, comparison="alone", arms_figure="left_out")
        assert not app.exception and "Each student wrote its own text" in words(app)
        assert not any("No run to show" in heading.value for heading in app.main.subheader)


def test_the_runs_of_a_comparison_are_offered_on_the_other_pages(open_app, compared) -> None:
    app = open_app("overview", compared.path)
    assert not app.exception
    assert {f"{arm}-{seed}" for arm in ARMS for seed in (1, 2, 3)} == {
        *app.sidebar.selectbox[0].options
    }


def test_without_a_comparison_it_says_which_command_makes_one(
    open_app, tiny_run, only_bundled_nothing
) -> None:
    app = open_app("arms", tiny_run())
    assert not app.exception and "There is no comparison yet" in words(app)
    assert [line.value.split()[:2] for line in app.code] == [
        ["rockcore", "arms"],
        ["rockcore", "compare-arms"],
    ]


def test_runs_that_were_not_compared_yet_say_how_to(open_app, compared, tmp_path) -> None:
    copy = tmp_path / "raw"
    shutil.copytree(compared.path, copy)
    shutil.rmtree(copy / "comparison")
    shown = words(open_app("arms", copy, comparison="raw"))
    assert "This comparison cannot be shown" in shown and "rockcore compare-arms" in shown


@pytest.mark.parametrize("spoilt", ["comparison.json", "tests.parquet", "texts.parquet"])
def test_a_damaged_comparison_is_explained(open_app, compared, tmp_path, spoilt: str) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(compared.path, copy)
    (copy / "comparison" / spoilt).write_bytes(b"PAR1")
    app = open_app("arms", copy, comparison="damaged")
    assert not app.exception and "This comparison cannot be shown" in words(app)
    (copy / "arms.json").write_text("{}")
    app = open_app("arms", copy, comparison="damaged")
    assert not app.exception and "This comparison cannot be shown" in words(app)


def test_a_link_to_a_comparison_that_is_gone_says_what_there_is(open_app, compared) -> None:
    shown = words(open_app("arms", compared.path, comparison="gone"))
    assert "the link asks for gone" in shown and "small" in shown


def test_what_is_missing_is_told_and_one_seed_is_not_tested(open_app, tmp_path) -> None:
    folder = write_small_arms(tmp_path / "one", seeds=2)
    for cell in folder.plan.cells:
        if cell.seed == 2:
            shutil.rmtree(folder.run(cell))
    comparisons.write(folder, compare(folder))
    app = open_app("arms", folder.path, comparison="one")
    shown = words(app)
    assert not app.exception and "not tested, for want of seeds" in shown
    assert "3 of 6 runs are not finished" in "".join(str(i.value) for i in app.info)


def test_what_no_run_has_measured_is_told_in_words(open_app, tmp_path) -> None:
    """One seed has no interval; no fixed texts, and no step whose tokens were all judged."""
    folder = write_small_arms(tmp_path / "bare", seeds=1)
    for cell in folder.plan.cells:
        shutil.rmtree(folder.run(cell) / "probe")
        for step in STEPS:
            change(folder.run(cell), "metrics", step, kl_mean=np.nan, kl_stderr=np.nan)
    comparisons.write(folder, compare(folder))
    app = open_app("arms", folder.path, comparison="bare", arms_figure="kl")
    shown = words(app)
    assert not app.exception
    assert "No fixed texts were scored" in shown and "No step has judged all tokens" in shown
    app = open_app("arms", folder.path, comparison="bare", arms_figure="cost")
    assert all(table.proto.placeholder == "–" for table in app.dataframe)
    assert app.get("plotly_chart")
    for chart in app.get("plotly_chart"):
        assert json.loads(chart.proto.spec)["data"]
    fresh = comparisons.read(folder.path).accuracy.assign(kl=0.5, low=np.nan, high=np.nan)
    figure = charts.kl({"dynamic": fresh.loc[fresh.arm == "dynamic"]}, "kl", "x").to_dict()
    assert "no interval" in figure["data"][0]["hovertemplate"]
    assert "customdata[0]" not in figure["data"][0]["hovertemplate"]


def test_the_rule_of_dynamic_is_stated_where_no_weight_has_moved(open_app, tmp_path) -> None:
    folder = write_small_arms(tmp_path / "still", seeds=1)
    shutil.rmtree(folder.run(Cell("dynamic", 1)) / "weights")
    comparisons.write(folder, compare(folder))
    app = open_app("arms", folder.path, comparison="still", arms_figure="weights")
    assert not app.exception and "No weight of a type has moved" in words(app)
    assert f"PROGRESS = {dynamic.PROGRESS:g}" in app.code[0].value


def test_hostile_token_text_stays_text(compared: ArmsFolder) -> None:
    """Every token of the small runs occurs, the hostile ones too, and the heatmap escapes them."""
    frame = comparisons.read(compared.path).weights
    figure = charts.type_weights(frame, [HOSTILE[1]] * len(frame), "x")
    assert all("<img" not in str(label) for label in figure.to_dict()["data"][0]["y"])


def test_every_arm_has_a_colour_of_its_own() -> None:
    assert set(colours.ARMS) == set(get_args(ArmName))
    assert len(set(colours.ARMS.values())) == len(colours.ARMS)
    assert len({(dash, symbol) for _, dash, symbol in charts.LOOKS.values()}) == len(colours.ARMS)
