"""The page Compare: both sides on one scale, differences that are those of the logs, refusals that
say why.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import playwright.sync_api as playwright
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chrome import Tab
from conftest import HOSTILE, STEPS, write_tiny_run
from pages import DAMAGES, words
from small_logs import LENIENT, write_many_on_one_prompt
from streamlit.testing.v1 import AppTest

from app import data
from app.views.compare.words import named_prompt
from rockcore.analysis import compare, pairs, signals, standings
from rockcore.log import Run, sample_runs
from rockcore.rocks.search import detect
from rockcore.schema import Texts

RunFactory = Callable[..., Path]


def two(tiny_run: RunFactory, **meta: str) -> tuple[Path, Path]:
    """Two runs on the same prompts, of other texts and other numbers."""
    return tiny_run("one"), tiny_run("two", seed=1, **meta)


def key(run: Path) -> data.runs.RunKey:
    return data.runs.key(str(run))


def text_of(run: Path, source: str, step: int, rollout: int) -> data.compare.Text:
    return data.compare.Text(key(run), Texts(source), step, rollout)


def metric(app: AppTest, label: str) -> str:
    return next(str(m.value) for m in app.metric if m.label.startswith(label))


def plain(app: AppTest) -> str:
    return "\n".join([words(app), *(str(i.value) for i in app.info)]).replace("\\", "")


# What is shown is what was logged.


def test_it_opens_with_the_first_and_last_step_of_the_run_on_one_text(
    open_app, tiny_run: RunFactory
) -> None:
    run = tiny_run()
    app = open_app("compare", run)
    assert not app.exception
    shown = dict(app.query_params)
    assert {n: shown[n] for n in ("run_b", "source", "step_a", "step_b", "panes")} == {
        "run_b": "tiny", "source": "final", "step_a": "0", "step_b": "20", "panes": "both",
    }  # fmt: skip
    a, b = (Run.open(run).trace(step, 0, "final").kl.to_numpy(float) for step in (0, 20))
    tau = Run.open(run).quantiles("kl", [0.90])[1][0]
    for letter, step, kl in (("A", 0, a), ("B", 20, b)):
        assert (
            f"{letter} · tiny, step {step}, rollout 0: {len(kl)} tokens, mean KL {kl.mean():.4f} "
            "nats, correct" in plain(app)
        )
    assert f"The same {len(a)} tokens on both sides" in plain(app)
    higher, lower = (b - a >= tau).sum(), (b - a <= -tau).sum()
    n = f"{len(a)} aligned tokens"
    said = f"mean {(b - a).mean():+.4f} nats over {n}; {higher} of {n} higher in B"
    assert (
        said.replace("-", "−") in plain(app) and f"{lower} lower" in plain(app) and lower > higher
    )


@pytest.mark.parametrize(
    ("panes", "signal"),
    [
        *((mode, "kl") for mode in ("both", "a", "b")),
        *(("difference", signal) for signal in data.runs.SIGNALS),
    ],
)
def test_every_mode_and_signal_renders(
    panes: str, signal: str, open_app, tiny_run: RunFactory
) -> None:
    app = open_app(
        "compare",
        *two(tiny_run),
        panes=panes,
        signal=signal,
        run_b="two",
        source="fresh",
        by="score",
    )
    assert (
        not app.exception
        and "No difference to show" not in plain(app)
        and "B − A: mean" in plain(app)
    )
    assert dict(app.query_params) | {"panes": panes, "signal": signal} == dict(app.query_params)


@pytest.mark.parametrize("source", list(Texts))
def test_other_texts_line_up_by_token_and_subtract_where_they_do(
    source: Texts, open_app, tiny_run: RunFactory
) -> None:
    one, other = two(tiny_run)
    a, b = text_of(one, source, 10, 2), text_of(other, source, 20, 2)
    pair = data.compare.pair(a, b, "sampled_loss")
    probe = source.probe_set
    rows_a, rows_b = Run.open(one).trace(10, 2, probe), Run.open(other).trace(20, 2, probe)
    expected = pairs.align(rows_a.token_id.to_numpy(), rows_b.token_id.to_numpy())
    assert pair.aligned.blocks() == expected.blocks() and 0 < len(expected.a) < len(rows_a)
    alone = np.setdiff1d(np.arange(len(rows_b)), expected.b)
    assert np.isnan(pair.difference[alone]).all()
    difference = (
        rows_b.sampled_loss.to_numpy(float)[expected.b]
        - rows_a.sampled_loss.to_numpy(float)[expected.a]
    )
    np.testing.assert_allclose(pair.difference[expected.b], difference)
    app = open_app(
        "compare",
        one,
        other,
        run_b="two",
        source=source.value,
        step_a="10",
        step_b="20",
        rollout="2",
        signal="sampled_loss",
    )
    n = len(expected.a)
    assert f"Aligned: {n} of {len(rows_a)} tokens of A with {n} of {len(rows_b)} of B" in plain(app)
    assert f"mean {difference.mean():+.4f} nats over {n} aligned tokens".replace("-", "−") in plain(
        app
    )


def test_one_scale_is_anchored_at_the_tokens_of_both_runs(tiny_run: RunFactory) -> None:
    one, other = two(tiny_run)
    values = [[Run.open(r).trace(s, i) for s in STEPS for i in range(4)] for r in (one, other)]
    both = np.concatenate([frame.kl for side in values for frame in side]).astype(float)
    scale = data.compare.scale(key(one), key(other), "kl")
    assert scale == data.compare.scale(key(other), key(one), "kl")
    np.testing.assert_allclose(scale["edges"], np.quantile(both, signals.QUANTILES), rtol=1e-5)
    assert scale["tokens"] == sum(scale["counts"]) == len(both)
    change = data.compare.difference_scale(key(one), key(other), "kl")
    np.testing.assert_allclose(
        change["edges"][5:],
        np.maximum(np.quantile(np.abs(both), signals.SIGNED_QUANTILES), 1e-4),
        rtol=1e-5,
    )
    assert change["edges"] == [-e for e in reversed(change["edges"])]
    assert data.compare.scale(key(one), key(one), "kl")["tokens"] == sum(
        len(frame) for frame in values[0]
    )


def test_rock_sets_are_those_of_the_library(open_app, tiny_run: RunFactory) -> None:
    one, other = two(tiny_run)
    rule = LENIENT.changed(top_k=15)
    app = open_app("compare", one, other, run_b="two", rule=rule.short())
    sides = compare.rankings(Run.open(one), Run.open(other), rule)
    shared = standings.overlap(sides.a.ids, sides.b.ids)
    assert (
        metric(app, "Jaccard") == f"{shared.jaccard:.2f}"
        and metric(app, "In both") == str(len(shared.both)) != "0"
    )
    assert metric(app, f"Only in A, of {len(sides.a.ids)}") == str(len(shared.only_a))
    table = app.dataframe[0].value
    assert table.token_id.tolist() == standings.rank_changes(*sides).token_id.tolist()
    assert "steps 0 to 20" in plain(app) and "The steps chosen above do not enter" in plain(app)


def test_two_steps_of_a_run_rank_by_rock_score_and_say_so(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    app = open_app("compare", run, step_a="10", top="7")
    sides = compare.rankings(Run.open(run), Run.open(run), steps=(10, None), top=7)
    assert metric(app, "In both") == str(len(standings.overlap(sides.a.ids, sides.b.ids).both))
    assert (
        app.dataframe[0].value.token_id.tolist() == standings.rank_changes(*sides).token_id.tolist()
    )
    assert "Rock Score R(v) over the fresh rollouts of step 10 (A) and step 20 (B)" in plain(app)


def test_several_texts_on_one_prompt_can_be_picked(open_app, tiny_run: RunFactory) -> None:
    one, other = two(tiny_run)
    for run in (one, other):
        file = run / "probe" / "final" / "rollouts.parquet"
        table = pq.ParquetFile(file).read()
        at = table.schema.get_field_index("prompt")
        pq.write_table(
            table.set_column(
                at,
                table.schema.field(at),
                pa.array(["one prompt"] * 4, table.schema.field(at).type),
            ),
            file,
        )
    app = open_app("compare", one, other, run_b="two", rollout="3")
    assert app.selectbox(key="widget rollout_b").value == 0
    app.selectbox(key="widget rollout_b").set_value(2).run()
    assert "A · one, step 20, rollout 3" in plain(app) and "B · two, step 20, rollout 2" in plain(
        app
    )
    alone = open_app("compare", one, rollout="3")
    assert alone.selectbox(key="widget rollout_b").value == 3, (
        "of one run, a text is compared with itself first"
    )


def test_thousands_of_texts_on_one_prompt_cost_what_one_pass_over_them_costs(
    open_app, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partners of every text were built once: with 4,000 rollouts 16 million, in minutes."""
    rollouts, built = 4_000, []
    run = write_many_on_one_prompt(tmp_path / "many", rollouts)
    partners = pairs.SharedPrompts.partners
    monkeypatch.setattr(
        pairs.SharedPrompts,
        "partners",
        lambda *args: built.append(found := partners(*args)) or found,
    )
    app = open_app("compare", run, rollout="17", rollout_b="3999")
    assert not app.exception
    asked = [app.number_input(key=f"widget {name}") for name in ("rollout", "rollout_b")]
    assert [(each.value, each.max) for each in asked] == [(17, 3999), (3999, 3999)], (
        "a list of so many is not sent to the browser"
    )
    assert sum(map(len, built)) == rollouts, "only the partners of the chosen text"
    assert "A · many, step 0, rollout 17: 3 tokens" in plain(app)
    assert "B · many, step 10, rollout 3999: 3 tokens" in plain(app)


