"""The page Steps: a heatmap of what the log holds, gaps that stay gaps, boxes that narrow, every
empty view with its reason.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import playwright.sync_api as playwright
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chrome import Tab, serving_page
from conftest import STEPS, WORDS
from pages import DAMAGES, words
from sent import content
from streamlit.testing.v1 import AppTest

from app import controls, data
from app import words as app_words
from app.components import colours, heatmap
from app.components.heatmap import drawing
from app.components.packing import Array, pack
from rockcore.analysis.signals import PROBES_ONLY, WHOLE_RUN, Scale
from rockcore.log import Run, sample_runs
from rockcore.schema import Texts

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


def drawn(app: AppTest) -> list[dict[str, Any]]:
    """What each heatmap or text pane of a page was sent."""
    protos = [part.proto for part in app.get("bidi_component")]
    sent = [json.loads(proto.json) if proto.json else content(proto.bytes) for proto in protos]
    return [part for part in sent if {"cells", "scale"} & part.keys()]


def cells(sent: dict[str, Any]) -> np.ndarray:
    """The values of a heatmap, as the browser unpacks them."""
    return sent["cells"].reshape(len(sent["names"]), len(sent["steps"]))


# What is shown is what was logged.


@pytest.mark.parametrize("source", list(Texts))
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_renders(view: str, source: str, open_app, tiny_run: RunFactory) -> None:
    for run in (tiny_run(), sample_runs() / "habit"):
        app = open_app("steps", run, view=view, source=source, which="top", sort="class")
        assert not app.exception
        empty = (view, source) == ("position", "fresh")
        assert len(drawn(app)) == (0 if empty else 1)


def test_a_heatmap_is_sent_the_values_of_the_log(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    for signal in data.runs.SIGNALS:
        app = open_app("steps", run, source="first", rollout="2", signal=signal)
        (sent,) = drawn(app)
        surface = data.steps.positions(data.runs.key(str(run)), "first", 2, signal)
        np.testing.assert_allclose(cells(sent), surface.values, rtol=2**-15)
        assert sent["names"] == surface.names and sent["flat"] and sent["selectable"]
        scale = data.runs.scale(data.runs.key(str(run)), signal)
        assert sent["edges"] == scale.edges and len(sent["legend"]) == len(sent["palette"])
        assert sent["anchors"].startswith(data.texts.SPOKEN.get(signal, signal)) and sent[
            "anchors"
        ].endswith(WHOLE_RUN)


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


@pytest.mark.parametrize("view", VIEWS)
def test_a_step_that_is_not_logged_is_a_gap_and_said(
    view: str,
    open_app,
    tiny_run: RunFactory,
) -> None:
    app = open_app("steps", probed(tiny_run, 20), view=view, which="top")
    assert "Not logged, though planned: step 20." in words(app)
    (sent,) = drawn(app)
    assert sent["steps"] == [0, 10, 20, 30] and sent["logged"] == [True, True, False, True]
    assert sent["stepEdges"] == [-5, 5, 15, 25, 35] and np.isnan(cells(sent)[:, 2]).all()


def test_a_type_that_does_not_occur_has_no_value_and_is_said(
    open_app,
    tiny_run: RunFactory,
) -> None:
    run, gone = tiny_run("rare"), WORDS.index("So")
    file = run / "tokens" / "step=000010.parquet"
    table = pq.ParquetFile(file).read()
    ids = table["token_id"].to_numpy()
    others = pa.array(np.where(ids == gone, WORDS.index(" Let"), ids), pa.int32())
    at = table.column_names.index("token_id")
    pq.write_table(table.set_column(at, "token_id", others), file)
    asked = {"view": "type", "source": "fresh", "which": "picked", "types": str(gone)}
    app = open_app("steps", run, step="10", **asked)
    (sent,) = drawn(app)
    assert np.isnan(cells(sent)).tolist() == [[False, True, False]]
    assert sent["gone"] == "dotted: the type does not occur" and all(sent["logged"])
    rows = app.dataframe[0].value
    assert rows.tokens.tolist() == [0] and rows.cursor.isna().all()


# A change is a factor, and has an interval.


def test_types_are_coloured_by_their_ratio_to_the_first_step_and_the_change_is_said(
    open_app, tiny_run: RunFactory
) -> None:
    run = tiny_run()
    app = open_app("steps", run, view="type", which="top", rows="9")
    (sent,) = drawn(app)
    every = data.steps.types(data.runs.key(str(run)), "final", "kl")
    values = every.values[:9].astype(float)
    np.testing.assert_allclose(cells(sent), np.log2(values / values[:, :1]), rtol=1e-3, atol=1e-3)
    assert sent["kind"] == "ratio" and sent["legend"][5] == ["about", "the same"]
    assert re.search(r"Step 0 → 20: mean KL over all tokens .*: [+−]\d+ % \(95 % ", words(app))
    table = app.dataframe[0].value
    np.testing.assert_allclose(table.factor, values[:, -1] / values[:, 0], rtol=1e-4)
    app = open_app("steps", run, view="type", which="top", signal="sampled_loss")
    assert drawn(app)[0]["kind"] == "diverging", "what may be negative has no ratio"


def test_a_table_has_no_column_twice(open_app, tiny_run: RunFactory) -> None:
    def columns(app: AppTest) -> list[str]:
        return list(app.dataframe[0].proto.column_order)

    run = tiny_run()
    assert {"first", "cursor", "last"} <= set(columns(open_app("steps", run, step="10")))
    assert "cursor" not in columns(open_app("steps", run, step="20"))
    one_step(alone := tiny_run("alone"))
    assert columns(open_app("steps", alone)) == ["position", "shown", "first"]


# A run of which only some is logged.


def probes_only(run: Path) -> None:
    """As an imported pair of checkpoints: no rollouts of the training, no metrics."""
    for table in ("tokens", "types", "rollouts", "metrics", "evals"):
        shutil.rmtree(run / table)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("signal", data.runs.SIGNALS)
def test_a_run_of_probes_alone_is_followed_over_its_two_checkpoints(
    signal: str,
    view: str,
    open_app,
    tiny_run: RunFactory,
) -> None:
    run = tiny_run("imported", steps=(0, 1000))
    probes_only(run)
    app = open_app("steps", run, view=view, signal=signal, which="top", shade="value")
    assert not app.exception
    (sent,) = drawn(app)
    assert sent["steps"] == [0, 1000] and np.isfinite(cells(sent)).all()
    assert_the_scale_is_named(sent["anchors"], bool(sent["edges"]))
    said = PROBES_ONLY if sent["edges"] else "no scale to colour by"
    assert app_words.literal(said) in app_words.literal(words(app))


def assert_the_scale_is_named(text: str, colours_change: bool) -> None:
    assert (PROBES_ONLY if colours_change else "nothing is coloured") in text


def test_trace_reads_a_run_of_probes_alone(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run("imported", steps=(0, 1000))
    probes_only(run)
    app = open_app("trace", run)
    assert not app.exception
    scales = [part["scale"] for part in drawn(app) if "scale" in part]
    assert scales and all(
        scale["over"] == (PROBES_ONLY if scale["edges"] else WHOLE_RUN) for scale in scales
    )


@pytest.mark.parametrize("view", VIEWS)
def test_a_signal_without_a_value_is_not_offered_and_one_that_a_link_asks_for_is_named(
    view: str,
    open_app,
    tiny_run: RunFactory,
) -> None:
    run = tiny_run("no gradients")
    for file in [*run.glob("tokens/step=*.parquet"), *run.glob("probe/*/step=*.parquet")]:
        table = pq.ParquetFile(file).read()
        pq.write_table(table.drop_columns(["grad_norm"]), file)
    app = open_app("steps", run, view=view, signal="grad_norm", which="top")
    assert not app.exception
    assert "the link asks for grad_norm, which is not here" in words(app)
    assert (
        "gradient norm" not in next(box for box in app.selectbox if box.label == "Signal").options
    )
    assert app.expander[0].label == "Not in this log: grad_norm"
    assert "Rescore it, where its prompts are logged: rockcore score" in words(app)
    assert not open_app("trace", run, signal="grad_norm").exception


@pytest.mark.parametrize("config", [None, [], "x", {"probe_every": None, "log_every": "5"}])
def test_a_run_whose_config_names_no_plan_is_followed(
    config: Any,
    open_app,
    tiny_run: RunFactory,
) -> None:
    run = tiny_run("foreign")
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(meta | {"config": config}))
    for view in VIEWS:
        app = open_app("steps", run, view=view, which="top")
        assert not app.exception
        assert len(drawn(app)) == 1 or "cannot be opened" in words(app)


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
        "No set here, so the types stand by score. No type is in the set. ",
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
    (sent,) = drawn(app)
    assert "cursor at step 10" in sent["about"] and sent["step"] == 10
    assert sent["signal"] == "sampled loss" and "rollout 2" in sent["title"]
    app.switch_page("views/trace/page.py").run()
    assert {n: app.query_params[n] for n in ("source", "step", "rollout")} == {
        "source": "final",
        "step": "10",
        "rollout": "2",
    }


def test_what_is_selected_is_marked(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    (sent,) = drawn(open_app("steps", run, source="first", span="3-5"))
    assert sent["marked"] == [[3, 5]]
    every = data.steps.types(data.runs.key(str(run)), "final", "kl").frame
    ids = ",".join(str(i) for i in every.token_id[[2, 3, 9]])
    (sent,) = drawn(open_app("steps", run, view="type", which="top", types=ids))
    assert sent["marked"] == [[2, 3], [9, 9]]
    (sent,) = drawn(open_app("steps", run, view="category"))
    assert sent["marked"] == [] and not sent["selectable"]


# Colours, hostile text, size.


def test_hostile_token_text_is_text_in_every_view(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    for view in VIEWS:
        app = open_app("steps", run, view=view, which="top", types="30", span="0-60")
        shown = (*app.markdown, *app.caption, *app.info, *app.warning)
        assert not any("<" in str(e.value) for e in shown)
        assert not any(part.proto.html_content for part in app.get("bidi_component"))
        assert all(name.isprintable() for part in drawn(app) for name in part["names"])


VALUES = np.random.default_rng(0).gamma(0.3, 1.0, (300, 300)).astype(np.float32)


@pytest.mark.parametrize(
    "factor", [1.0, -1.0, 1e-6, 1e6], ids=["plain", "negative", "small", "large"]
)
def test_packed_cells_keep_their_bin_and_five_digits(factor: float) -> None:
    values = VALUES * np.float32(factor)
    edges = sorted(float(e) for e in np.quantile(values, [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99]))
    values[:7, 0] = edges
    values[:7, 1] = np.nextafter(values[:7, 0], np.float32(-np.inf))
    values[:7, 2] = np.nextafter(values[:7, 0], np.float32(np.inf))
    values[0, 3] = np.nan
    body = pack({}, {("cells",): Array(drawing.cells_sent(values, edges), "float")})
    got = content(body)["cells"].reshape(values.shape)
    np.testing.assert_array_equal(drawing.shades(got, edges), drawing.shades(values, edges))
    np.testing.assert_allclose(got, values, rtol=2**-15)


def test_what_is_too_large_is_binned_as_means_and_said(
    open_app,
    tiny_run: RunFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = probed(tiny_run, 20)
    surface = data.steps.positions(data.runs.key(str(run)), "final", 0, "kl")
    monkeypatch.setattr(heatmap, "MOST_CELLS", 100)
    app = open_app("steps", run, span="4-8")
    assert not app.exception and "the mean of 3 neighbouring" in str(app.info[0].value)
    (sent,) = drawn(app)
    assert sent["per"] == 3 and len(sent["names"]) == -(-len(surface.names) // 3)
    assert sent["marked"] == [[1, 2]]
    np.testing.assert_allclose(cells(sent)[0], surface.values[:3].mean(0), rtol=1e-4)
    chart = heatmap.Heatmap(surface, SCALE, "", "", "position", 0)
    with pytest.raises(heatmap.TooLarge):
        heatmap.show("too large", chart)


EDGES = [0.1, 0.2, 0.4, 0.8, 1.6]
SCALE = Scale("kl", "sequential", "nats", "", "kl", EDGES, [0.5, 0.6, 0.7, 0.8, 0.9], 9, WHOLE_RUN)


def test_a_legend_names_each_bin_by_its_edge_and_the_quantile_of_that() -> None:
    assert drawing.legend(SCALE) == [
        ("< 0.1", "the rest"),
        *zip(
            ("≥ 0.1", "≥ 0.2", "≥ 0.4", "≥ 0.8", "≥ 1.6"),
            ("50 %", "60 %", "70 %", "80 %", "90 %"),
            strict=True,
        ),
    ]
    signed = Scale(
        "x", "diverging", "", "", "x", [-2, -1, 1, 2], [0.9, 0.5, 0.5, 0.9], 9, "both runs"
    )
    assert [edge for edge, _ in drawing.legend(signed)] == ["< −2", "< −1", "between", "≥ 1", "≥ 2"]
    assert drawing.anchors(signed) == "x, colours change at quantiles of |value| over both runs"


# In a browser.


def test_the_cursor_plays_through_the_steps_and_the_page_is_where_it_is_left(tab: Tab) -> None:
    tab.open("/steps?run=tiny&source=first&rollout=0&step=20")
    said = tab.page.locator(".player .said")
    playwright.expect(said).to_contain_text("step 20, 3 of 3")
    tab.page.locator(".player .speed").select_option("4 ×")
    tab.page.locator(".heatmap canvas").focus()
    tab.watch(said, ".player .said, .veil")
    tab.page.keyboard.press("Space")
    tab.wait_for_sight("veil", "step 0, 1 of 3", "step 10, 2 of 3")
    playwright.expect(said).to_contain_text("step 20, 3 of 3")
    playwright.expect(tab.page.locator(".veil")).to_have_count(0)
    tab.page.locator(".heatmap canvas").focus()
    tab.page.keyboard.press("[")
    tab.wait_for_url(step="10")
    playwright.expect(said).to_contain_text("step 10, 2 of 3")
    link = tab.page.get_by_role("link", name="Read rollout 0 at step 10 in Trace")
    playwright.expect(link).to_be_visible()


def drag(
    tab: Tab, area: playwright.Locator, start: tuple[float, float], end: tuple[float, float]
) -> None:
    box = tab.box(area)
    at = lambda f: (box["x"] + f[0] * box["width"], box["y"] + f[1] * box["height"])  # noqa: E731
    tab.page.mouse.move(*at(start))
    tab.page.mouse.down()
    tab.page.mouse.move(*at(end), steps=6)
    tab.page.mouse.up()


def test_a_box_over_positions_narrows_table_and_link(tab: Tab) -> None:
    tab.open("/steps?run=tiny&source=first&rollout=0")
    area = tab.page.locator(".heatmap canvas")
    playwright.expect(area).to_be_visible()
    n = len(WORDS) + 21  # as conftest samples them
    drag(tab, area, (10.5 / n, 0.3), (19.5 / n, 0.7))
    tab.wait_for_url(span="10-19")
    playwright.expect(tab.page.get_by_text(f"10 of {n} positions.")).to_be_visible()
    tab.page.get_by_role("textbox", name="Positions").fill("")
    tab.page.keyboard.press("Enter")
    playwright.expect(tab.page.get_by_text(f"{n} of {n} positions.")).to_be_visible()
    assert "span" not in tab.parameters and "owned" not in tab.page.title()


def test_the_link_to_trace_opens_the_same_step_and_rollout(tab: Tab) -> None:
    tab.open("/steps?run=tiny&source=first&step=10&rollout=2")
    tab.page.get_by_role("link", name="Read rollout 2 at step 10 in Trace").click()
    tab.page.wait_for_url("**/trace?**")
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
    area = tab.page.locator(".heatmap canvas")
    playwright.expect(area).to_be_visible()
    drag(tab, area, (0.2, 2.5 / 20), (0.6, 4.5 / 20))
    said = f"3 of {len(WORDS)} types of these texts."
    playwright.expect(tab.page.get_by_text(said)).to_be_visible()
    top = data.steps.types(
        data.runs.key(str(tiny_run("tiny"))), "final", "kl"
    ).frame  # the same numbers are drawn again
    assert tab.parameters["types"] == ",".join(map(str, top.token_id[2:5]))


CANVAS = """
import numpy as np, streamlit as st
from app.components import heatmap
from rockcore.analysis.signals import Scale
from rockcore.analysis.steps import StepAxis, Surface
st.set_page_config(layout="wide")
rows, steps = (int(st.query_params[n]) for n in ("rows", "steps"))
edges = [0.1, 0.2, 0.4, 0.8, 1.6]
values = np.random.default_rng(0).gamma(0.3, 1.0, (rows, steps)).astype(np.float32)
if rows == 6:
    values[:] = np.array([0.05, 0.1, 0.3, 0.7, 1.0, 2.0])[:, None]
    values[2, 1] = np.nan
    values[:, 3] = np.nan
