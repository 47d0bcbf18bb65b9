"""Of a long run only the files of new steps are read, and the answers are those of all files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pandas as pd
import pytest
from small_logs import VOCAB, meta, tokens

from rockcore.log import Run, RunWriter, checks, grown

STEPS = grown._FEW + 6
QUESTIONS: dict[str, Callable[[Run], Any]] = {
    "metrics": lambda run: run.metrics(),
    "type_sums": lambda run: run.type_sums(),
    "quantiles": lambda run: run.quantiles("kl", [0.1, 0.5, 0.99]),
    "quantiles of size": lambda run: run.quantiles("sampled_loss", [0.5], absolute=True),
    "histogram": lambda run: run.histogram("kl", [0.5, 1.0, 1.5]),
    "unlogged": lambda run: run.quantiles("proj_grad_norm", [0.5]),
}


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    writer = RunWriter.create(tmp_path / "long", meta(status="running"), VOCAB)
    for step in range(STEPS):
        log(writer, step)
    return writer


def log(writer: RunWriter, step: int, seed: int = 0) -> None:
    values = tokens(step, seed=seed)
    # of a run in which a column is not logged from the start
    values = {n: v for n, v in values.items() if n != "proj_grad_norm" or step > STEPS}
    writer.append("tokens", step, values)
    writer.append("metrics", step, conftest._metrics(step, values["kl"]))


def of_files(monkeypatch: pytest.MonkeyPatch, run: Run, question: Callable[[Run], Any]) -> Any:
    """The answer as DuckDB reads it from the files."""
    with monkeypatch.context() as without:
        without.setattr(grown, "_FEW", 10**9)
        return question(run)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b)
        return True
    return bool(np.allclose(np.hstack([np.ravel(x) for x in a]), np.hstack([*map(np.ravel, b)])))


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_kept_answers_as_the_files_do_after_each_step(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter, name: str
) -> None:
    for step in range(STEPS, STEPS + 3):
        run = Run.open(writer.path)
        assert same(QUESTIONS[name](run), of_files(monkeypatch, run, QUESTIONS[name]))
        log(writer, step)


@pytest.mark.parametrize("name", ["metrics", "type_sums", "quantiles"])
def test_after_a_step_only_its_file_is_read(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter, name: str
) -> None:
    QUESTIONS[name](Run.open(writer.path))
    log(writer, STEPS)
    read: list[Path] = []
    checked = checks.checked
    monkeypatch.setattr(checks, "checked", lambda file: (read.append(file), checked(file))[1])
    QUESTIONS[name](Run.open(writer.path))
    last = {file.name for file in read}
    assert last <= {f"step={STEPS:06d}.parquet", "step=000000.parquet"} and len(read) <= 3


@pytest.mark.parametrize("name", ["metrics", "type_sums", "quantiles"])
def test_steps_that_a_resumed_run_drops_and_writes_again_are_read_again(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter, name: str
) -> None:
    QUESTIONS[name](Run.open(writer.path))
    writer.drop_from(STEPS - 5)
    for step in range(STEPS - 5, STEPS + 1):
        log(writer, step, seed=1)
    run = Run.open(writer.path)
    assert same(QUESTIONS[name](run), of_files(monkeypatch, run, QUESTIONS[name]))


def test_what_is_kept_stays_within_its_bound(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter
) -> None:
    grown._kept.clear()
    run = Run.open(writer.path)
    QUESTIONS["metrics"](run)
    size = sum(each.table.nbytes for each in grown._kept.values())
    assert size
    grown._kept.clear()
    monkeypatch.setattr(grown, "_MOST_BYTES", size - 1)
    for name, question in QUESTIONS.items():
        assert same(question(run), of_files(monkeypatch, run, question)), name
        kept = [each.table.nbytes for each in grown._kept.values()]
        assert sum(kept) < size


def test_a_run_in_training_is_opened_by_looking_into_new_files_alone(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter
) -> None:
    from rockcore.log import folders

    Run.open(writer.path)
    log(writer, STEPS)
    looked: list[Path] = []
    check = folders.check_schema
    monkeypatch.setattr(
        folders, "check_schema", lambda file, of: (looked.append(file), check(file, of))[1]
    )
    Run.open(writer.path)
    steps = [file.name for file in looked if file.name.startswith("step=")]
    assert set(steps) == {f"step={STEPS:06d}.parquet"}