def test_a_link_restores_the_comparison(open_app, tiny_run: RunFactory) -> None:
    runs = two(tiny_run)
    app = open_app("compare", *runs)
    app.selectbox(key="widget run_b").set_value("two").run()
    app.selectbox(key="widget source").set_value("first").run()
    app.select_slider(key="widget step_a").set_value(10).run()
    app.selectbox(key="widget rollout").set_value(2).run()
    app.segmented_control(key="widget panes").set_value("difference").run()
    app.selectbox(key="widget signal").set_value("student_entropy").run()
    app.segmented_control(key="widget by").set_value("score").run()
    app.number_input(key="widget top").set_value(7).run()
    link = dict(app.query_params)
    assert link == {
        "run": "one", "run_b": "two", "source": "first", "step_a": "10", "step_b": "20",
        "rollout": "2", "panes": "difference", "signal": "student_entropy",
        "by": "score", "top": "7", "decoding": "greedy",
    }  # fmt: skip
    again = open_app("compare", *runs, **link)
    assert dict(again.query_params) == link and plain(again) == plain(app)
    assert [m.value for m in again.metric] == [m.value for m in app.metric]


def test_each_side_opens_in_trace(open_app, tiny_run: RunFactory) -> None:
    runs = two(tiny_run)
    app = open_app("compare", *runs, run_b="two", step_a="10", rollout="1")
    links = {
        link.proto.label: dict(parse_qsl(link.proto.query_string)) for link in app.get("page_link")
    }
    for letter, name, step in (("A", "one", 10), ("B", "two", 20)):
        trace = open_app("trace", *runs, **links[f"Read {letter} in Trace"])
        assert {n: trace.query_params[n] for n in ("run", "source", "step", "rollout")} == {
            "run": name, "source": "final", "step": str(step), "rollout": "1",
        }  # fmt: skip


