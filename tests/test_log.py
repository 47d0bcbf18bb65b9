"""The log on disk: what is written is read back, what is damaged is named, and processes do not
disturb each other.
"""

import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from small_logs import VOCAB, meta, tokens

from rockcore import schema
from rockcore.log import Run, RunWriter, find_runs
from rockcore.log.writer import RunExists, type_sums
from rockcore.schema import DamagedRun, LogWriteError, RunNotFound, SchemaMismatch


def test_what_is_written_is_read_back_to_the_bit(run_path):
    trace = Run.open(run_path).trace(10, 1)
    want = tokens(10)
    own = want["rollout_id"] == 1
    for name in schema.TOKENS:
        assert np.array_equal(trace[name].to_numpy(), want[name][own]), name
    assert trace.token.tolist() == [VOCAB["token"][i] for i in trace.token_id]


def test_alternatives_that_were_not_logged_come_back_as_na_and_the_others_to_the_bit(run_path):
    """Also in a row between two that have some, and where no row of a file has any."""
    kinds = {
        "student_top_ids": np.int32,
        "student_top_logps": np.float16,
        "teacher_top_ids": np.int32,
        "teacher_top_logps": np.float16,
    }
    known = {
        name: np.arange(10 * schema.TOP_ALTERNATIVES).reshape(10, -1).astype(kind)
        for name, kind in kinds.items()
    }
    for step, missing in ((0, [0, 3, 4, 9]), (10, range(10))):
        null = np.isin(np.arange(10), missing)
        masked = {
            name: np.ma.array(values, mask=np.repeat(null[:, None], values.shape[1], 1))
            for name, values in known.items()
        }
        RunWriter.reopen(run_path).append_probe("final", step, tokens(step) | masked)
        run = Run.open(run_path)
        trace = pd.concat([run.trace(step, i, "final") for i in (0, 1)])
        for name in ("student_top_ids", "student_top_logps"):
            assert trace[name].isna().tolist() == null.tolist()
            assert [a.tolist() for a in trace[name][~null]] == known[name][~null].tolist()
    assert trace.teacher_top_ids.isna().tolist() == [i in (0, 3, 4, 9) for i in range(10)], (
        "the teacher's are written once"
    )


@settings(deadline=None, max_examples=40)
@given(ids=st.lists(st.integers(0, 6), min_size=1, max_size=60), seed=st.integers(0, 1000))
def test_type_sums_add_up_to_the_occurrences(ids, seed):
    rng = np.random.default_rng(seed)
    columns = {
        "token_id": np.array(ids),
        **{
            c: rng.gamma(0.3, 1.0, len(ids)).astype(np.float32)
            for c in ("kl", "sampled_loss", "grad_norm")
        },
    }
    sums = type_sums(7, columns)
    assert sums["n"].sum() == len(ids)
    assert np.isclose(sums["kl_sum"].sum(), columns["kl"].sum(dtype=np.float64))
    assert [sum(h) for h in sums["kl_histogram"]] == sums["n"].tolist()
    for i, v in enumerate(sums["token_id"]):
        own = columns["kl"][columns["token_id"] == v].astype(np.float64)
        assert np.isclose(sums["kl_sq_sum"][i], (own**2).sum())
        edges = np.concatenate(([-np.inf], schema.KL_EDGES, [np.inf]))
        assert sums["kl_histogram"][i].tolist() == np.histogram(own, edges)[0].tolist()


def test_accuracy_comes_with_its_wilson_interval(run_path):
    row = Run.open(run_path).evals().set_index("decoding").loc["greedy"]
    want = binomtest(1, 2).proportion_ci(method="wilson")
    assert (row.n, row.correct, row.accuracy, row.low, row.high) == (2, 1, 0.5, want.low, want.high)


def test_the_fingerprint_changes_with_any_file_and_only_then(run_path):
    run = Run.open(run_path)
    before = run.fingerprint()
    assert Run.open(run_path).fingerprint() == before
    RunWriter.reopen(run_path).append("tokens", 20, tokens(20))
    assert run.fingerprint() != before


def test_an_unfinished_temporary_file_is_not_seen(run_path):
    (run_path / "tokens" / ".step=000020.parquet.123.tmp").write_bytes(b"half")
    assert Run.open(run_path).steps() == [0, 10]


def test_a_new_run_does_not_mix_with_files_that_are_there(run_path):
    with pytest.raises(RunExists, match="--resume"):
        RunWriter.create(run_path, meta(), VOCAB)


def test_an_empty_run_answers_with_empty_frames(tmp_path):
    RunWriter.create(tmp_path / "r", meta(), VOCAB)
    run = Run.open(tmp_path / "r")
    assert (
        run.steps() == []
        and run.metrics().empty
        and run.evals().empty
        and run.rollouts(probe_set="first").empty
    )
    assert list(run.metrics().columns) == list(schema.METRICS)
    with pytest.raises(RunNotFound, match="none is logged"):
        run.types(0)


