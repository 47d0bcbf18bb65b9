"""The page Steps: the log's own values over steps, gaps that stay gaps, boxes that narrow, and a
canvas for what is large.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import playwright.sync_api as playwright
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from chrome import Tab, serving
from conftest import HOSTILE, STEPS, WORDS
from pages import DAMAGES, words
from streamlit.testing.v1 import AppTest

from app import data
from app import words as app_words
from app.components import heatmap
from app.components.heatmap import chart
from rockcore.log import Run, sample_runs

RunFactory = Callable[..., Path]
VIEWS = ("position", "type", "category")


def unlogged(run: Path, table: str, step: int) -> None:
    (run / table / f"step={step:06d}.parquet").unlink()


def probed(tiny_run: RunFactory, *missing: int) -> Path:
    """A run whose plan is a probe every 10 steps, with files that are not there."""
    run = tiny_run("gaps", steps=(0, 10, 20, 30), config={"probe_every": 10, "log_every": 10})
    for step in missing:
        unlogged(run, "probe/final", step)
    return run


def charts(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


# What is shown is what was logged.


@pytest.mark.parametrize("source", data.runs.SOURCES)
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_renders(view: str, source: str, open_app, tiny_run: RunFactory) -> None:
    for run in (tiny_run(), sample_runs() / "habit"):
        app = open_app("steps", run, view=view, source=source, which="top", sort="class")
        assert not app.exception
        drawn = len(charts(app))
        assert drawn == (0 if (view, source) == ("position", "fresh") else 1)


def test_positions_carry_the_values_of_the_log(tiny_run: RunFactory) -> None:
    run = tiny_run()
    for signal in data.runs.SIGNALS:
        surface = data.steps.positions(data.runs.key(str(run)), "first", 2, signal)
        for s, step in enumerate(STEPS):
            trace = Run.open(run).trace(step, 2, "first")
            np.testing.assert_array_equal(surface.values[:, s], trace[signal])
            assert surface.names == [app_words.visible(t) for t in trace.token]


def occurrences(run: Path, source: str) -> pd.DataFrame:
    table = "tokens" if source == "fresh" else f"probe/{source}"
    return pd.concat(
        [pq.ParquetFile(f).read().to_pandas() for f in sorted((run / table).glob("step=*.parquet"))]
    )


@pytest.mark.parametrize("source", data.runs.SOURCES)
def test_types_and_categories_carry_means_over_the_logged_tokens(
    source: str, tiny_run: RunFactory
) -> None:
    run = tiny_run()
    key, rows = data.runs.key(str(run)), occurrences(run, source)
    by_type = data.steps.types(key, source, "grad_norm")
    means, n = (
        rows.groupby(["token_id", "step"]).grad_norm.mean(),
        rows.groupby(["token_id", "step"]).size(),
    )
    for i, token in enumerate(by_type.frame.token_id):
        np.testing.assert_allclose(by_type.values[i], means[token].loc[list(STEPS)], rtol=1e-5)
        assert by_type.counts[i].tolist() == n[token].loc[list(STEPS)].tolist()
    last = rows[rows.step == STEPS[-1]]
    score = last.groupby("token_id").kl.sum().loc[by_type.frame.token_id]
    np.testing.assert_allclose(by_type.frame.score, score, rtol=1e-4)
    assert by_type.frame.score.is_monotonic_decreasing
    surface, tokens = data.steps.categories(key, source, "grad_norm")
    assert tokens[:, -1].sum() == len(last)
    kinds = by_type.frame.set_index("token_id").category
    for name, value in zip(surface.names, surface.values[:, -1], strict=True):
        assert value == pytest.approx(
            last.grad_norm[last.token_id.map(kinds) == name].mean(), rel=1e-4
        )


def test_a_slope_is_that_of_least_squares_over_the_steps_with_a_value() -> None:
    rng = np.random.default_rng(0)
    steps, values = [0, 10, 15, 40, 90], rng.normal(size=(50, 5))
    values[rng.random(values.shape) < 0.3] = np.nan
    slope, n = data.steps.slopes(steps, values)
    for row, found, count in zip(values, slope, n, strict=True):
        there = np.isfinite(row)
        assert count == there.sum()
        assert (
            np.isnan(found)
            if count < 2
            else found == pytest.approx(np.polyfit(np.array(steps)[there], row[there], 1)[0])
        )


@pytest.mark.parametrize("sort", data.steps.SORTS)
def test_types_stand_in_the_order_that_was_asked_for(
    sort: str, open_app, tiny_run: RunFactory
) -> None:
    table = open_app("steps", tiny_run(), view="type", which="top", sort=sort).dataframe[0].value
    assert len(table) == 40
    if sort == "category":
        assert table.category.is_monotonic_increasing
    elif sort == "class":
        order = list(data.rocks.CLASSES)
        assert [order.index(c) for c in table["class"]] == sorted(
            order.index(c) for c in table["class"]
        )
    else:
        assert table[sort].is_monotonic_decreasing


# A gap is no zero.


def test_a_step_that_is_not_logged_is_a_hatched_gap(open_app, tiny_run: RunFactory) -> None:
    run = probed(tiny_run, 20)
    key = data.runs.key(str(run))
    assert (
        data.steps.step_axis(key, "final").missing == [20]
        and data.steps.step_axis(key, "first").missing == []
    )
    for surface in (
        data.steps.positions(key, "final", 0, "kl"),
        data.steps.categories(key, "final", "kl")[0],
    ):
        assert (
            np.isnan(surface.values[:, 2]).all() and np.isfinite(surface.values[:, [0, 1, 3]]).all()
        )
    for view in VIEWS:
        app = open_app("steps", run, view=view, which="top")
        assert "Not logged, though planned: step 20." in words(app)
        figure = charts(app)[0]
        assert [t["name"] for t in figure["data"][1:]] == [chart.NOT_LOGGED]
        hatch = figure["data"][1]
        along = [v for v in hatch["y" if view == "position" else "x"] if v is not None]
        assert (min(along), max(along)) == (15, 25) and hatch["fillpattern"]["shape"] == "/"


def test_steps_stand_on_a_true_axis(tiny_run: RunFactory) -> None:
    run = tiny_run("uneven", steps=(0, 10, 20, 40, 47), config={"probe_every": 10})
    axis = data.steps.step_axis(data.runs.key(str(run)), "final")
    assert axis.steps == [0, 10, 20, 30, 40, 47] and axis.missing == [30]
    assert data.steps.step_axis(
        data.runs.key(str(tiny_run("plain", steps=(0, 10, 20, 40)))), "final"
    ).missing == [30]


def test_a_type_that_does_not_occur_is_dotted_and_said(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run("rare")
    file = run / "tokens" / "step=000010.parquet"
    table = pq.ParquetFile(file).read()
    gone = WORDS.index("So")
    pq.write_table(table.filter(pc.not_equal(table["token_id"], gone)), file)
    by_type = data.steps.types(data.runs.key(str(run)), "fresh", "kl")
    i = by_type.frame.token_id.tolist().index(gone)
    assert (
        np.isnan(by_type.values[i, 1])
        and by_type.counts[i].tolist()[1] == 0
        and by_type.frame.slope_steps[i] == 2
    )
    app = open_app(
        "steps", run, view="type", source="fresh", which="picked", types=str(gone), step="10"
    )
    assert [t["name"] for t in charts(app)[0]["data"][1:]] == ["dotted: the type does not occur"]
    assert (
        app.dataframe[0].value.tokens.tolist() == [0] and app.dataframe[0].value.cursor.isna().all()
    )


# Every empty view says why.


def one_step(run: Path) -> None:
    for table in ("tokens", "types", "rollouts", "probe/first", "probe/final", "metrics"):
        for step in STEPS[1:]:
            unlogged(run, table, step)


EMPTY = {
    "no probes": (
        lambda run: shutil.rmtree(run / "probe"),
        {"view": "position"},
        "has logged no probe texts",
    ),
    "fresh": (
        lambda run: None,
        {"view": "position", "source": "fresh"},
        "other texts at every step",
    ),
    "one step": (one_step, {"view": "position"}, "Only step 0 is logged"),
    "one step, no classes": (one_step, {"view": "type"}, "the types stand by score. "),
    "no set": (
        lambda run: None,
        {"view": "type", "rule": "default;tau_quantile=0.995;eta=1.0"},
        "The rule finds no Rock Tokens",
    ),
    "none picked": (lambda run: None, {"view": "type", "which": "picked"}, "No type is selected"),
    "no span": (lambda run: None, {"span": "900-1000"}, "names no positions of this text"),
    "nonsense": (lambda run: None, {"span": "<script>"}, "names no positions of this text"),
    "picked elsewhere": (
        lambda run: None,
        {"view": "type", "which": "top", "rows": "1", "types": "1"},
        "not among those shown",
    ),
}


@pytest.mark.parametrize("what", EMPTY)
def test_an_empty_view_says_why(what: str, open_app, tiny_run: RunFactory) -> None:
    spoil, url, says = EMPTY[what]
    run = tiny_run("bare")
    spoil(run)
    app = open_app("steps", run, **url)
    assert not app.exception
    assert says in "\n".join([words(app), *(str(w.value) for w in app.warning)]).replace("\\", "")


def test_a_young_run_says_so(open_app, tiny_run: RunFactory) -> None:
    app = open_app("steps", tiny_run("young", steps=(), status="running"))
    assert not app.exception and "No step has logged its tokens yet" in words(app)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_explained(damage: str, view: str, open_app, tiny_run: RunFactory) -> None:
    run = tiny_run("hurt")
    DAMAGES[damage](run)
    app = open_app("steps", run, view=view)
    assert not app.exception and "cannot be" in words(app)


# State in the link.


def test_a_span_narrows_the_table_and_the_text(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    app = open_app("steps", run, source="first", rollout="1", step="10", span="3-5")
    trace = Run.open(run).trace(10, 1, "first")
    table = app.dataframe[0].value
    assert table.position.tolist() == [3, 4, 5]
    np.testing.assert_array_equal(table.cursor.astype(np.float32), trace.kl[3:6].astype(np.float32))
    assert "".join(app_words.visible(t, spaces=True) for t in trace.token[3:6]) in words(
        app
    ).replace("␣", " ")
    assert dict(app.query_params)["span"] == "3-5"


def test_the_step_cursor_and_the_rollout_are_those_of_trace(open_app, tiny_run: RunFactory) -> None:
    app = open_app("steps", tiny_run())
    app.select_slider(key="widget step").set_value(10).run()
    app.selectbox(key="widget rollout").set_value(2).run()
    app.selectbox(key="widget signal").set_value("sampled_loss").run()
    assert "step 10" in charts(app)[0]["layout"]["title"]["subtitle"]["text"]
    app.switch_page("views/trace/page.py").run()
    assert {n: app.query_params[n] for n in ("source", "step", "rollout")} == {
        "source": "final",
        "step": "10",
        "rollout": "2",
    }


@pytest.mark.parametrize(
    "text, span",
    [
        ("", None),
        ("7", (7, 7)),
        ("12-40", (12, 19)),
        ("9 – 3", (3, 9)),
        ("19-", 0),
        ("20", 0),
        ("a", 0),
    ],
)
def test_a_span_is_read_or_refused(text: str, span: tuple[int, int] | None | int) -> None:
    if span == 0:
        with pytest.raises(data.steps.NoSpan):
            data.steps.span_of(text, 20)
    else:
        assert data.steps.span_of(text, 20) == span


@pytest.mark.parametrize(
    "box, rows",
    [
        ((2.4, 5.6), (3, 5)),
        ((5.6, 2.4), (3, 5)),
        ((2.8, 3.2), (3, 3)),
        ((2.6, 2.7), (3, 3)),
        ((-3, 99), (0, 9)),
        ((11, 12), None),
    ],
)
def test_a_box_takes_the_rows_whose_middle_it_covers(
    box: tuple[float, float], rows: tuple[int, int] | None
) -> None:
    assert chart.rows_within(box, 10) == rows


# Colours, hostile text, size.


def test_colours_are_those_of_the_text_pane() -> None:
    pane = "".join(
        f.read_text(encoding="utf-8")
        for f in (Path(heatmap.__file__).parent.parent / "token_pane").iterdir()
        if f.is_file()
    )
    for pair in (*chart.SEQUENTIAL, *chart.DIVERGING):
        assert all(colour in pane or colour.startswith("rgba") for colour in pair)


def test_hostile_token_text_is_text_in_every_view(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    for view in VIEWS:
        app = open_app("steps", run, view=view, which="top", types="30", span="0-60")
        assert not any(
            "<" in str(e.value) for e in (*app.markdown, *app.caption, *app.info, *app.warning)
        )
        assert not any(
            f'"{text}"' in chart.proto.spec
            for text in HOSTILE
            if "<" in text
            for chart in app.get("plotly_chart")
        )


def test_halves_never_cross_an_edge() -> None:
    values = np.random.default_rng(0).gamma(0.3, 1.0, (300, 300)).astype(np.float32)
    edges = [float(e) for e in np.quantile(values, [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])]
    values[:7, 0] = edges
    values[0, 1] = np.nan
    half = (
        np.frombuffer(base64.b64decode(heatmap.packed(values, edges)), "<f2")
        .reshape(values.shape)
        .astype(np.float32)
    )
    np.testing.assert_array_equal(chart.shades(half, edges), chart.shades(values, edges))
    np.testing.assert_allclose(half, values, rtol=2e-3, atol=1e-6)


def test_what_is_too_large_is_binned_as_means_and_said(
    open_app, tiny_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = probed(tiny_run, 20)
    surface = data.steps.positions(data.runs.key(str(run)), "final", 0, "kl")
    small = data.steps.binned(surface, 100)
    assert small.cells <= 100 + 4 and small.per == 3
    np.testing.assert_allclose(small.values[0], surface.values[:3].mean(0), rtol=1e-5)
    assert np.isnan(small.values[:, 2]).all()
    monkeypatch.setattr(heatmap, "MOST_CELLS", 100)
    app = open_app("steps", run)
    assert not app.exception and "the mean of 3 neighbouring" in str(app.info[0].value)
    assert len(charts(app)) == 1
    monkeypatch.setattr(chart, "MOST_CELLS", 50)
    app = open_app("steps", run)
    assert not app.exception and len(charts(app)) == 0 and len(app.get("bidi_component")) == 1


# In a browser.


def drag(
    tab: Tab, area: playwright.Locator, start: tuple[float, float], end: tuple[float, float]
) -> None:
    box = area.bounding_box()
    at = lambda f: (box["x"] + f[0] * box["width"], box["y"] + f[1] * box["height"])  # noqa: E731
    tab.page.mouse.move(*at(start))
    tab.page.mouse.down()
    tab.page.mouse.move(*at(end), steps=6)
    tab.page.mouse.up()


def test_a_box_over_positions_narrows_table_and_link(tab: Tab) -> None:
    tab.open("/steps?run=tiny&source=first&rollout=0")
    area = tab.page.locator(".js-plotly-plot .nsewdrag")
    playwright.expect(tab.page.locator(".js-plotly-plot .heatmaplayer image")).to_be_visible()
    n = len(WORDS) + 21  # every word, 20 more, and the end: conftest draws texts so
    drag(tab, area, (10 / n, 0.3), (20 / n, 0.7))
    tab.wait_for_url(span="10-19")
    playwright.expect(tab.page.get_by_text(f"10 of {n} positions.")).to_be_visible()
    tab.page.get_by_role("textbox", name="Positions").fill("")
    tab.page.keyboard.press("Enter")
    playwright.expect(tab.page.get_by_text(f"{n} of {n} positions.")).to_be_visible()
    assert "span" not in tab.parameters and "owned" not in tab.page.title()


def test_the_link_to_trace_opens_the_same_step_and_rollout(tab: Tab) -> None:
    tab.open("/steps?run=tiny&source=first&step=10&rollout=2")
    tab.page.get_by_role("link", name="Read rollout 2 at step 10 in Trace").click()
    tab.page.wait_for_url("**/trace?*")
    tab.wait_for_url(run="tiny", source="first", step="10", rollout="2")


def test_the_link_to_trace_carries_all_for_a_tab_of_its_own(tab: Tab) -> None:
    tab.open("/steps?run=tiny&source=first&step=10&rollout=2&span=3-9&types=5")
    address = tab.page.get_by_role("link", name="Read rollout 2 at step 10 in Trace").get_attribute(
        "href"
    )
    tab.open("/" + str(address).lstrip("/"))
    playwright.expect(tab.page.locator(".selected .toggle").first).to_contain_text("positions 3–9")
    wanted = {"source": "first", "step": "10", "rollout": "2", "span": "3-9", "types": "5"}
    assert {name: tab.parameters[name] for name in wanted} == wanted


def test_a_box_over_types_picks_them(tab: Tab, tiny_run: RunFactory) -> None:
    tab.open("/steps?run=tiny&view=type&which=top&rows=20")
    playwright.expect(tab.page.locator(".js-plotly-plot .heatmaplayer image")).to_be_visible()
    drag(tab, tab.page.locator(".js-plotly-plot .nsewdrag"), (0.2, 2 / 20), (0.6, 5 / 20))
    playwright.expect(
        tab.page.get_by_text(f"3 of {len(WORDS)} types of these texts.")
    ).to_be_visible()
    top = data.steps.types(
        data.runs.key(str(tiny_run("tiny"))), "final", "kl"
    ).frame  # the same numbers are drawn again
    assert tab.parameters["types"] == ",".join(map(str, top.token_id[2:5]))


CANVAS = """
import numpy as np, streamlit as st
from app.components import heatmap
from app.components.heatmap import chart as painting
rows, steps = (int(st.query_params[n]) for n in ("rows", "steps"))
edges = [0.1, 0.2, 0.4, 0.8, 1.6]
values = np.random.default_rng(0).gamma(0.3, 1.0, (rows, steps)).astype(np.float32)
if rows == 6:
    values[:] = np.array([0.05, 0.1, 0.3, 0.7, 1.0, 2.0])[:, None]
    values[2, 1] = np.nan
    values[:, 3] = np.nan
