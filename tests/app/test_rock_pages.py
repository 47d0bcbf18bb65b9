"""The pages Rock tokens and Threshold lab: the same numbers as the library, a state that travels in
the link, plain words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import HOSTILE
from pages import words
from streamlit.testing.v1 import AppTest

from app import data
from app.views.rock_tokens import charts, columns, labels
from app.views.rock_tokens.figures import FIGURES
from rockcore.log import Run, sample_runs
from rockcore.rocks import Examined, search
from rockcore.rocks.rule import PRESETS, RockRule
from rockcore.rocks.thresholds import Reading
from rockcore.spelling import percent

RunFactory = Callable[..., Path]
# finds rocks in drawn numbers too, in which no set is stable
LENIENT = "lenient;even_share=0;gamma=0.125;min_jaccard=0;tau_quantile=0.5"


def metric(app: AppTest, label: str) -> str:
    return next(str(m.value) for m in app.metric if m.label == label)


def sent(lab: AppTest) -> dict[str, Any]:
    """What the lab sends to the numbers over its histogram."""
    given = (json.loads(part.proto.json or "{}") for part in lab.get("bidi_component"))
    return next(each["numbers"] for each in given if each.get("numbers"))


def high(lab: AppTest, label: str, when: str = "now") -> float:
    numbers = sent(lab)
    return dict(zip(numbers["labels"], numbers[when], strict=True))[label]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("page", ["rock_tokens", "threshold_lab"])
def test_every_preset_renders_on_a_bundled_run(page: str, preset: str, open_app) -> None:
    app = open_app(page, sample_runs() / "habit", rule=preset)
    assert not app.exception
    found = search.detect(Run.open(sample_runs() / "habit"), PRESETS[preset])
    assert metric(app, "Rock Tokens K") == ("no set" if found.unstable else str(len(found.ids)))


def test_the_pages_show_the_numbers_of_the_library(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    found = search.detect(Run.open(run), RockRule.from_short(LENIENT))
    app = open_app("rock_tokens", run, rule=LENIENT)
    n = found.occurrences
    assert f"{n['scored']:,} occurrences → {n['persistent']:,} high before (step 0)" in words(app)
    assert metric(app, "Coverage") == percent(found.coverage) and metric(
        app, "Type density"
    ) == percent(found.density["type"])
    assert app.dataframe[0].value.token_id.tolist() == found.tokens.token_id.tolist()
    lab = open_app("threshold_lab", run, rule=LENIENT)
    assert (
        high(lab, "Occurrences") == n["persistent"]
        and metric(lab, "In similar contexts") == f"{n['consistent']:,}"
    )


def test_a_link_restores_the_lab(open_app, tiny_run: RunFactory) -> None:
    first, second = tiny_run("first"), tiny_run("second", seed=1)
    app = open_app("threshold_lab", first, second, run="second")
    app.slider(key="widget window").set_value(2).run()
    app.select_slider(key="widget gamma").set_value(0.75).run()
    app.slider(key="widget eta").set_value(0.1).run()
    app.number_input(key="widget top_k").set_value(7).run()
    app.selectbox(key="widget score").set_value("rock_score").run()
    app.selectbox(key="widget rollout").set_value(2).run()
    link = dict(app.query_params)
    assert link["run"] == "second" and link["rollout"] == "2"
    assert RockRule.from_short(link["rule"]) == RockRule(
        window=2, gamma=0.75, eta=0.1, top_k=7, score="rock_score"
    )
    again = open_app("threshold_lab", first, second, **link)
    assert dict(again.query_params) == link
    assert (
        again.slider(key="widget window").value == 2
        and again.number_input(key="widget top_k").value == 7
    )
    assert [m.value for m in again.metric] == [m.value for m in app.metric]


def test_a_rule_from_the_lab_holds_on_the_table_too(open_app, tiny_run: RunFactory) -> None:
    app = open_app("threshold_lab", tiny_run(), rule=LENIENT)
    app.number_input(key="widget top_k").set_value(3).run()
    app.switch_page("views/rock_tokens/page.py").run()
    assert metric(app, "Rock Tokens K") == "3"


def test_undo_takes_back_one_change_after_the_other(open_app, tiny_run: RunFactory) -> None:
    app = open_app("threshold_lab", tiny_run())
    undo = lambda: next(b for b in app.button if b.label == "Undo")  # noqa: E731
    assert undo().disabled
    app.slider(key="widget window").set_value(2).run()
    app.slider(key="widget eta").set_value(0.2).run()
    undo().click().run()
    assert RockRule.from_short(app.query_params["rule"]) == RockRule(window=2)
    undo().click().run()
    assert "rule" not in app.query_params and undo().disabled


def test_a_change_is_told_against_the_setting_before(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    app = open_app("threshold_lab", run)
    before = high(app, "Occurrences")
    assert sent(app)["before"] is None
    app.slider(key="widget tau_quantile").set_value(0.8).run()
    assert high(app, "Occurrences", "before") == before < high(app, "Occurrences")


@pytest.mark.parametrize("apart", ["off", "on"])
def test_what_a_moved_handle_shows_is_what_the_library_answers_there(apart: str, open_app) -> None:
    run = sample_runs() / "habit"
    rule = "default;tau_post=0.3;tau_pre=0.5" if apart == "on" else "default"
    app = open_app("threshold_lab", run, rule=rule)
    asked = Examined(Run.open(run), RockRule.from_short(rule))
    assert asked.table is not None
    tau = dict(zip(("tau_pre", "tau_post"), asked.tau, strict=True))
    numbers = sent(app)
    moved = [course["moved"] for course in numbers["courses"]]
    assert moved == ([["tau_pre"], ["tau_post"]] if apart == "on" else [["tau_pre", "tau_post"]])
    for course in numbers["courses"]:
        for at, *told in zip(course["at"], *course["numbers"], strict=True):
            there: dict[str, float] = tau | dict.fromkeys(course["moved"], at)
            assert told == shown(asked.table.read(there["tau_pre"], there["tau_post"]))
    assert numbers["now"] == shown(asked.table.read(*asked.tau))


def shown(reading: Reading) -> list[float | None]:
    """As a sentence would give them: two digits of the share of tokens, one of the others."""
    shares = [
        None if share is None else float(f"{100 * share:.{digits}f}")
        for share, digits in zip(reading[2:], (2, 1, 1), strict=True)
    ]
    return [reading.occurrences, reading.types, *shares]


def test_thresholds_in_nats_start_where_the_quantile_stood(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    app = open_app("threshold_lab", run)
    app.segmented_control(key="widget tau mode").set_value("nats").run()
    rule = RockRule.from_short(app.query_params["rule"])
    found = search.detect(Run.open(run))
    assert (rule.tau_pre, rule.tau_post) == (found.rule.tau_pre, found.rule.tau_post)
    app.segmented_control(key="widget tau mode").set_value("quantile").run()
    assert "rule" not in app.query_params


@pytest.mark.usefixtures("may_act")
def test_a_saved_rule_is_a_file_for_the_command_line_and_comes_back_as_a_preset(
    open_app, tiny_run: RunFactory
) -> None:
    run = tiny_run()
    app = open_app("threshold_lab", run, rule="default;window=2")
    app.session_state["save rule"] = True  # opens what is drawn only when it is open
    app.run()
    app.text_input(key="save name").set_value("my rule").run()
    next(b for b in app.button if b.label == "Save the rule").click().run()
    assert RockRule.from_json(Path("rules/my rule.json").read_text()) == RockRule(
        name="my rule", window=2
    )
    app = open_app("threshold_lab", run)
    app.pills(key="widget preset").set_value("my rule").run()
    assert app.slider(key="widget window").value == 2


@pytest.mark.usefixtures("may_act")
@pytest.mark.parametrize("name", ["../up", "", "/x", "paper", "a/b", ".hidden"])
def test_a_name_that_is_no_file_of_its_own_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(data.rocks.BadRule):
        data.rocks.save_rule(RockRule(), name)
    assert list(tmp_path.rglob("*.json")) == []


def rewrite(file: Path, **columns: object) -> None:
    table = pq.read_table(file)
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pa.array(values, table.schema.field(name).type))
    pq.write_table(table, file)


def with_nan(run: Path) -> None:
    file = run / "probe" / "final" / "step=000020.parquet"
    kl = pq.read_table(file)["kl"].to_numpy().copy()
    kl[3] = np.nan
    rewrite(file, kl=kl)


def with_negative_kl(run: Path) -> None:
    file = run / "probe" / "final" / "step=000000.parquet"
    rewrite(file, kl=pq.read_table(file)["kl"].to_numpy() - 1)


def one_checkpoint(run: Path) -> None:
    for table in ("tokens", "types", "rollouts", "probe/first", "probe/final"):
        for file in sorted((run / table).glob("step=*.parquet"))[1:]:
            file.unlink()


def without_an_id(run: Path) -> None:
    pq.write_table(pq.read_table(run / "vocab.parquet").slice(0, 30), run / "vocab.parquet")


BAD = {
    "NaN": (with_nan, "default", "no numbers"),
    "negative kl": (with_negative_kl, "default", "below -0.0001 nats"),
    "one checkpoint": (one_checkpoint, "default", "one checkpoint only, step 0"),
    "a vocabulary that lacks ids": (without_an_id, "default", "vocab.parquet lacks"),
    "a rule out of range": (lambda run: None, "default;gamma=7", "gamma = 7"),
    "a rule that is none": (lambda run: None, "<script>;x", "No preset '<script>'"),
    "a step that is not there": (lambda run: None, "default;post_step=7", "post_step = 7"),
    "no such probe set": (
        lambda run: __import__("shutil").rmtree(run / "probe"),
        "default;mode=paired",
        "no probe texts",
    ),
}


@pytest.mark.parametrize("page", ["rock_tokens", "threshold_lab"])
@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_told_in_words_and_other_pages_keep_working(
    what: str, page: str, open_app, tiny_run: RunFactory
) -> None:
    spoil, rule, says = BAD[what]
    run = tiny_run("bad")
    spoil(run)
    app = open_app(page, run, rule=rule)
    assert not app.exception and says in words(app)
    if what != "a vocabulary that lacks ids":
        app.switch_page("views/overview/page.py").run()
        assert not app.exception and "cannot be read" not in words(app)


@pytest.mark.parametrize("page", ["rock_tokens", "threshold_lab"])
@pytest.mark.parametrize("mode", ["bounds", "matched"])
def test_texts_that_differ_are_labelled_and_nothing_is_pretended(
    page: str, mode: str, open_app, tiny_run: RunFactory
) -> None:
    app = open_app(page, tiny_run(), rule=f"default;mode={mode}")
    assert not app.exception
    assert (
        f"{mode}: 4 fresh rollouts" in "\n".join([words(app), *(str(i.value) for i in app.info)])
        or page == "threshold_lab"
    )
    assert any("texts before and after training differ" in str(i.value) for i in app.info)
    if mode == "bounds":
        assert any("do not change this set" in str(i.value) for i in app.info)
        app = open_app(page, tiny_run(), rule="default;mode=bounds;top_k=3")
        assert "unknown" in [m.value for m in app.metric]


def test_search_and_facets_narrow_the_table(open_app, tiny_run: RunFactory) -> None:
    app = open_app("rock_tokens", tiny_run(), find="boxed")
    assert app.dataframe[0].value.token.tolist() == ["\\boxed"]
    app = open_app("rock_tokens", tiny_run(), category="digit")
    assert set(app.dataframe[0].value.category) == {"digit"}
    app = open_app("rock_tokens", tiny_run(), find="no such token")
    assert not app.exception and "0 of " in words(app)


def test_the_table_is_sorted_by_a_column_that_is_seen_and_marked() -> None:
    table = data.rocks.table(data.runs.key(str(sample_runs() / "habit")), RockRule())
    for sort in data.rocks.SORTS:
        rows = data.rocks.Pick(sort=sort).rows(table)
        assert sorted(rows.token_id) == sorted(table.token_id)
        known = rows[sort].dropna().tolist()
        folded = [v.casefold() if isinstance(v, str) else v for v in known]
        assert folded == sorted(folded, reverse=sort not in data.rocks.ASCENDING), sort
        unknown = rows[sort].isna().tolist()
        assert unknown == sorted(unknown), "what is unknown comes last"
        by = columns.SORTED.get(sort, sort)
        assert by in columns.order(sort)[:4]
        assert columns.config("kl", sort)[by]["label"][-1] in "▲▼"


def test_a_fresh_browser_shows_the_same_order(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    app = open_app("rock_tokens", run)
    app.selectbox(key="widget sorted").set_value("frequency").run()
    again = open_app("rock_tokens", run, **dict(app.query_params))
    order = again.dataframe[0].value
    assert order.token_id.tolist() == app.dataframe[0].value.token_id.tolist()
    assert order.frequency.is_monotonic_decreasing and not order["rank"].is_monotonic_increasing


def test_the_page_says_how_the_types_are_ranked(open_app) -> None:
    app = open_app("rock_tokens", sample_runs() / "habit")
    assert "Rank: by R_ctx" in words(app).replace("\\", "")
    app = open_app("rock_tokens", sample_runs() / "habit", rule='default;score="mean_kl"')
    assert "Rank: by mean loss" in words(app).replace("\\", "")


@pytest.mark.parametrize("figure", FIGURES)
def test_each_figure_can_be_had_by_a_link(figure: str, open_app) -> None:
    app = open_app("rock_tokens", sample_runs() / "habit", figure=figure)
    assert not app.exception and len(app.get("plotly_chart")) == 1


def test_names_beside_points_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    points = [(float(a), float(b)) for a, b in 10 ** rng.uniform(0, 2, (60, 2))]
    names = ["token"] * 57 + ["a", "long name", ""]
    found = labels.places(points, names, points)
    boxes = [
        (x, y, len(name), place)
        for (x, y), (name, place) in zip(points, found, strict=True)
        if name
    ]
    assert 5 < len(boxes) < 60, "some have no room"
    middles = []
    for x, y, n, place in boxes:
        right, above = labels._PLACES[place]
        half = n * labels._LETTER / 2
        lows = [min(p[axis] for p in points) for axis in (0, 1)]
        highs = [max(p[axis] for p in points) for axis in (0, 1)]
        at = [
            size * np.log10(v / low) / np.log10(high / low)
            for v, low, high, size in zip(
                (x, y), lows, highs, (labels.WIDTH, labels.HEIGHT), strict=True
            )
        ]
        middles.append((at[0] + right * (half + 8), at[1] + above * 15.5, half))
    for i, (a, b, half) in enumerate(middles):
        for c, d, other in middles[:i]:
            assert abs(a - c) >= half + other - 1e-6 or abs(b - d) >= 14 - 1e-6


def test_every_member_of_the_set_has_its_name_in_the_figure() -> None:
    key = data.runs.key(str(sample_runs() / "habit"))
    table = data.rocks.table(key, RockRule())
    figure = charts.funnel(table, [], data.rocks.frequency_band(table), "habit", "kl")
    named = next(trace for trace in figure.data if trace.name == "Rock Tokens: 7")
    assert list(named.text) == table.shown[table.in_set].tolist()


def test_examples_show_a_type_in_context_and_how_it_was_judged(tiny_run: RunFactory) -> None:
    key = data.runs.key(str(tiny_run()))
    rule = RockRule.from_short(LENIENT)
    found = data.rocks.found(key, rule)
    token = found.report.ids[0]
    rows = data.token.contexts(key, rule, token)
    kept = int(found.report.tokens.set_index("token_id").consistent[token])
    assert (rows.verdict == "recurring, in the set").sum() == kept > 0
    trace = Run.open(key.path).trace(20, int(rows.rollout[0]), "final")
    assert trace.token_id[rows.position[0]] == token and trace.kl[
        rows.position[0]
    ] == pytest.approx(rows.after[0])


def test_hostile_token_text_reaches_no_markup(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    for page in ("rock_tokens", "threshold_lab"):
        app = open_app(page, run)
        assert not any("<" in str(e.value) for e in (*app.markdown, *app.caption, *app.info))
    table = data.rocks.table(data.runs.key(str(run)), RockRule())
    figure = (
        charts.funnel(table, [], data.rocks.frequency_band(table), "tiny", "kl").to_json() or ""
    )
    assert any(text in table.token.tolist() for text in HOSTILE)
    assert "<script" not in figure and "<img" not in figure and "<style" not in figure


def test_the_preview_marks_what_the_detection_kept(tiny_run: RunFactory) -> None:
    key, rule = data.runs.key(str(tiny_run())), RockRule.from_short(LENIENT)
    rollout = data.rocks.rollouts(key, rule)[0]
    text = data.rocks.preview(key, rule, rollout, 0)
    counts = data.rocks.found(key, rule).report.rollouts.set_index("rollout_id")
    assert sum(m == 3 for m in text["marks"]) == counts.occurrence[rollout]
    json.dumps(text["marks"])


def test_a_rule_marks_only_the_very_texts_that_it_judged(open_app, tiny_run: RunFactory) -> None:
    """Matched fresh texts: rollout 0 of another step is another text."""
    run = tiny_run()
    key, text = data.runs.key(str(run)), f'{LENIENT};mode="matched";min_rollouts=0;min_support=0'
    rule, log = RockRule.from_short(text), Run.open(run)
    assert data.rocks.found(key, rule).material.source == "fresh"
    for step, why in ((20, ""), (0, "The rule judges the texts of step 20: this is another one.")):
        ids = log.trace(step, 0).token_id.to_numpy()
        found = data.rocks.verdict(key, rule, "fresh", 0, ids)
        assert found.why == why and bool(found.marks) == (not why)
        assert data.rocks.verdict(key, rule, "fresh", 99, ids).marks == b""
        assert not open_app("trace", run, source="fresh", step=str(step), rule=text).exception


@pytest.mark.parametrize("mode", ["bounds", "matched"])
def test_what_is_not_known_of_an_occurrence_is_not_denied(mode: str, tiny_run: RunFactory) -> None:
    key, rule = data.runs.key(str(tiny_run())), RockRule(mode=mode, top_k=3)
    token = int(data.rocks.found(key, rule).report.tokens.token_id[0])
    rows = data.token.contexts(key, rule, token)
    assert len(rows) and "before" not in rows
    assert (set(rows.verdict) == {"unknown"}) == (mode == "bounds")
