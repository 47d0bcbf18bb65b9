"""The page Knockout, and what other pages say of a token that was knocked out: the numbers of the
library, a state that travels in the link, plain words for what is missing.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HOSTILE, WORDS
from pages import RunFactory, words
from sent import content, head
from small_screens import write_screen
from streamlit.testing.v1 import AppTest

from app import charts as app_charts
from app import data
from app.components import colours
from app.views.knockout import charts
from app.views.knockout import words as sentences
from rockcore.analysis import knockouts
from rockcore.analysis.knockouts import NEUTRAL, PILLAR, STUMBLING, UNDECIDED, VERDICTS
from rockcore.log.screens import Screen
from rockcore.spelling import visible

ID = {word: i for i, word in enumerate(WORDS)}
SO, LET, BOX, EQUALS = ID["So"], ID[" Let"], ID["\\boxed"], ID[" ="]
EFFECTS = {SO: -0.4, LET: 0.35, BOX: -0.5, EQUALS: 0.0} | {ID[w]: 0.0 for w in HOSTILE}
WINDOW = {SO: (SO, ID[" the"], ID["**"])}
LENIENT = "lenient;even_share=0;gamma=0.125;min_jaccard=0;tau_quantile=0.5"  # finds some here


@pytest.fixture(scope="module")
def screened(tiny_run: RunFactory) -> Path:
    """A run with a whole screen; no test changes it."""
    run = tiny_run("screened")
    write_screen(run, EFFECTS, WINDOW, {ID["\n"]: 0.0}, problems=150)
    return run


def found(run: Path) -> knockouts.Knockouts:
    return knockouts.examine(Screen.open(run))


def metric(app: AppTest, label: str) -> str:
    return next(str(m.value) for m in app.metric if m.label == label)


def said(app: AppTest) -> str:
    notes = [str(e.value) for kind in ("info", "warning", "code") for e in getattr(app, kind)]
    return "\n".join([words(app), *notes]).replace("\\", "")


def spec(app: AppTest, chart: int) -> dict[str, Any]:
    return json.loads(app.get("plotly_chart")[chart].proto.spec)


# What is shown is what the library says.


def test_the_page_shows_the_verdicts_and_numbers_of_the_library(open_app, screened: Path) -> None:
    app, screen = open_app("knockout", screened), found(screened)
    assert not app.exception and len(app.get("plotly_chart")) == 1
    tokens = screen.by_token[screen.by_token.kind == "token"]
    counts = [metric(app, about.heading) for about in sentences.VERDICTS.values()]
    assert counts == [f"{(tokens.verdict == v).sum()} of {len(tokens)}" for v in VERDICTS]
    assert {PILLAR, STUMBLING, UNDECIDED} <= set(screen.candidates.verdict)
    table = app.dataframe[0].value
    for column in ("delta", "low", "high", "sham_delta"):
        assert np.allclose(table[column], 100 * screen.candidates[column], equal_nan=True)
    assert table.verdict.tolist() == screen.candidates.verdict.tolist()
    shown = said(app)
    corrected = open_app("knockout", screened, knockout_figure="corrected")
    known = open_app("knockout", screened, knockout_figure="known")
    assert len(known.get("plotly_chart")) == 3 and not corrected.get("plotly_chart")
    assert "150 held-out problems × 4 rollouts at temperature 1, seed 0" in shown
    assert "Neutral needs equivalence" in shown and "Undecided is not neutral" in shown
    assert "7 Pillars, 193 neutral, 0 stumbling" in shown
    shown, signs = said(corrected), screen.signs
    assert screen.power.sentence(0.01) in shown
    assert f"centred: each Δ against its own sham: {signs.centred.negative} worse" in shown
    assert f"in the paper: {signs.naive.negative} worse" in shown
    census = corrected.dataframe[0].value
    for verdict, row in zip(VERDICTS, census.to_dict("records"), strict=False):
        assert list(row.values())[1:] == screen.census[verdict].tolist()
    assert list(census)[1:] == ["as the paper", "raw p", "BH", "max-T"]
    told = known.dataframe[0].value
    assert len(told) == 9 and told.bound.notna().all()


def test_ids_that_the_answer_needs_are_marked_and_told_from_findings(
    open_app, screened: Path
) -> None:
    app = open_app("knockout", screened, candidate=f"token-{BOX}")
    shown = said(app)
    assert "With 1 of these 2 Pillars the answer itself is written" in shown
    assert "this says nothing of the reasoning" in shown
    names = [trace.get("name") for trace in spec(app, 0)["data"]]
    assert "needed by the answer itself: 1" in names
    without = open_app("knockout", screened, needed="out")
    assert BOX not in [int(k.split("-")[1]) for k in keys(without)]
    assert not any("needed by" in str(t.get("name")) for t in spec(without, 0)["data"])


def keys(app: AppTest) -> list[str]:
    """The candidates that are drawn."""
    return [
        point[0]
        for trace in spec(app, 0)["data"]
        for point in trace.get("customdata", [])
        if trace.get("error_x")
    ]


def test_the_chart_draws_every_candidate_by_delta_with_its_bands(open_app, screened: Path) -> None:
    app, screen = open_app("knockout", screened), found(screened)
    rows = screen.candidates
    assert sorted(keys(app)) == sorted(rows.candidate)
    placebo = screen.placebo
    assert placebo is not None
    drawn = {str(t.get("name")).split(":")[0]: t for t in spec(app, 0)["data"]}
    assert drawn["±ε = 1 point"]["x"][:2] == [-1.0, 1.0]
    assert drawn["placebo"]["x"][:2] == [100 * placebo.low, 100 * placebo.high]
    for verdict, group in rows.groupby("verdict"):
        trace = drawn[str(verdict)]
        assert np.allclose(trace["x"], 100 * group.delta)
        assert np.allclose(np.add(trace["x"], trace["error_x"]["array"]), 100 * group.high)
        assert np.allclose(np.subtract(trace["x"], trace["error_x"]["arrayminus"]), 100 * group.low)
        assert list(trace["y"]) == group.index.tolist()


def test_every_verdict_has_a_colour_and_a_shape_of_its_own_that_shows_on_both_pages() -> None:
    assert set(charts.LOOKS) == set(VERDICTS) == {PILLAR, NEUTRAL, STUMBLING, UNDECIDED}
    assert set(sentences.VERDICTS) == set(VERDICTS)
    for i in range(2):
        assert len({look[i] for look in charts.LOOKS.values()}) == len(VERDICTS)
    for colour, _ in charts.LOOKS.values():
        for page in colours.PAGE:
            bright, dark = sorted(
                (colours.luminance(colour), colours.luminance(page)), reverse=True
            )
            # WCAG 2.2, 1.4.11: a graphic is told from what is beside it at 3 to 1; ours are between
            # a light and a dark page, and carry a shape
            assert (bright + 0.05) / (dark + 0.05) > 2.5


def test_the_kinds_can_be_told_apart_and_filtered(open_app, screened: Path) -> None:
    app = open_app("knockout", screened, kind="window")
    assert keys(app) == [f"window-{SO}"] and "W(So), 3 ids" in said(app)
    link = open_app("knockout", screened, kind="token,random").query_params
    assert link["kind"] == "token,random"
    app = open_app("knockout", screened, kind="steered")
    assert "the link asks for steered" in said(app) and len(keys(app)) == len(EFFECTS) + 2


def test_predictors_are_chosen_and_each_says_r_its_interval_and_its_bound(
    open_app, screened: Path
) -> None:
    picked = "pre_kl,teacher_entropy"
    app = open_app("knockout", screened, knockout_figure="known", predictors=picked)
    rows = found(screened).correlations.set_index("predictor")
    titles = [spec(app, i)["layout"]["title"] for i in (0, 1)]
    assert len(app.get("plotly_chart")) == 2
    for title, name in zip(titles, ("pre_kl", "teacher_entropy"), strict=True):
        row = rows.loc[name]
        about = title["subtitle"]["text"]
        assert f"r = {row.r:+.2f} ({row.low:+.2f} to {row.high:+.2f})" in about
        assert f"|r| ≤ {row.bound:.2f} for noise" in about
    assert app.query_params["predictors"] == "pre_kl,teacher_entropy"


# A candidate is opened.


def test_a_candidate_opens_its_rollouts_side_by_side(open_app, screened: Path) -> None:
    app = open_app("knockout", screened, candidate=f"token-{SO}")
    screen = found(screened)
    row = screen.pairs(f"token-{SO}").iloc[0]
    shown = said(app)
    instead = visible(WORDS[row.knockout_ids[row.branch]])
    assert f"The texts part at position {row.branch}" in shown
    assert f"written instead: {instead}" in shown
    assert f"A, with the token: {len(row.baseline_ids)} tokens" in json.dumps(panes(app))
    top = screen.replacements(f"token-{SO}").iloc[0]
    assert f"instead: {visible(top.token)} {top.share:.0%}" in shown
    assert row.baseline_correct != row.knockout_correct  # those whose grade changed come first
    sent = [part.proto.bytes for part in app.get("bidi_component") if part.proto.bytes]
    texts = [content(data) for data in sent if head(data)["part"] == "text"]
    assert [t["length"] for t in texts] == [len(row.baseline_ids), len(row.knockout_ids)]
    view = next(part for part in panes(app) if part.get("part") == "view")
    assert len(view["palette"]) == len(view["verdict"]["names"]) == len(colours.ROLES)
    assert view["palette"][-1] is None


def panes(app: AppTest) -> list[dict[str, Any]]:
    sent = [part.proto.json for part in app.get("bidi_component")]
    return [json.loads(text) for text in sent if text]


def test_a_link_restores_candidate_and_rollout(open_app, screened: Path) -> None:
    app = open_app("knockout", screened)
    app.selectbox(key="widget candidate").set_value(f"token-{LET}").run()
    app.selectbox(key="widget knockout_text").set_value(3).run()
    link = dict(app.query_params)
    again = open_app("knockout", screened, **link)
    assert dict(again.query_params) == link and words(again) == words(app)
    assert again.selectbox(key="widget candidate").value == f"token-{LET}"


def test_a_candidate_that_is_not_there_is_explained(open_app, screened: Path) -> None:
    app = open_app("knockout", screened, candidate="token-999")
    assert not app.exception and "the link asks for token-999, which is not here" in said(app)


@pytest.mark.parametrize("token", HOSTILE)
def test_hostile_tokens_are_shown_as_they_are(token: str, open_app, screened: Path) -> None:
    app = open_app("knockout", screened, candidate=f"token-{ID[token]}")
    assert not app.exception
    assert f"{visible(token)}: undecided. Δ" in words(app)
    drawn = app.get("plotly_chart")[0].proto.spec
    assert "<script" not in drawn and "<img" not in drawn and "<style" not in drawn


# What is missing is told.


def test_a_run_without_a_screen_says_how_to_make_one_and_what_stands_in_the_way(
    open_app, tiny_run: RunFactory
) -> None:
    run = tiny_run("bare")
    app = open_app("knockout", run)
    assert not app.exception and "bare has no checkpoints" in said(app)
    app = open_app("knockout", with_checkpoint(run))
    assert f"rockcore knockout {run}" in said(app) and "cannot be screened" not in said(app)


def with_checkpoint(run: Path) -> Path:
    """The run, as if it had kept its student and its settings."""
    (run / "checkpoints" / "step=000020").mkdir(parents=True)
    (run / "checkpoints" / "step=000020" / "config.json").write_text("{}")
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(meta | {"config": {"scenario": "habit"}}))
    return run


def test_an_unfinished_screen_shows_what_is_there_and_goes_on(
    open_app, tiny_run: RunFactory
) -> None:
    run = tiny_run("part")
    write_screen(run, EFFECTS, finished=0)
    app = open_app("knockout", run)
    assert not app.exception and f"0 of {len(EFFECTS)} candidates" in said(app)
    assert f"rockcore knockout {run}" in said(app) and not app.get("plotly_chart")
    write_screen(run, EFFECTS, finished=3)
    app = open_app("knockout", run)
    assert f"not finished: 3 of {len(EFFECTS)} candidates" in said(app) and len(keys(app)) == 3
    write_screen(run, EFFECTS)
    app = open_app("knockout", run)
    assert "not finished" not in said(app) and len(keys(app)) == len(EFFECTS)


def test_a_screen_without_a_candidate_says_how_to_go_on(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run("empty")
    write_screen(run, {})
    app = open_app("knockout", run)
    assert not app.exception and "0 of 0 candidates" in said(app)
    assert f"rockcore knockout {run}" in said(app)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


DAMAGES = {
    "a cut plan": lambda folder: cut(folder / "screen.json"),
    "no plan at all": lambda folder: (folder / "screen.json").write_text("[1, 2]"),
    "another version": lambda folder: (folder / "screen.json").write_text(
        (folder / "screen.json").read_text().replace('"schema_version": 1', '"schema_version": 9')
    ),
    "a cut baseline": lambda folder: cut(folder / "baseline.parquet"),
    "a cut outcome": lambda folder: cut(folder / "outcomes" / f"token-{SO}.parquet"),
    "no baseline": lambda folder: (folder / "baseline.parquet").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_screen_is_explained_and_takes_no_other_page_down(
    damage: str, open_app, tiny_run: RunFactory
) -> None:
    run = tiny_run("hurt")
    DAMAGES[damage](write_screen(run, EFFECTS).folder)
    app = open_app("knockout", run)
    assert not app.exception and "This screen cannot be shown" in words(app)
    why = app.main.text[-1].value
    assert why.count(".") >= 3 and str(run) in why
    for page in ("trace", "rock_tokens", "threshold_lab", "overview"):
        app = open_app(page, run, rule=LENIENT)
        assert not app.exception and "This part of the run cannot be read" not in words(app)
    assert "cannot be" in said(app) or page == "overview"


# Other pages.


def test_the_table_of_rocks_has_a_column_and_a_filter_of_verdicts(open_app, screened: Path) -> None:
    app = open_app("rock_tokens", screened, rule=LENIENT)
    table, rows = app.dataframe[0].value, found(screened).by_token.set_index("token_id")
    told = dict(zip(table.token_id, table.knockout_told, strict=True))
    assert set(rows.decided_by) == {"token", "window"}
    for token, row in rows.iterrows():
        by = " by its window:" if row.decided_by == "window" else ""
        verdict = f"{data.knockouts.SHORT[row.verdict]}{by}"
        assert told[token].startswith(f"{verdict} Δ {100 * row.delta:+.1f}".replace("-", "−"))
    assert {told[i] for i in set(told) - set(rows.index)} == {"not measured"}
    app = open_app("rock_tokens", screened, rule=LENIENT, knockout="Pillar,stumbling")
    assert set(app.dataframe[0].value.token_id) == {SO, BOX, LET}


def test_the_card_of_a_token_says_what_was_measured(
    open_app, screened: Path, tiny_run: RunFactory
) -> None:
    views = [p for p in panes(open_app("trace", screened, rule=LENIENT)) if p.get("part") == "view"]
    told = views[-1]["knockouts"]
    row = found(screened).by_token.set_index("token_id").loc[LET]
    assert told["of"][str(LET)].startswith(f"stumbling Δ {100 * row.delta:+.1f}")
    assert told["of"][str(BOX)].endswith("needed by the answer")
    assert "screened has no checkpoints" in told["others"]
    bare = with_checkpoint(tiny_run("bare"))
    view = next(p for p in panes(open_app("trace", bare)) if p.get("part") == "view")
    others = f"not measured (rockcore knockout {bare} --candidates {{id}} measures it)"
    assert view["knockouts"] == {"of": {}, "others": others, "later": False}


def test_the_lab_counts_the_pillars_at_risk_as_the_rule_moves(
    open_app, tiny_run: RunFactory
) -> None:
    """Of a set whose first two types are Pillars both are at risk; left out of it, none is."""
    run = with_checkpoint(tiny_run("risky"))
    bare = open_app("threshold_lab", run, rule=LENIENT)
    assert "Pillars at risk: not measured (rockcore knockout " in said(bare)
    ids = data.rocks.found(data.runs.key(str(run)), data.rocks.rule(LENIENT)).report.ids
    first, second, *others = ids
    effects = {first: -0.5, second: -0.5} | dict.fromkeys(others[1:], 0.0)
    write_screen(run, effects, problems=150)
    pillars = set(found(run).by_token.query("verdict == 'Strong Pillar'").token_id)
    assert pillars == {first, second}
    app = open_app("threshold_lab", run, rule=LENIENT)
    names = "  ".join(visible(WORDS[i]) for i in (first, second))
    assert f"2 of 2 known Pillars are in the set: {names}." in said(app)
    assert f"Knocked out: {len(effects)} of its {len(ids)} types." in said(app)
    assert f"The others: rockcore knockout {run} --candidates {others[0]}" in said(app)
    app = open_app("threshold_lab", run, rule=f"{LENIENT};excluded_types=[{first},{second}]")
    assert "0 of 2 known Pillars are in the set." in said(app)


def test_a_screen_of_an_earlier_student_says_so_wherever_its_verdicts_stand(
    open_app, tiny_run: RunFactory
) -> None:
    run = tiny_run("longer", steps=(0, 10, 20, 30))
    write_screen(run, EFFECTS)
    for page in ("knockout", "rock_tokens", "threshold_lab"):
        app = open_app(page, run, rule=LENIENT)
        assert "trained on: this screen is of its student after step 20" in said(app), page
    views = [p for p in panes(open_app("trace", run, rule=LENIENT)) if p.get("part") == "view"]
    assert views[-1]["knockouts"]["of"][str(LET)].endswith("· the student after step 20")


def test_a_cell_without_a_number_is_a_dash(open_app, screened: Path) -> None:
    app = open_app("knockout", screened)
    assert app.dataframe[0].value.sham_delta.isna().any()
    known = open_app("knockout", screened, knockout_figure="known")
    assert app.dataframe[0].proto.placeholder == known.dataframe[0].proto.placeholder == "–"


def test_a_quotation_mark_is_shown_as_one_in_charts() -> None:
    """Plotly reads &lt;, &gt; and &amp;, and leaves &quot; as it is."""
    assert app_charts.label('<a href="x">\'&') == '&lt;a href="x"&gt;\'&amp;'


@pytest.mark.parametrize("seed", range(3))
def test_a_screen_of_two_problems_and_one_rare_token_speaks_plainly(
    seed: int, open_app, tiny_run: RunFactory
) -> None:
    """Too little to tell anything: no page says nan or None, and none fails."""
    run = tiny_run("small")
    write_screen(run, {ID[HOSTILE[-1]]: 0.0}, problems=2, length=4, seed=seed)
    for figure in ("each", "known", "corrected"):
        app = open_app("knockout", run, knockout_figure=figure)
        assert not app.exception and metric(app, "Undecided") == "1 of 1"
        assert not re.search(r"\b(nan|None|inf)\b", said(app))
        drawn = " ".join(str(c.proto.spec) for c in app.get("plotly_chart"))
        assert not re.search(r"\b(nan|None|inf)\b", drawn)