def damage(path: Path, how: str) -> None:
    match how:
        case "missing":
            shutil.rmtree(path)
        case "empty":
            shutil.rmtree(path)
            path.mkdir()
        case "a file":
            shutil.rmtree(path)
            path.write_text("x")
        case "half-written":
            (path / "run.json").unlink()
        case "no vocabulary":
            (path / "vocab.parquet").unlink()
        case "not json":
            (path / "run.json").write_text('{"name": ')
        case "not utf-8":
            (path / "run.json").write_bytes(b'{"name": "\xff"}')
        case "other version":
            data = json.loads((path / "run.json").read_text())
            (path / "run.json").write_text(json.dumps({**data, "schema_version": 99}))
        case "cut file":
            file = path / "tokens" / "step=000010.parquet"
            file.write_bytes(file.read_bytes()[:-20])
        case "lacks a column":
            file = path / "tokens" / "step=000010.parquet"
            pq.write_table(pq.read_table(file).drop_columns(["kl"]), file)


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ("missing", RunNotFound, "missing.*rockcore train"),
        ("empty", RunNotFound, "empty.*rockcore train"),
        ("a file", RunNotFound, "is a file"),
        ("half-written", DamagedRun, "half-written.*run.json"),
        ("no vocabulary", DamagedRun, "vocab.parquet"),
        ("not json", DamagedRun, "run.json is not JSON"),
        ("not utf-8", DamagedRun, "run.json is not JSON"),
        ("other version", SchemaMismatch, "version 99.*reads 1"),
        ("cut file", DamagedRun, "step=000010.parquet.*delete it"),
        ("lacks a column", DamagedRun, "step=000010.parquet has no column 'kl'.*import"),
    ],
)
def test_a_folder_that_is_no_whole_run_says_which_file_what_is_wrong_and_what_to_do(
    run_path, how, error, says
):
    damage(run_path, how)
    with pytest.raises(error, match=f"(?s){says}"):
        Run.open(run_path)


def test_a_folder_name_with_an_equals_sign_adds_and_changes_no_column(run_path, tmp_path):
    """DuckDB would read columns out of such a path if it were allowed to."""
    for name in ("step=3", "kl=0.5", "seed=1"):
        shutil.copytree(run_path, tmp_path / name / "r")
        frame = Run.open(tmp_path / name / "r").trace(10, 1)
        assert set(frame.step) == {10} and frame.kl.dtype == np.float32 and "seed" not in frame


def test_a_copy_of_a_file_beside_it_is_not_looked_at(run_path):
    shutil.copy(
        run_path / "tokens" / "step=000010.parquet", run_path / "tokens" / "step=000010 (1).parquet"
    )
    assert Run.open(run_path).steps() == [0, 10]


def test_files_that_a_resumed_run_drops_while_someone_reads_do_no_harm(run_path, monkeypatch):
    run = Run.open(run_path)
    gone = run_path / "tokens" / "step=000010.parquet"
    files = Run._files
    monkeypatch.setattr(
        Run,
        "_files",
        lambda self, table: [*files(self, table), gone.with_name("step=000099.parquet")],
    )
    assert Run.open(run_path).fingerprint() == run.fingerprint()


def test_an_id_without_text_is_named(run_path):
    columns = tokens(20)
    columns["token_id"][0] = 77
    RunWriter.reopen(run_path).append("tokens", 20, columns)
    with pytest.raises(DamagedRun, match="77"):
        Run.open(run_path).types(20)


def test_a_file_that_cannot_be_written_leaves_the_rest_whole(run_path):
    (run_path / "tokens").rename(run_path / "kept")
    (run_path / "tokens").write_text("in the way")
    with pytest.raises(LogWriteError, match="step=000030.*--resume"):
        RunWriter.reopen(run_path).append("tokens", 30, tokens(30))
    (run_path / "tokens").unlink()
    (run_path / "kept").rename(run_path / "tokens")
    assert Run.open(run_path).steps() == [0, 10]


def _write_steps(path: Path, steps: range) -> None:
    writer = RunWriter.reopen(path)
    for step in steps:
        writer.append("tokens", step, tokens(step))


def test_two_processes_write_one_run_while_a_third_reads_it(run_path):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_write_steps, args=(run_path, range(start, 200, 2)))
        for start in (100, 101)
    ]
    for w in writers:
        w.start()
    seen = 0
    while any(w.is_alive() for w in writers):
        run = Run.open(run_path)
        for step in run.steps("types")[-3:]:
            assert run.types(step).n.sum() == 10
            seen += 1
    for w in writers:
        w.join()
        assert w.exitcode == 0
    assert Run.open(run_path).steps() == [0, 10, *range(100, 200)] and seen > 0


def test_runs_are_found_in_a_place_or_just_below_it(run_path):
    assert find_runs([run_path]) == find_runs([run_path.parent]) == [run_path.resolve()]
    assert find_runs([run_path / "nothing here"]) == []
