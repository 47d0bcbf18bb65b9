"""A signal over the steps of a run, against what the log says row by row; a gap is no zero."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import STEPS, WORDS
from hypothesis import given
from hypothesis import strategies as st

from rockcore.analysis import signals, step_tables, steps
from rockcore.analysis.steps import StepAxis, Surface
from rockcore.categories import categorize_all
from rockcore.log import Run
from rockcore.rocks.change import CLASSES
from rockcore.rocks.ranking import NothingLogged
from rockcore.schema import DamagedRun, Texts
from rockcore.spelling import visible

RunFactory = Callable[..., Path]
LOGGED = ("kl", "sampled_loss", "student_entropy", "teacher_entropy", "grad_norm")


def occurrences(run: Path, texts: Texts) -> pd.DataFrame:
    files = sorted((run / texts.table).glob("step=*.parquet"))
    return pd.concat([pq.ParquetFile(f).read().to_pandas() for f in files])


def unlogged(run: Path, table: str, step: int) -> None:
    (run / table / f"step={step:06d}.parquet").unlink()


def probed(tiny_run: RunFactory, *missing: int) -> Run:
    """A run whose plan is a probe every 10 steps, with files that are not there."""
    run = tiny_run("gaps", steps=(0, 10, 20, 30), config={"probe_every": 10, "log_every": 10})
    for step in missing:
        unlogged(run, "probe/final", step)
    return Run.open(run)


# What is shown is what was logged.


@pytest.mark.parametrize("signal", LOGGED)
def test_positions_carry_the_values_of_the_log(signal: str, tiny_run: RunFactory) -> None:
    run = Run.open(tiny_run())
    surface = steps.positions(run, Texts.FIRST, 2, signal)
    for s, step in enumerate(STEPS):
        trace = run.trace(step, 2, "first")
        np.testing.assert_array_equal(surface.values[:, s], trace[signal])
        assert surface.names == [visible(t) for t in trace.token]


@pytest.mark.parametrize("texts", Texts)
def test_types_and_categories_carry_means_over_the_logged_tokens(
    texts: Texts, tiny_run: RunFactory
) -> None:
    run = tiny_run()
    rows = occurrences(run, texts)
    by_type = steps.types(Run.open(run), texts, "grad_norm")
    groups = rows.groupby(["token_id", "step"]).grad_norm
    means, n = groups.mean(), groups.size()
    for i, token in enumerate(by_type.frame.token_id):
        np.testing.assert_allclose(by_type.values[i], means[token].loc[list(STEPS)], rtol=1e-5)
        assert by_type.counts[i].tolist() == n[token].loc[list(STEPS)].tolist()
    last = rows[rows.step == STEPS[-1]]
    score = last.groupby("token_id").kl.sum().loc[by_type.frame.token_id]
    np.testing.assert_allclose(by_type.frame.score, score, rtol=1e-4)
    assert by_type.frame.score.is_monotonic_decreasing
    surface, tokens = steps.categories(by_type)
    assert tokens[:, -1].sum() == len(last)
    kinds = by_type.frame.set_index("token_id").category
    for name, value in zip(surface.names, surface.values[:, -1], strict=True):
        here = last.grad_norm[last.token_id.map(kinds) == name]
        assert value == pytest.approx(here.mean(), rel=1e-4)


def test_a_type_of_fresh_texts_has_the_category_of_a_sentence_start(tiny_run: RunFactory) -> None:
    frame = steps.types(Run.open(tiny_run()), Texts.FRESH, "kl").frame
    special = [WORDS[i] in ("<pad>", "<eos>") for i in frame.token_id]
    assert frame.category.tolist() == categorize_all([WORDS[i] for i in frame.token_id], special)


def test_a_score_without_kl_is_that_of_the_sampled_loss(tiny_run: RunFactory) -> None:
    run = tiny_run("sampled", estimator="absent")
    for file in run.glob("tokens/*"):
        pq.write_table(pq.read_table(file).drop_columns(["kl"]), file)
    rows = occurrences(run, Texts.FRESH)
    last = rows[rows.step == STEPS[-1]].groupby("token_id").sampled_loss.sum()
    frame = steps.types(Run.open(run), Texts.FRESH, "sampled_loss").frame
    np.testing.assert_allclose(frame.score, last.loc[frame.token_id], rtol=1e-3, atol=1e-5)


def test_a_slope_is_that_of_least_squares_over_the_steps_with_a_value() -> None:
    rng = np.random.default_rng(0)
    at, values = [0, 10, 15, 40, 90], rng.normal(size=(50, 5))
    values[rng.random(values.shape) < 0.3] = np.nan
    slope, n = steps.slopes(at, values)
    for row, found, count in zip(values, slope, n, strict=True):
        there = np.isfinite(row)
        assert count == there.sum()
        if count < 2:
            assert np.isnan(found)
        else:
            fit = np.polyfit(np.array(at)[there], row[there], 1)
            assert found == pytest.approx(fit[0])


def test_texts_that_are_not_logged_are_an_error_a_user_can_act_on(tiny_run: RunFactory) -> None:
    run = tiny_run("fresh only")
    shutil.rmtree(run / "probe")
    with pytest.raises(NothingLogged, match="texts of the final student"):
        steps.types(Run.open(run), Texts.FINAL, "kl")


def test_a_position_that_is_logged_twice_is_an_error_a_user_can_act_on(
    tiny_run: RunFactory,
) -> None:
    run = tiny_run("doubled")
    file = run / "probe/final/step=000010.parquet"
    table = pq.ParquetFile(file).read()
    pq.write_table(table.take([*range(len(table)), 0]), file)
    with pytest.raises(DamagedRun, match="twice"):
        steps.positions(Run.open(run), Texts.FINAL, 0, "kl")


# A gap is no zero.


def test_a_planned_step_that_is_not_logged_is_a_gap(tiny_run: RunFactory) -> None:
    run = probed(tiny_run, 20)
    assert steps.step_axis(run, Texts.FINAL).missing == [20]
    assert steps.step_axis(run, Texts.FIRST).missing == []
    by_category = steps.categories(steps.types(run, Texts.FINAL, "kl"))
    for surface in (steps.positions(run, Texts.FINAL, 0, "kl"), by_category.surface):
        assert np.isnan(surface.values[:, 2]).all()
        assert np.isfinite(surface.values[:, [0, 1, 3]]).all()


def test_a_type_that_does_not_occur_has_no_value(tiny_run: RunFactory) -> None:
    run, gone = tiny_run("rare"), WORDS.index("So")
    file = run / "tokens" / "step=000010.parquet"
    table = pq.ParquetFile(file).read()
    ids = table["token_id"].to_numpy()
    others = pa.array(np.where(ids == gone, WORDS.index(" Let"), ids), pa.int32())
    at = table.column_names.index("token_id")
    pq.write_table(table.set_column(at, "token_id", others), file)
    by_type = steps.types(Run.open(run), Texts.FRESH, "kl")
    i = by_type.frame.token_id.tolist().index(gone)
    assert np.isnan(by_type.values[i, 1]) and by_type.counts[i, 1] == 0
    assert by_type.frame.slope_steps[i] == len(STEPS) - 1


def test_steps_stand_on_a_true_axis(tiny_run: RunFactory) -> None:
    planned = tiny_run("uneven", steps=(0, 10, 20, 40, 47), config={"probe_every": 10})
    axis = steps.step_axis(Run.open(planned), Texts.FINAL)
    assert axis.steps == [0, 10, 20, 30, 40, 47] and axis.missing == [30]
    plain = Run.open(tiny_run("plain", steps=(0, 10, 20, 40)))
    assert steps.step_axis(plain, Texts.FINAL).missing == [30]


@pytest.mark.parametrize(
    "config",
    [None, [], "x", 5, {}, *({"probe_every": v} for v in (None, "10", 0, -5, True, 2.5, [10]))],
)
def test_a_foreign_config_names_no_plan_and_breaks_nothing(
    config: Any, tiny_run: RunFactory
) -> None:
    run = Run.open(tiny_run("foreign"))
    object.__setattr__(run.meta, "config", config)
    assert steps.step_axis(run, Texts.FINAL) == StepAxis(list(STEPS), [True] * len(STEPS))


def test_a_plan_of_a_million_steps_is_not_an_axis_of_a_million_gaps(tiny_run: RunFactory) -> None:
    run = Run.open(tiny_run("sparse", steps=(0, 1_000_000), config={"probe_every": 1}))
    assert steps.step_axis(run, Texts.FINAL).steps == [0, 1_000_000]


# The scale of colours.


@pytest.mark.parametrize("signal", LOGGED)
def test_a_scale_is_anchored_at_quantiles_of_all_fresh_tokens(
    signal: str, tiny_run: RunFactory
) -> None:
    run = tiny_run()
    values = occurrences(run, Texts.FRESH)[signal].to_numpy(float)
    scale = signals.scale(Run.open(run), signal)
    signed = signal == "sampled_loss"
    shares = signals.SIGNED_QUANTILES if signed else signals.QUANTILES
    want = np.quantile(np.abs(values) if signed else values, shares)
    np.testing.assert_allclose(scale.edges[-len(shares) :], want, rtol=1e-5)
    assert scale.tokens == len(values) and scale.over == signals.WHOLE_RUN
    assert scale.at(0.90) == pytest.approx(want[list(shares).index(0.90)])
    bins, counts = signals.histogram(Run.open(run), signal)
    whole = np.histogram(values, [-np.inf, *bins, np.inf])[0]
    assert counts == whole.tolist()


@pytest.mark.parametrize("signal", signals.SIGNALS)
def test_where_nothing_is_logged_a_scale_has_no_edges_and_no_quantiles(
    signal: str, tiny_run: RunFactory
) -> None:
    run = tiny_run("bare")
    shutil.rmtree(run / "tokens")
    shutil.rmtree(run / "probe")
    scale = signals.scale(Run.open(run), signal)
    if scale.of:
        assert scale.edges == scale.quantiles == [] and scale.tokens == 0
    assert scale.at(0.90) is None


def test_a_scale_over_probe_texts_says_so(tiny_run) -> None:
    path = tiny_run("imported", steps=(0, 1000))
    for table in ("tokens", "types", "rollouts", "metrics"):
        shutil.rmtree(path / table)
    run = Run.open(path)
    found = signals.scale(run, "kl")
    assert found.edges and found.over == signals.PROBES_ONLY
    assert signals.scale(run, "persistence").over == signals.WHOLE_RUN


# What is shown of it.


def surface_of(values: np.ndarray, logged: list[bool] | None = None) -> Surface:
    rows, columns = values.shape
    axis = StepAxis([10 * s for s in range(columns)], logged or [True] * columns)
    return Surface(values.astype(np.float32), [f"row {i}" for i in range(rows)], axis)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_binned_rows_are_means_over_neighbours_with_a_value(
    rows: int, columns: int, most: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, columns))
    values[rng.random(values.shape) < 0.3] = np.nan
    small = step_tables.binned(surface_of(values), most)
    assert len(small.values) == -(-rows // small.per) == len(small.names)
    assert small.cells <= max(most, columns) + columns
    for i, row in enumerate(small.values):
        for s, value in enumerate(row):
            part = values[i * small.per : (i + 1) * small.per, s]
            there = part[np.isfinite(part)]
            want = there.astype(np.float32).mean() if len(there) else np.nan
            np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-6)


def test_steadily_high_rows_are_so_at_every_logged_step() -> None:
    high, low, none = 2.0, 0.5, np.nan
    values = np.array([[high, none, high], [high, none, low], [none, none, high], [-3, none, -2]])
    surface = surface_of(values, [True, False, True])
    scale = signals.Scale("kl", "sequential", "nats", "", "kl", [1.0], [0.90], 9, "the run")
    assert step_tables.steadily_high(surface, scale) == (1, 1.0)
    signed = signals.Scale("x", "diverging", "", "", "x", [-1.0, 1.0], [0.90, 0.90], 9, "the run")
    assert step_tables.steadily_high(surface, signed) == (2, 1.0)
    bare = signals.Scale("kl", "sequential", "nats", "", "kl", [], [], 0, "the run")
    assert step_tables.steadily_high(surface, bare) is None


@pytest.mark.parametrize("sort", step_tables.SORTS)
def test_types_stand_in_the_order_that_was_asked_for(sort: str, tiny_run: RunFactory) -> None:
    by_type = steps.types(Run.open(tiny_run()), Texts.FINAL, "kl")
    names = [*CLASSES]
    classes = [names[i % len(names)] for i in range(len(by_type.frame))]
    known = pd.DataFrame({"token_id": by_type.frame.token_id, "class": classes})
    rows = step_tables.arranged(by_type, None, 20, sort, known)
    assert set(rows.token_id) == set(by_type.frame.token_id[:20])
    column = rows["class"].map(names.index) if sort == "class" else rows[sort]
    rising = sort in ("class", "category")
    assert column.is_monotonic_increasing if rising else column.is_monotonic_decreasing
    shown = step_tables.surface_of(by_type, rows)
    for token, values in zip(rows.token_id, shown.values, strict=True):
        i = by_type.frame.token_id.tolist().index(token)
        np.testing.assert_array_equal(values, by_type.values[i])


def test_picked_types_are_spans_of_neighbouring_rows(tiny_run: RunFactory) -> None:
    by_type = steps.types(Run.open(tiny_run()), Texts.FINAL, "kl")
    rows = step_tables.arranged(by_type, None, 20, "score", None)
    ids = rows.token_id.tolist()
    assert step_tables.spans_of(rows, []) == []
    assert step_tables.spans_of(rows, [ids[7], ids[2], ids[3]]) == [(2, 3), (7, 7)]
    table = step_tables.type_table(by_type, rows, STEPS[1], [ids[3]])
    assert table.token_id.tolist() == [ids[3]]
    assert table.tokens.tolist() == [by_type.counts[3, 1]]


def test_the_ends_of_a_table_are_those_of_the_logged_steps() -> None:
    values = np.array([[1.0, np.nan, 4.0], [2.0, np.nan, 1.0]])
    surface = surface_of(values, [True, False, True])
    table = step_tables.position_table(surface, 20, (1, 1))
    assert table.to_dict("records") == [
        {"position": 1, "shown": "row 1", "cursor": 1.0, "first": 2.0, "last": 1.0, "change": -1.0}
    ]
    by_category = steps.CategorySteps(surface, np.array([[3, 0, 5], [1, 0, 1]]))
    table = step_tables.category_table(by_category, 20)
    assert table.tokens.tolist() == [5, 1] and table.slope.tolist() == [15.0, -5.0]


@pytest.mark.parametrize(
    "text, span",
    [
        *(("", None), ("7", (7, 7)), ("12-40", (12, 19)), ("9 – 3", (3, 9))),
        *(("19-", 0), ("20", 0), ("a", 0)),
    ],
)
def test_a_span_is_read_or_refused(text: str, span: tuple[int, int] | None | int) -> None:
    if span == 0:
        with pytest.raises(step_tables.NoSpan):
            step_tables.span_of(text, 20)
    else:
        assert step_tables.span_of(text, 20) == span


def test_an_excerpt_marks_the_span_in_its_text() -> None:
    surface = surface_of(np.zeros((40, 1)))
    assert step_tables.excerpt(surface, (1, 2)).startswith("row 0 ⟦row 1row 2⟧ row 3")
    assert step_tables.excerpt(surface, (20, 20)).startswith("…row 8row 9")
