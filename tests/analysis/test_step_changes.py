"""A change from the first to the last step, against what the log says row by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rockcore.analysis import step_changes, steps
from rockcore.analysis.signals import scale
from rockcore.analysis.steps import StepAxis, Surface
from rockcore.log import Run, sample_runs
from rockcore.schema import Texts

RunFactory = Callable[..., Path]


@pytest.mark.parametrize("texts", list(Texts))
def test_a_factor_is_the_mean_after_divided_by_the_mean_before(
    texts: Texts, tiny_run: RunFactory
) -> None:
    run = Run.open(tiny_run())
    frame = steps.types(run, texts, "kl").frame.head(12)
    ids = frame.token_id.tolist()
    found = step_changes.changes(run, texts, "kl", ids, ids)
    files = sorted((run.path / texts.table).glob("step=*.parquet"))
    ends = [pq.ParquetFile(file).read().to_pandas() for file in (files[0], files[-1])]
    for token_id in ids:
        before, after = (end.kl[end.token_id == token_id].mean() for end in ends)
        np.testing.assert_allclose(found.frame.factor[token_id], after / before, rtol=1e-4)
    before, after = (end.kl[end.token_id.isin(ids)].mean() for end in ends)
    assert found.whole is not None
    np.testing.assert_allclose(found.whole[2:5], [before, after, after / before - 1], rtol=1e-4)
    by = step_changes.changes(run, texts, "kl", ids, frame.category.tolist())
    assert by.whole is not None and by.whole[:8] == found.whole[:8]
    assert set(by.frame.index) == set(frame.category)


def test_the_cells_of_a_change_are_those_of_its_rows_and_not_of_every_type(
    tiny_run: RunFactory,
) -> None:
    """Of 100 million tokens they were nearly as many as the tokens."""
    run = Run.open(tiny_run())
    for texts in Texts:
        file = sorted((run.path / texts.table).glob("step=*.parquet"))[-1]
        tokens = pq.ParquetFile(file).read().to_pandas()
        tokens = tokens[np.isfinite(tokens.kl)].astype({"kl": float})
        ids = sorted(tokens.token_id.unique())[1:]
        lines = [i % 3 for i in range(len(ids))]
        tokens = tokens.assign(line=tokens.token_id.map(dict(zip(ids, lines, strict=True))))
        want = tokens.groupby(["rollout_id", "line"], as_index=False).kl.agg(["size", "sum"])
        step = run.steps(texts.table)[-1]
        found = run.row_cells(texts.table, step, "kl", ids, lines)
        assert list(found) == ["rollout_id", "line", "n", "total"]
        np.testing.assert_allclose(found.to_numpy(float), want.to_numpy(float), rtol=1e-12)


def test_what_fell_is_told_and_what_has_no_ratio_is_not() -> None:
    run = Run.open(sample_runs() / "skill")
    ids = steps.types(run, Texts.FINAL, "kl").frame.token_id.head(20).tolist()
    whole = step_changes.changes(run, Texts.FINAL, "kl", ids, ids).whole
    assert whole is not None and whole.high < 0 and whole.low <= whole.change <= whole.high
    assert whole.fell > 10 and whole.fell + whole.rose <= whole.rows == 20
    assert step_changes.changes(run, Texts.FINAL, "sampled_loss", ids, ids).whole is None


def test_texts_that_nothing_happened_to_did_not_change(tiny_run: RunFactory) -> None:
    run = tiny_run("still", steps=(0, 10))
    first = run / "probe" / "final" / "step=000000.parquet"
    table = pq.ParquetFile(first).read()
    at = table.column_names.index("step")
    later = pa.array(np.full(len(table), 10), table["step"].type)
    pq.write_table(table.set_column(at, "step", later), first.with_name("step=000010.parquet"))
    opened = Run.open(run)
    ids = steps.types(opened, Texts.FINAL, "kl").frame.token_id.tolist()
    whole = step_changes.changes(opened, Texts.FINAL, "kl", ids, ids).whole
    assert whole is not None and (whole.change, whole.fell, whole.rose) == (0, 0, 0)


def test_one_step_has_no_change(tiny_run: RunFactory) -> None:
    run = Run.open(tiny_run("alone", steps=(0,)))
    assert step_changes.changes(run, Texts.FINAL, "kl", [1], [1]) == step_changes.NONE


def test_a_ratio_is_told_where_the_first_step_has_a_value_above_zero() -> None:
    nan = np.nan
    values = np.array([[1, 2, nan, 0.5], [0, 1, 1, 1], [nan, 1, 1, 1], [4, 0, 4, 1]], np.float32)
    axis = StepAxis([0, 10, 20, 30], [True, True, False, True])
    found = step_changes.ratios(Surface(values, list("abcd"), axis)).values
    wanted = [[0, 1, nan, -1], [nan] * 4, [nan] * 4, [0, -20, 0, -2]]
    np.testing.assert_array_equal(found, np.array(wanted, np.float32))
    late = StepAxis(axis.steps, [False, True, True, True])
    again = step_changes.ratios(Surface(values, list("abcd"), late)).values
    np.testing.assert_array_equal(again[1], np.array([-20, 0, 0, 0], np.float32))


def test_the_scale_of_a_ratio_is_even_about_no_change() -> None:
    found = step_changes.ratio_scale(scale(Run.open(sample_runs() / "habit"), "kl"), 0)
    assert found.signed and found.edges == [-e for e in reversed(found.edges)]