# What cannot be compared says why.


def test_unequal_tokenizers_are_refused_with_the_reason(open_app, tiny_run: RunFactory) -> None:
    app = open_app("compare", *two(tiny_run, tokenizer_hash="f" * 16), run_b="two")
    assert not app.exception
    said = plain(app)
    assert (
        "0" * 16 in said
        and "f" * 16 in said
        and "The same id means other tokens" in said
        and "Choose a run of the same models" in said
    )
    assert (
        not app.metric
        and not app.get("plotly_chart")
        and app.selectbox(key="widget run_b").value == "two"
    )


def test_kl_of_another_estimator_is_not_subtracted_and_sampled_loss_is(
    open_app, tiny_run: RunFactory
) -> None:
    runs = two(tiny_run, estimator="topk+tail")
    app = open_app("compare", *runs, run_b="two", panes="difference")
    assert "The kl of one is “full”, that of two is “topk+tail”" in plain(
        app
    ) and "No difference to show" in plain(app)
    assert "The rock sets cannot be compared." in plain(app) and not app.metric
    assert len(app.get("plotly_chart")) == 2
    losses = open_app("compare", *runs, run_b="two", panes="difference", signal="sampled_loss")
    assert "No difference to show" not in plain(losses) and "B − A: mean" in plain(losses)


