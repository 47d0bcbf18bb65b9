"""The Gradients page: its numbers are those of the log, a clicked type is explained, a run without
gradients says how to log them.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import conftest
import numpy as np
import playwright.sync_api as playwright
import pyarrow.parquet as pq
import pytest
from chrome import Tab, charts_of
from gradient_rows import geometry
from pages import RunFactory, words

from app import data
from app.views.gradients import words as sentences
from rockcore.analysis import groups
from rockcore.analysis.correlations import Correlation
from rockcore.config import SessionConfig
from rockcore.log import Run
from rockcore.schema import Texts
from rockcore.spelling import percent
from rockcore.training.session import train

RULE = "lenient;min_jaccard=0"  # in so few texts no set is stable
FIGURES = ("takers", "types", "unequal", "points", "ends", "left_out", "checks")


@pytest.fixture(scope="session")
def trained(served: Path) -> Path:
    """A real run of a few steps, with exact gradients of some positions."""
    out = served / "trained"
    sizes = {
        "steps": 4,
        "rollouts": 8,
        "probe_every": 2,
        "probes": 4,
        "final_probes": 32,
        "held_out": 0,
    }
    train(SessionConfig(out=out, gradients="full", exact_positions=24, threads=1, **sizes))
    return out


def key(path: Path) -> data.runs.RunKey:
    return data.runs.key(str(path))


def test_the_page_renders_with_every_part(open_app, trained: Path) -> None:
    shown, drawn = {}, 0
    for name in FIGURES:
        app = open_app("gradients", trained, rule=RULE, gradient_figure=name)
        assert not app.exception
        shown[name] = words(app)
        charts = len(app.get("plotly_chart"))
        assert charts <= 2, "what is drawn at once is what a page takes its time for"
        drawn += charts + ("No corrected cosine can be told" in shown[name])
    assert drawn == charts_of("gradients")
    assert "One type" in shown["types"] and "One type" in shown["ends"]
    assert "What if these tokens were not trained?" in shown["left_out"]
    checked = shown["checks"]
    assert "against the gradient in all parameters: correlation" in checked
    assert "24 positions" in checked
    assert "The paper (arXiv 2605.09253) finds" in shown["points"]


def test_what_a_figure_shows_is_not_worked_out_for_another(
    open_app, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("stacked", "inequality", "compared_groups", "change", "given_up", "adam"):
        monkeypatch.setattr(data.gradients, name, lambda *_, name=name: asked.append(name))
    open_app("gradients", trained, rule=RULE, gradient_figure="points")
    assert asked == ["compared_groups"]


@pytest.mark.parametrize("by", data.gradients.BY)
@pytest.mark.parametrize("source", list(Texts))
def test_shares_are_those_of_the_log_and_sum_to_one(by: str, source: Texts, trained: Path) -> None:
    run, rule = key(trained), data.rocks.rule(RULE)
    frame, labels = data.gradients.stacked(run, source, "grad_norm", by, rule)
    for name in ("tokens_share", "kl_share", "gradient_share"):
        np.testing.assert_allclose(frame.groupby("step")[name].sum(), 1.0)
    assert set(labels) == set(frame.label)
    step = data.gradients.norm_steps(run, source, "grad_norm")[-1]
    logged = pq.read_table(trained / source.table / f"step={step:06d}.parquet")[
        "grad_norm"
    ].to_numpy()
    assert np.isclose(frame[frame.step == step].gradient.sum(), logged.sum(dtype=float), rtol=1e-5)


def test_the_set_of_the_rule_is_named_with_its_shares(open_app, trained: Path) -> None:
    run, rule = key(trained), data.rocks.rule(RULE)
    ids = data.gradients.rocks_of(run, rule)
    logged = pq.read_table(trained / "probe" / "final" / "step=000004.parquet").to_pandas()
    of_rocks = logged.token_id.isin(list(ids))
    app = open_app("gradients", trained, rule=RULE, by="set", source="final")
    share = logged.grad_norm[of_rocks].sum() / logged.grad_norm.sum()
    shown = words(app)
    assert f"at step 4 the {len(ids)} types of the set are {percent(of_rocks.mean())} of" in shown
    assert f"and {percent(share)} of the gradient of the logits" in shown


def test_what_is_given_up_counts_tokens_and_measures_time(open_app, trained: Path) -> None:
    app = open_app("gradients", trained, rule=RULE, source="fresh", gradient_figure="left_out")
    metric = {m.label: m.value for m in app.metric}
    run = Run.open(trained)
    ids = data.gradients.rocks_of(key(trained), data.rocks.rule(RULE))
    tokens = np.concatenate(
        [
            pq.read_table(f)["token_id"].to_numpy()
            for f in sorted((trained / "tokens").glob("*.parquet"))
        ]
    )
    skipped = np.isin(tokens, list(ids)).mean()
    assert metric["Tokens skipped"] == percent(skipped)
    m = run.metrics().sort_values("step").iloc[1:-1]
    whole = m[["sample_s", "teacher_s", "student_s", "update_s", "log_s"]].sum(axis=1)
    assert metric["Time saved"] == (f"≤ {percent(skipped * (m.projection_s / whole).median())}")


def test_a_type_in_the_link_is_explained_in_sentences(open_app, trained: Path) -> None:
    now = data.gradients.at_step(key(trained), Texts.FINAL, "grad_norm", 4, set())
    row = now.iloc[3]
    ask = {"source": "final", "token": str(row.token_id), "gradient_figure": "types"}
    shown = words(open_app("gradients", trained, **ask))
    assert (
        f"{row.shown} is {percent(row.tokens_share)} of the tokens ({row.n} of {now.n.sum():,})"
        in shown
    )
    assert (
        "A single occurrence has a gradient of length" in shown and "Its mean KL went from" in shown
    )


def test_naive_values_are_a_switch_and_the_difference_is_told(open_app, trained: Path) -> None:
    app = open_app("gradients", trained, rule=RULE, values="naive", gradient_figure="points")
    assert "naive" in str(app.get("plotly_chart")[0].proto.spec)
    assert "long by noise alone" in words(app)


def compared(shorter: float, seed: int = 0, rocks: int = 12) -> groups.Comparison:
    """Rocks whose mean gradients are `shorter` times as long as those of rare types of high kl, and
    types without either.
    """
    rng = np.random.default_rng(seed)
    types = 60
    rollout = np.repeat(np.arange(160), types)
    token_id = np.tile(np.arange(types), 160)
    kl = np.where(token_id < 2 * rocks, 2.0, 0.1) * rng.gamma(2, 0.5, len(token_id))
    length = np.where(token_id < rocks, shorter, np.where(token_id < 2 * rocks, 1.0, 0.3))
    g = length[:, None] * np.eye(20)[token_id % 20] + rng.normal(0, 0.3, (len(token_id), 20))
    one = geometry(token_id, rollout, g, kl)
    ids = np.arange(rocks)
    return groups.compare(one, one, groups.RockChoice(ids, ids, ids))


@pytest.mark.parametrize(
    ("shorter", "verdict"),
    [
        (0.1, "they are shorter here too"),
        (8.0, "they are longer here"),
        (1.0, "whether they are shorter here cannot be told"),
    ],
)
def test_what_the_paper_saw_is_said_to_hold_only_where_an_interval_says_so(
    shorter: float, verdict: str
) -> None:
    assert verdict in sentences.beside_the_paper(compared(shorter))


def test_where_rocks_and_rare_types_are_alike_their_naive_medians_decide_nothing() -> None:
    found = [compared(1.0, seed, rocks=4) for seed in range(8)]
    lower = [f.group("Rock Tokens").norm_naive < f.group("rare, high KL").norm_naive for f in found]
    assert any(lower)
    assert all("cannot be told" in sentences.beside_the_paper(f) for f in found)


def test_one_rock_has_no_ratio_for_the_true_reason() -> None:
    said = sentences.beside_the_paper(compared(0.1, rocks=1))
    assert "cannot be told (no interval of a ratio from fewer than two types)" in said


def test_a_second_moment_is_not_said_to_shorten_steps() -> None:
    said = sentences.adam(data.gradients.Correlation(0.6, 0.5, 0.7, 100))
    assert "m/√v" in said and "does not say how long a step is" in said
    assert "shorter steps" not in said


def row(**changes: Any) -> SimpleNamespace:
    known = {"grad_norm": 1.0, "n": 40, "folds": 16, "norm_naive": 0.5, "norm": 0.4}
    known |= {"norm_low": 0.3, "norm_high": 0.5, "norm_told": True, "norm_most": 0.5}
    known |= {"cos_balanced": 0.2, "cos_balanced_low": 0.1, "cos_balanced_high": 0.3}
    return SimpleNamespace(**known | {"cos_balanced_naive": 0.1} | changes)


UNTOLD = {"norm": 0.0, "norm_low": 0.0, "norm_high": 0.0, "norm_told": False, "norm_most": 0.09}
NO_COSINE = dict.fromkeys(("cos_balanced", "cos_balanced_low", "cos_balanced_high"), math.nan)


@pytest.mark.parametrize(
    ("changes", "says", "never"),
    [
        ({}, "0.4 (approximate 95 % interval 0.3 to 0.5)", "at most"),
        (UNTOLD | NO_COSINE, "at most 0.09", "0 to 0"),
        (UNTOLD | NO_COSINE, "Its direction cannot be told", "too few"),
        (
            {"folds": 2, "norm_low": math.nan, "norm_told": False} | NO_COSINE,
            "it stands in 2 of 16 groups of texts, which is too few",
            "at most",
        ),
        ({"norm": math.nan, "norm_told": False} | NO_COSINE, "all of them in one text", "too few"),
        (NO_COSINE, "Which way the other types pull together cannot be told", "too few"),
        (
            {"cos_balanced_low": math.nan},
            "no interval: without some of the texts its length is within its noise",
            "too few",
        ),
    ],
)
def test_what_cannot_be_told_of_a_type_has_its_bound_or_its_true_reason(
    changes: dict[str, Any], says: str, never: str
) -> None:
    said = " ".join(sentences.evidence(None, row(**changes), None))
    assert says in said and never not in said and "nan" not in said


def test_no_type_of_a_real_run_has_an_interval_of_nothing_or_a_cosine_beyond_one(
    trained: Path,
) -> None:
    run = key(trained)
    for kind in (Texts.FIRST, Texts.FINAL):
        steps = data.gradients.direction_steps(run, kind)
        change = data.gradients.change(run, kind, steps[0], steps[-1], set())
        for step in steps:
            for where in data.gradients.directions(run, kind, step, set()).itertuples():
                moved = data.gradients.row_of(change, where.token_id)
                said = " ".join(sentences.evidence(None, where, moved))
                assert " 0 to 0)" not in said and "nan" not in said
                assert math.isnan(where.cos_balanced) or abs(where.cos_balanced) <= 1


def test_the_page_says_how_long_the_mean_gradients_of_the_rocks_are_at_both_ends(
    open_app, trained: Path
) -> None:
    shown = words(open_app("gradients", trained, rule=RULE, gradient_figure="ends"))
    line = next(line for line in shown.splitlines() if line.startswith("Length of the Rock"))
    assert "at step 0, on 4 texts of the first student" in line
    assert "at step 4, on 32 texts of the final student" in line


def test_a_run_without_gradients_says_how_to_log_them_and_the_other_pages_work(
    open_app, tiny_run: RunFactory
) -> None:
    path = tiny_run("bare")
    for file in [
        *path.glob("tokens/*.parquet"),
        *path.glob("probe/*/step=*.parquet"),
        *path.glob("types/*.parquet"),
    ]:
        table = pq.read_table(file)
        pq.write_table(table.drop_columns([c for c in table.column_names if "grad" in c]), file)
    app = open_app("gradients", path)
    assert not app.exception
    assert "No gradients in this log" in words(app) and "--gradients full" in app.code[0].value
    for page in ("overview", "trace", "rock_tokens", "steps", "threshold_lab", "compare"):
        assert not open_app(page, path).exception, page


@pytest.mark.parametrize("kl", [0.0, 1e-6])
@pytest.mark.parametrize("source", list(Texts))
def test_a_student_that_is_its_own_teacher_has_no_divergence_and_the_page_says_so(
    kl: float, source: Texts, open_app, tiny_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = conftest._values
    same = ("kl", "sampled_loss", "grad_norm")
    monkeypatch.setattr(
        conftest, "_values", lambda *args: drawn(*args) | dict.fromkeys(same, kl * agreed(args[2]))
    )
    app = open_app("gradients", tiny_run(f"same {kl}"), source=source.value)
    assert not app.exception
    assert "The divergence is zero: at all 3 logged steps" in words(app)
    assert not app.get("plotly_chart")


def agreed(tokens_BT: list[np.ndarray]) -> np.ndarray:
    return np.ones(sum(map(len, tokens_BT)))


def test_a_step_without_divergence_is_drawn_beside_others_that_have_some(
    open_app, tiny_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = conftest._values

    def values(rng: np.random.Generator, step: int, tokens_BT: list[np.ndarray]) -> dict[str, Any]:
        zero = 0.0 * agreed(tokens_BT)
        same = {} if step < 20 else dict.fromkeys(("kl", "sampled_loss", "grad_norm"), zero)
        return drawn(rng, step, tokens_BT) | same

    monkeypatch.setattr(conftest, "_values", values)
    run = tiny_run("ends")
    for name in ("takers", "types", "unequal"):
        app = open_app("gradients", run, source="fresh", gradient_figure=name)
        assert not app.exception and len(app.get("plotly_chart")) == 1


def test_norms_without_directions_still_show_the_shares(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run("norms")
    assert open_app("gradients", run).get("plotly_chart")
    for name, told in (
        ("points", "No summed gradients are logged"),
        ("ends", "No summed gradients are logged"),
        ("checks", "Exact gradients were not taken"),
    ):
        assert told in words(open_app("gradients", run, gradient_figure=name))


def test_a_young_run_says_so(open_app, tiny_run: RunFactory) -> None:
    assert "No step has logged its tokens yet" in words(
        open_app("gradients", tiny_run("young", steps=(), status="running"))
    )


def test_a_clicked_type_is_explained(tab: Tab, trained: Path) -> None:
    tab.open(f"/gradients?run={trained.name}&source=final&gradient_figure=types")
    page = tab.page
    chart = page.locator(".js-plotly-plot").first
    playwright.expect(chart.locator(".scatterlayer .point").first).to_be_attached()
    tab.rest()
    before = tab.parameters["token"]  # of the largest share, and so the first
    chart.scroll_into_view_if_needed()
    box = tab.box(chart.locator(".scatterlayer .trace").first.locator(".point").last)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url(lambda url: "token=" in url and f"token={before}" not in url)
    token = int(tab.parameters["token"])
    assert token >= 0
    playwright.expect(page.get_by_text("of the gradient at step").first).to_be_visible()


def test_a_correlation_that_is_not_known_is_told_in_words() -> None:
    nan = float("nan")
    one_text = sentences.exact("grad_norm", "texts", Correlation(0.5, nan, nan, 9))
    alike = sentences.exact("grad_norm", "texts", Correlation(nan, nan, nan, 9))
    known = sentences.exact("grad_norm", "texts", Correlation(0.5, 0.1, 0.8, 9))
    assert "0.500 (no interval from a single text, 9 positions of texts)" in one_text
    assert "unknown: 9 positions" in alike and "95 % 0.100 to 0.800" in known
    assert "nan" not in one_text + alike
