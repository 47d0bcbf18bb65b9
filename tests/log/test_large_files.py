"""A text of a large file is read from the row group that holds it, and is the same."""

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

from rockcore.log import Run, contents, parts, sample_runs
from rockcore.schema import DamagedRun, Texts

HABIT = sample_runs() / "habit"
QUESTIONS: dict[str, Callable[[Run], Any]] = {
    "a probe text": lambda run: run.trace(run.steps("probe/final")[-1], 3, "final"),
    "a fresh text": lambda run: run.trace(run.steps()[-1], 0),
    "a text that is not there": lambda run: run.trace(run.steps()[-1], 999_999),
    "its positions over the steps": lambda run: run.positions("final", 3, "student_entropy"),
    "its kl over the steps": lambda run: pd.DataFrame(run.over_steps(3, "final")[1]),
}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as a large one."""
    monkeypatch.setattr(parts, "LARGE", 0)


@pytest.mark.parametrize("what", QUESTIONS)
def test_a_text_of_a_large_file_is_the_same(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = QUESTIONS[what](Run.open(HABIT))
    monkeypatch.setattr(parts, "LARGE", 0)
    pd.testing.assert_frame_equal(whole, QUESTIONS[what](Run.open(HABIT)))


def test_what_a_run_holds_is_the_same_of_large_files(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        Run.open(path) for path in sorted(sample_runs().glob("*/")) if (path / "run.json").exists()
    ]
    whole = [run.holdings() for run in runs]
    monkeypatch.setattr(parts, "LARGE", 0)
    assert [run.holdings() for run in runs] == whole


@pytest.mark.parametrize("first", [None, 0, 1_000])
def test_a_column_is_known_by_any_value_of_any_file(
    first: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first rows, and the footers, only make it sooner known."""
    few, at = 3_000, {"kl": (0, 5), "sampled_loss": (0, 2_500), "student_logp": (1, 2_999)}
    shutil.copytree(HABIT, path := tmp_path / "copy")
    for file in [*path.glob("probe/*/step=*"), *path.glob("probe/*/teacher*")]:
        file.unlink()
    table = pq.read_table(pa.OSFile(str(HABIT / "probe/final/step=000100.parquet")))[:few]
    if first is not None:
        monkeypatch.setattr(contents, "FEW", first)
    for which, step in enumerate((0, 100)):
        columns = {name: table[name] for name in ("rollout_id", "position", "token_id")}
        columns["step"] = pa.array(np.full(few, step, np.int32))
        for name in ("kl", "sampled_loss", "student_logp", "teacher_logp", "grad_norm"):
            values = np.full(few, np.nan, np.float32)
            if at.get(name, (9, 0))[0] == which:
                values[at[name][1]] = -1.0 if "logp" in name else 1.0
            columns[name] = pa.array(values, from_pandas=True)
        how = {"schema": table.schema.empty_table().select(list(columns)).schema}
        pq.write_table(pa.table(columns, **how), path / f"probe/final/step={step:06d}.parquet")
    assert Run.open(path).holdings().columns[Texts.FINAL] == set(at)


def _in_row_groups(folder: Path, change: Callable[[pd.DataFrame], None]) -> Run:
    """A copy of a run whose last probe file has small row groups, and rows changed."""
    path = folder / "copy"
    shutil.copytree(HABIT, path)
    file = path / "probe/final" / f"step={Run.open(path).steps('probe/final')[-1]:06d}.parquet"
    table = pq.read_table(pa.OSFile(str(file)))
    frame = pd.DataFrame(
        {"kl": table["kl"].to_numpy().copy(), "at": table["rollout_id"].to_numpy()}
    )
    change(frame)
    at = table.schema.get_field_index("kl")
    kl = pa.array(frame.kl.to_numpy(np.float32), from_pandas=True)
    pq.write_table(table.set_column(at, "kl", kl), file, row_group_size=500)
    return Run.open(path)


def test_a_large_file_is_read_where_its_rollout_is(
    tmp_path: Path, large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _in_row_groups(tmp_path, lambda frame: None)
    file = run.path / "probe/final" / f"step={run.steps('probe/final')[-1]:06d}.parquet"
    seen: list[int] = []
    read = parts.read_values
    monkeypatch.setattr(
        parts,
        "read_values",
        lambda p, f, n, groups: (seen.extend(groups), read(p, f, n, groups))[1],
    )
    parts.read_rollout(file, 3)
    there = parts.rows_in(file) // 500 + 1
    assert 1 <= len(seen) <= 3 < there


def test_a_wrong_row_of_a_large_file_stops_only_who_reads_it(tmp_path: Path, large: None) -> None:
    def change(frame: pd.DataFrame) -> None:
        frame.loc[frame["at"] == 5, "kl"] = np.inf

    run = _in_row_groups(tmp_path, change)
    step = run.steps("probe/final")[-1]
    assert len(run.trace(step, 3, "final"))
    with pytest.raises(DamagedRun, match="infinite in 'kl'"):
        run.trace(step, 5, "final")