chart = painting.Heatmap(
    values, [f"<b>row {i}</b>" for i in range(rows)], [10 * s for s in range(steps)], [s != 3 for s in range(steps)], edges,
    [0.5, 0.6, 0.7, 0.8, 0.9], False, "kl", "nats", "A heatmap", "drawn numbers", "token type", 10,
    flat="flat" in st.query_params,
)
st.text(f"box {heatmap.show('canvas', chart)}")
"""


@pytest.fixture(scope="session")
def canvas_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("canvas")
    root = Path(heatmap.__file__).parent.parent.parent
    (folder / "page.py").write_text(f"import sys\nsys.path.insert(0, {str(root)!r})\n{CANVAS}")
    flags = ["--server.headless=true", "--browser.gatherUsageStats=false"]
    with serving(
        lambda port: ["-m", "streamlit", "run", "page.py", f"--server.port={port}", *flags], folder
    ) as address:
        yield address


PIXEL = """(canvas, [x, y]) => {
  const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
  return [...canvas.getContext('2d').getImageData(...at, 1, 1).data];
}"""


def canvas_page(browser: playwright.Browser, server: str, query: str) -> playwright.Page:
    page = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="light"
    ).new_page()
    page.set_default_timeout(20_000)
    page.goto(f"{server}/?{query}")
    page.wait_for_selector("canvas[data-ms]")
    return page


@pytest.mark.parametrize("flat", ["", "&flat=1"])
def test_the_canvas_paints_each_cell_in_the_colour_of_its_bin(
    flat: str, browser, canvas_server: str
) -> None:
    page = canvas_page(browser, canvas_server, f"rows=6&steps=5{flat}")
    canvas = page.locator("canvas")
    colours = [light for light, _ in chart.Heatmap(
        np.zeros((1, 1)), ["a"], [0], [True], [0.1, 0.2, 0.4, 0.8, 1.6], [0.5] * 5, False, "kl", "", "", "", "", 0
    ).palette]  # fmt: skip
    for row in range(6):
        for step in (0, 1, 2, 4):
            at = (
                [(row + 0.5) / 6, 1 - (step + 0.5) / 5]
                if flat
                else [(step + 0.5) / 5, (row + 0.5) / 6]
            )
            pixel = canvas.evaluate(PIXEL, at)
            if (row, step) == (2, 1) or colours[row].startswith("rgba"):
                assert pixel[3] in (0, 255) and pixel[:3] in ([0, 0, 0], [140, 140, 140])
            else:
                assert "#{:02x}{:02x}{:02x}".format(*pixel[:3]) == colours[row] and pixel[3] == 255
    playwright.expect(page.get_by_text(chart.NOT_LOGGED)).to_be_visible()
    playwright.expect(page.get_by_text(chart.NO_VALUE)).to_be_visible()
    page.context.close()


def test_the_canvas_answers_hand_and_keyboard(browser, canvas_server: str) -> None:
    page = canvas_page(browser, canvas_server, "rows=6&steps=5")
    canvas = page.locator("canvas")
    tab = Tab(page, canvas_server)
    drag(tab, canvas, (0.3, 1.5 / 6), (0.7, 3.5 / 6))
    playwright.expect(page.get_by_text("box (1, 3)")).to_be_visible()
    playwright.expect(page.locator(".readout")).to_have_text(
        "<b>row 3</b> · step 30 · this step is not logged"
    )
    canvas.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    playwright.expect(page.locator(".readout")).to_have_text(
        "<b>row 0</b> · step 20 · kl 0.05 nats"
    )
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    playwright.expect(page.get_by_text("box (0, 2)")).to_be_visible()
    assert "6 token types by 5 steps, 0 to 40, 1 of them not logged" in (
        canvas.get_attribute("aria-label") or ""
    )
    page.context.close()


def test_the_canvas_follows_the_theme_at_once(browser, canvas_server: str) -> None:
    page = canvas_page(browser, canvas_server, "rows=6&steps=5")
    canvas, at = page.locator("canvas"), [0.5 / 5, 5.5 / 6]
    light, dark = (
        [int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in chart.SEQUENTIAL[-1]
    )
    assert canvas.evaluate(PIXEL, at)[:3] == light
    page.emulate_media(color_scheme="dark")
    painted = f"([canvas, at, want]) => String(({PIXEL})(canvas, at).slice(0, 3)) === String(want)"
    page.wait_for_function(painted, arg=[canvas.element_handle(), at, dark])
    page.context.close()


def test_a_million_cells_are_drawn(browser, canvas_server: str, record_property) -> None:
    page = canvas_page(browser, canvas_server, "rows=10000&steps=100")
    ms = float(page.locator("canvas").get_attribute("data-ms") or "nan")
    record_property("million_cells_ms", ms)
    print(f"a million cells painted in {ms:.0f} ms")
    filled = page.locator("canvas").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)"
    )
    assert filled
    playwright.expect(page.get_by_text("A pixel covers several cells here")).to_be_visible()
    page.context.close()