axis = StepAxis([10 * s for s in range(steps)], [s != 3 for s in range(steps)])
shares = [0.5, 0.6, 0.7, 0.8, 0.9]
chart = heatmap.Heatmap(
    Surface(values, [f"<b>row {i}</b>" for i in range(rows)], axis),
    Scale("kl", "sequential", "nats", "", "kl", edges, shares, 9, "the whole run"),
    "A heatmap", "drawn numbers", "token type", axis.steps[-1],
    flat="flat" in st.query_params, marked=((1, 2),) if "marked" in st.query_params else (),
)
st.text(f"box {heatmap.show('canvas', chart)}")
"""


@pytest.fixture(scope="session")
def canvas_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("canvas")
    root = Path(heatmap.__file__).parent.parent.parent
    (folder / "page.py").write_text(f"import sys\nsys.path.insert(0, {str(root)!r})\n{CANVAS}")
    with serving_page(folder) as address:
        yield address


PIXEL = """(canvas, [x, y]) => {
  const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
  return [...canvas.getContext('2d').getImageData(...at, 1, 1).data];
}"""


def canvas_page(browser: playwright.Browser, server: str, query: str) -> playwright.Page:
    page = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="light"
    ).new_page()
    page.goto(f"{server}/?{query}")
    page.wait_for_selector("canvas[data-ms]")
    return page


@pytest.mark.parametrize("flat", ["", "&flat=1"])
def test_the_canvas_paints_each_cell_in_the_colour_of_its_bin(
    flat: str, browser, canvas_server: str
) -> None:
    page = canvas_page(browser, canvas_server, f"rows=6&steps=5{flat}")
    canvas = page.locator("canvas")
    lights = [light for light, _ in colours.palette(len(EDGES) + 1)]
    for row in range(6):
        for step in (0, 1, 2, 4):
            at = (
                [(row + 0.5) / 6, 1 - (step + 0.5) / 5]
                if flat
                else [(step + 0.5) / 5, (row + 0.5) / 6]
            )
            pixel = canvas.evaluate(PIXEL, at)
            if (row, step) == (2, 1) or lights[row].startswith("rgba"):
                assert pixel[3] in (0, 255) and pixel[:3] in ([0, 0, 0], [140, 140, 140])
            else:
                assert "#{:02x}{:02x}{:02x}".format(*pixel[:3]) == lights[row] and pixel[3] == 255
    playwright.expect(page.get_by_text(heatmap.NOT_LOGGED)).to_be_visible()
    playwright.expect(page.get_by_text(heatmap.NO_VALUE)).to_be_visible()
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
        "<b>row 0</b> · step 20 · KL 0.05 nats"
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
        [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        for colour in colours.palette(len(EDGES) + 1)[-1]
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


FITS = """(root) => {
  const own = root.getBoundingClientRect();
  const inside = (node) => {
    const box = node.getBoundingClientRect();
    return box.left >= own.left - 2.5 && box.right <= own.right + 2.5;
  };
  const shown = [...root.querySelectorAll('*')].filter((node) => node.offsetParent);
  const outside = shown.filter((node) => !inside(node));
  const named = outside.map((node) => node.className + ' ' + node.textContent);
  return [named, own.right <= innerWidth];
}"""
CELL = """(canvas, [rows, steps, flat]) => {
  const box = canvas.getBoundingClientRect();
  return flat ? [box.width / rows, box.height / steps] : [box.height / rows, box.width / steps];
}"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("size", [(1, 1), (10, 3), (6, 5), (60, 12), (1000, 200)])
@pytest.mark.parametrize("flat", ["", "&flat=1"], ids=["down", "flat"])
def test_nothing_of_a_heatmap_is_cut_and_few_cells_are_not_stretched(
    flat: str, size: tuple[int, int], width: int, canvas_tab: playwright.Page, canvas_server: str
) -> None:
    rows, steps = size
    page = canvas_tab
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{canvas_server}/?rows={rows}&steps={steps}&marked=1{flat}")
    page.wait_for_selector("canvas[data-ms]")
    outside, on_the_page = page.locator(".heatmap").evaluate(FITS)
    assert outside == [] and on_the_page
    high, wide = page.locator("canvas").evaluate(CELL, [rows, steps, bool(flat)])
    assert high <= 72 and wide <= 72