def test_a_side_compared_with_itself_says_so(open_app, tiny_run: RunFactory) -> None:
    app = open_app("compare", tiny_run(), step_a="10", step_b="10")
    assert not app.exception and "every difference is 0" in plain(app) and not app.metric


@pytest.mark.parametrize("damage", [d for d in DAMAGES if d != "no folder"])
def test_a_damaged_b_leaves_a_usable(damage: str, open_app, tiny_run: RunFactory) -> None:
    one, hurt = tiny_run("one"), tiny_run("hurt", seed=1)
    DAMAGES[damage](hurt)
    app = open_app("compare", one, hurt, run_b="hurt")
    assert not app.exception and "cannot be compared" in plain(app)
    app.selectbox(key="widget run_b").set_value("one").run()
    assert not app.exception and "The same 63 tokens on both sides" in plain(app)


def test_no_shared_prompt_is_explained_with_what_to_do(open_app) -> None:
    app = open_app("compare", sample_runs(), run="habit", run_b="hidden")
    assert not app.exception
    assert "A has 96 here, B has 96, and 0 of these are equal" in plain(app)
    assert [c.value for c in app.code] == ["rockcore train --scenario habit --lr 0.0005"]
    ids = [set(detect(Run.open(sample_runs() / name)).ids) for name in ("habit", "hidden")]
    assert metric(app, "In both") == str(len(ids[0] & ids[1])) and len(app.get("plotly_chart")) == 3


def test_an_empty_text_says_so(open_app, tiny_run: RunFactory) -> None:
    run = tiny_run()
    for step in STEPS:
        file = run / "probe" / "final" / f"step={step:06d}.parquet"
        table = pq.ParquetFile(file).read()
        others = [rollout != 2 for rollout in table["rollout_id"].to_pylist()]
        pq.write_table(table.filter(pa.array(others)), file)
    app = open_app("compare", run, rollout="2")
    assert not app.exception and "One of the texts is empty" in plain(app)


# In a browser.


@pytest.fixture(scope="session", autouse=True)
def two_served(served: Path) -> None:
    """The runs that `two` makes."""
    write_tiny_run(served / "one")
    write_tiny_run(served / "two", seed=1)


def opened(tab: Tab, query: str, panes: int) -> None:
    tab.open(f"/compare?{query}")
    playwright.expect(tab.page.locator(".response")).to_have_count(panes)
    playwright.expect(tab.page.locator(".js-plotly-plot")).to_have_count(3)


def layers(tab: Tab, side: str) -> list[list[str]]:
    return tab.page.evaluate(
        f"() => {{ const p = rockPanes.get('compare {side}'); return p.spans.map((_, i) => "
        f"p.layers.classes(i)) }}"
    )


def fills(tab: Tab, side: str) -> list[int]:
    return [
        next((int(c[1:]) for c in cs if re.fullmatch(r"f\d+", c)), -1) for cs in layers(tab, side)
    ]


def test_a_token_pointed_at_is_framed_in_the_other_text_and_both_values_are_told(
    tab: Tab, tiny_run: RunFactory
) -> None:
    opened(tab, "run=one&run_b=two&source=final&rollout=1&by=score", 2)
    one, other = two(tiny_run)  # the same numbers are drawn again
    pair = data.compare.pair(text_of(one, "final", 20, 1), text_of(other, "final", 20, 1), "kl")
    at, partner = (int(side[3]) for side in pair.aligned)
    alone = np.setdiff1d(np.arange(len(pair.values_b)), pair.aligned.b)
    assert [i for i, cs in enumerate(layers(tab, "B")) if "lit" in cs] == alone.tolist()
    a, b = pair.values_a[at], pair.values_b[partner]
    spans = {
        side: tab.page.locator(".response").nth(k).locator(".t") for k, side in enumerate("AB")
    }
    spans["A"].nth(at).hover()
    line = tab.page.locator(".readout")
    playwright.expect(line).to_contain_text(f"position {at} in A, {partner} in B")
    told = [
        float(x.replace("−", "-"))
        for x in re.findall(r"(?:A|B) ([+−]?[\d.]+(?:e−\d+)?)", line.inner_text().split("kl: ")[1])[
            :3
        ]
    ]
    assert told == pytest.approx([a, b, b - a], rel=0.06, abs=6e-3)
    assert "dashed" in (spans["B"].nth(partner).get_attribute("style") or "")
    cards = tab.page.locator(".reading .card .where")
    playwright.expect(cards.nth(1)).to_contain_text(f"position {partner} of")
    spans["B"].nth(int(alone[0])).hover()
    playwright.expect(line).to_contain_text("no partner in A")
    assert "dashed" not in (spans["B"].nth(partner).get_attribute("style") or "")
    spans["A"].nth(at).focus()
    playwright.expect(line).to_contain_text(f"position {at} in A, {partner} in B")


