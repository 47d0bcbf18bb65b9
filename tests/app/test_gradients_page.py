"""The Gradients page: its numbers are those of the log, a clicked type is explained, a run without
gradients says how to log them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import conftest
import numpy as np
import playwright.sync_api as playwright
import pyarrow.parquet as pq
import pytest
from chrome import Tab, charts_of
from pages import RunFactory, words

from app import data
from rockcore.config import SessionConfig
from rockcore.log import Run
from rockcore.schema import Texts
from rockcore.training.session import train

RULE = "lenient;min_jaccard=0"  # in so few texts no set is stable


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
    app = open_app("gradients", trained, rule=RULE)
    shown = words(app)
    assert not app.exception
    for part in (
        "Where mean gradients point",
        "One type",
        "What if these tokens were not trained?",
        "Two checks",
    ):
        assert part in shown
    assert (
        "against the gradient in all parameters: correlation" in shown and "24 positions" in shown
    )
    drawn = len(app.get("plotly_chart")) + ("No corrected cosine can be told" in shown)
    assert drawn == charts_of("gradients")
    assert "The paper (arXiv 2605.09253) finds" in shown


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
    assert f"At step 4 the {len(ids)} Rock Tokens are {of_rocks.mean():.1%} of the tokens" in words(
        app
    )
    assert f"and {share:.0%} of the gradient norm" in words(app)


def test_what_is_given_up_counts_tokens_and_measures_time(open_app, trained: Path) -> None:
    app = open_app("gradients", trained, rule=RULE, source="fresh")
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
    assert metric["Tokens skipped"] == f"{skipped:.1%}"
    m = run.metrics().sort_values("step").iloc[1:-1]
    whole = m[["sample_s", "teacher_s", "student_s", "update_s", "log_s"]].sum(axis=1)
    assert metric["Time saved"] == f"≤ {skipped * (m.projection_s / whole).median():.2%}"


def test_a_type_in_the_link_is_explained_in_sentences(open_app, trained: Path) -> None:
    now = data.gradients.at_step(key(trained), Texts.FINAL, "grad_norm", 4, set())
    row = now.iloc[3]
    shown = words(open_app("gradients", trained, source="final", token=str(row.token_id)))
    assert (
        f"{row.shown} is {row.tokens_share:.2%} of the tokens ({row.n} of {now.n.sum():,})" in shown
    )
    assert (
        "A single occurrence has a gradient of length" in shown and "Its mean kl went from" in shown
    )


def test_naive_values_are_a_switch_and_the_difference_is_told(open_app, trained: Path) -> None:
    app = open_app("gradients", trained, rule=RULE, values="naive")
    assert "naive" in str(app.get("plotly_chart")[3].proto.spec)
    assert "long by noise alone" in words(app)


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
    assert "No gradients in this log" in words(app) and "--gradients full" in app.code[1].value
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
    app = open_app("gradients", tiny_run("ends"), source="fresh")
    assert not app.exception and len(app.get("plotly_chart")) == 3


def test_norms_without_directions_still_show_the_shares(open_app, tiny_run: RunFactory) -> None:
    shown = words(open_app("gradients", tiny_run("norms")))
    assert "No summed gradients are logged" in shown and "Exact gradients were not taken" in shown


def test_a_young_run_says_so(open_app, tiny_run: RunFactory) -> None:
    assert "No step has logged its tokens yet" in words(
        open_app("gradients", tiny_run("young", steps=(), status="running"))
    )


def test_a_clicked_type_is_explained(tab: Tab, trained: Path) -> None:
    tab.open(f"/gradients?run={trained.name}&source=final")
    page = tab.page
    chart = page.locator(".js-plotly-plot").nth(2)
    playwright.expect(chart.locator(".scatterlayer .point").first).to_be_attached()
    chart.scroll_into_view_if_needed()
    box = chart.locator(".scatterlayer .trace").first.locator(".point").first.bounding_box()
    assert box
    before = tab.parameters.get("token")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url(lambda url: "token=" in url and f"token={before}" not in url)
    token = int(tab.parameters["token"])
    assert token >= 0
    playwright.expect(page.get_by_text("of the gradient norm at step").first).to_be_visible()