@pytest.fixture(scope="session")
def canvas_tab(chromium: playwright.Browser) -> Iterator[playwright.Page]:
    context = chromium.new_context(color_scheme="light")
    page = context.new_page()
    yield page
    context.close()


def test_a_value_is_read_out_beside_its_cell_and_inside_the_page(
    canvas_tab: playwright.Page, canvas_server: str
) -> None:
    page = canvas_tab
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(f"{canvas_server}/?rows=6&steps=5")
    page.wait_for_selector("canvas[data-ms]")
    box = Tab(page, canvas_server).box(page.locator("canvas"))
    for x, y, said in ((0.99, 0.01, "step 40 · KL 0.05 nats"), (0.01, 0.99, "step 0 · KL 2 nats")):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        playwright.expect(page.locator(".readout")).to_contain_text(said)
        assert page.locator(".heatmap").evaluate(FITS) == [[], True]
    page.mouse.move(1, 1)
    playwright.expect(page.locator(".readout")).to_be_hidden()


def test_of_a_large_log_the_size_and_the_words_come_before_what_needs_all_tokens(
    open_app, tiny_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page says how large the log is, and nothing on it asks for a list of all its texts."""
    monkeypatch.setattr(data.runs, "LARGE", 0)
    monkeypatch.setattr(controls, "MOST_LISTED", 1)
    run = tiny_run("large")
    for page in ("trace", "steps", "overview"):
        app = open_app(page, run)
        assert not app.exception
        assert any("A large log:" in each.value for each in app.caption), page
    for page in ("trace", "steps"):
        app = open_app(page, run, rollout="2")
        assert app.number_input(key="widget rollout").value == 2


def test_the_words_that_stand_first_are_no_taller_than_they_are_long() -> None:
    """Below a text of two words stood an empty box of 260 pixels."""
    assert controls.height_of(" two words") == controls.height_of("") == "content"
    assert controls.height_of("word " * 900) == controls.height_of("word\n" * 20) == 260