def test_a_step_recolours_its_side_and_builds_neither_text_again(tab: Tab) -> None:
    opened(tab, "run=one&source=final&rollout=1&step_a=0&step_b=20", 2)
    tab.page.locator(".response .t").evaluate_all(
        "spans => spans.forEach(s => { s.marked = true })"
    )
    before = {side: fills(tab, side) for side in "AB"}
    tab.page.get_by_role("slider", name="Step of B").focus()
    tab.page.keyboard.press("ArrowLeft")
    tab.wait_for_url(step_b="10")
    tab.page.wait_for_function("() => rockPanes.get('compare B').state.step === 10")
    assert fills(tab, "A") == before["A"] and fills(tab, "B") != before["B"]
    assert tab.page.locator(".response .t").evaluate_all(
        "spans => spans.length > 100 && spans.every(s => s.marked)"
    )


def test_the_difference_has_the_colours_of_b_minus_a_and_so_has_its_link(
    tab: Tab, browser, tiny_run: RunFactory
) -> None:
    opened(tab, "run=one&run_b=two&source=final&rollout=1&by=score", 2)
    tab.page.get_by_role("radio", name="Difference").or_(
        tab.page.get_by_role("button", name="Difference")
    ).first.click()
    tab.wait_for_url(panes="difference")
    playwright.expect(tab.page.locator(".response")).to_have_count(1)
    playwright.expect(tab.page.locator(".legend .name")).to_have_text("difference, nats")
    one, other = two(tiny_run)  # the same numbers are drawn again
    pair = data.compare.pair(text_of(one, "final", 20, 1), text_of(other, "final", 20, 1), "kl")
    edges = data.compare.difference_scale(key(one), key(other), "kl")["edges"]
    bins = np.searchsorted(edges, pair.difference, "right")
    expected = [
        -1 if np.isnan(v) or b == 5 else int(b) for v, b in zip(pair.difference, bins, strict=True)
    ]
    assert fills(tab, "B") == expected and len(set(expected)) > 5
    assert [i for i, cs in enumerate(layers(tab, "B")) if "lit" in cs] == np.flatnonzero(
        np.isnan(pair.difference)
    ).tolist()
    context = browser.new_context(viewport={"width": 800, "height": 900})
    copy = Tab(context.new_page(), tab.server)
    copy.open(tab.page.url.removeprefix(tab.server))
    playwright.expect(copy.page.locator(".response")).to_have_count(1)
    assert copy.page.url == tab.page.url and fills(copy, "B") == expected
    context.close()


def test_hostile_token_text_is_text_on_either_side(tab: Tab) -> None:
    opened(tab, "run=one&run_b=two&source=first&by=score&top=60", 2)
    for k in (0, 1):
        shown = set(
            tab.page.locator(".response")
            .nth(k)
            .locator(".t")
            .evaluate_all("spans => spans.map(s => s.textContent)")
        )
        assert {text for text in HOSTILE if text.isprintable()} <= shown
        tab.page.locator(".response").nth(k).locator(".t").nth(3).hover()
    names = tab.page.locator(".js-plotly-plot .ytick text").all_text_contents()
    assert len(names) >= 20 and any(name.startswith("<") for name in names), (
        "no hostile token is among those drawn"
    )
    assert "owned" not in tab.page.title()
    assert tab.page.locator(".readout :not(b)").count() == 0


def test_a_text_without_a_prompt_is_told_to_have_none():
    assert named_prompt(3, "") == "3 · no prompt in the log"
    assert named_prompt(3, "What is 1 + 1?").endswith("1?")
