"""The log on disk: what is written is read back, what is damaged is named, and processes do not
disturb each other.
"""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write_tiny_run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from small_logs import VOCAB, meta, tokens

from rockcore import schema
from rockcore.cli import main
from rockcore.log import Run, RunWriter, duck, find_runs, sample_runs
from rockcore.log.files import table_file, table_files
from rockcore.log.writer import RunExists, type_sums
from rockcore.rocks import detect
from rockcore.schema import DamagedRun, LogWriteError, RunNotFound, SchemaMismatch, Texts


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


@pytest.mark.parametrize("texts", [Texts.FRESH, Texts.FINAL])
def test_the_sums_of_one_step_are_those_of_all_steps_at_it(texts: Texts) -> None:
    run = Run.open(sample_runs() / "habit")
    every, last = run.type_sums(texts.table), run.steps(texts.table)[-1]
    there = every[every.step == last].set_index("token_id")
    found = run.type_sums(texts.table, last).set_index("token_id")
    assert len(there) and found.n.equals(there.n)
    np.testing.assert_allclose(found.kl_sum, there.kl_sum, rtol=1e-12)


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


@pytest.mark.parametrize("known", [True, False])
def test_what_a_trainer_cannot_tell_is_null_and_the_rest_is_summed(known):
    ids, sampled = np.array([3, 3, 5]), np.array([0.5, -0.25, 1.0])
    tokens = {"token_id": ids, "sampled_loss": sampled}
    if known:
        tokens["kl"] = np.array([0.1, np.nan, 2.0])
    sums = type_sums(0, tokens)
    assert sums["sampled_loss_sum"].tolist() == [0.25, 1.0]
    assert np.isnan(sums["kl_sum"]).tolist() == [True, not known]
    assert sums["kl_histogram"].sum(1).tolist() == ([1, 1] if known else [0, 0])


def test_a_log_of_nothing_but_tokens_opens(tmp_path):
    path = write_tiny_run(tmp_path / "bare")
    for file in (*path.glob("tokens/*"), *path.glob("probe/*/step=*")):
        kept = [c for c in pq.read_schema(file).names if not schema.PROBE.get(c, _WEIGHT).optional]
        pq.write_table(pq.read_table(file, columns=kept), file)
    for file in path.glob("probe/*/teacher.parquet"):
        file.unlink()
    run = Run.open(path)
    assert np.isnan(run.values("tokens", run.steps()[0], "kl")).all()
    for probe_set in (None, "first"):
        trace = run.trace(run.steps()[-1], 0, probe_set)
        assert trace.kl.isna().all() and trace.token.notna().all()
    assert trace.teacher_top_ids.isna().all() and trace.student_top_logps.isna().all()


_WEIGHT = schema.TOKENS["weight"]


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
            pq.write_table(pq.read_table(file).drop_columns(["token_id"]), file)


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
        ("lacks a column", DamagedRun, "step=000010.parquet has no column 'token_id'.*import"),
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


@pytest.fixture
def dropping(tmp_path: Path) -> Path:
    """A run whose listing still names a step that is gone: what a reader meets while a run that
    goes on drops its last steps.
    """
    path = write_tiny_run(tmp_path / "r")
    for folder in {file.parent for file in path.rglob("step=*.parquet")}:
        (folder / "step=000099.parquet").symlink_to("nowhere")
    return path


QUESTIONS: dict[str, Callable[[Run], Any]] = {
    "age": Run.age_s,
    "fingerprint": Run.fingerprint,
    "metrics": Run.metrics,
    "evals": Run.evals,
    "sums": Run.type_sums,
    "sums of probes": lambda run: run.type_sums("probe/final"),
    "means": lambda run: run.type_means("tokens").groupby(["step", "token_id"]).first(),
    "quantiles": lambda run: run.quantiles("kl", [0.5]),
    "histogram": lambda run: run.histogram("kl", [0.1, 1]),
    "probe ids": lambda run: run.probe_ids("first"),
    "one text": lambda run: run.positions("first", 0),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_step_that_is_dropped_while_someone_asks_is_left_out(question, dropping, tmp_path):
    ask = QUESTIONS[question]
    found = ask(Run.open(dropping))
    if question == "age":
        assert 0 <= found < 3600
    elif question == "fingerprint":
        for file in dropping.rglob("step=000099.parquet"):
            file.unlink()
        assert found == ask(Run.open(dropping))
    else:
        want = ask(Run.open(write_tiny_run(tmp_path / "same")))
        assert found.equals(want) if isinstance(found, pd.DataFrame) else found == want


def test_a_dropped_step_and_a_vanished_run_are_named_when_they_are_asked_for(dropping):
    run = Run.open(dropping)
    with pytest.raises(RunNotFound, match="step 99"):
        run.trace(99, 0, "final")
    steps, values_ST = run.over_steps(0, "first")
    assert steps[-1] == 99 and np.isnan(values_ST[-1]).all() and np.isfinite(values_ST[:-1]).all()
    shutil.rmtree(dropping)
    for ask in (Run.age_s, lambda run: run.types(0), lambda run: run.vocab):
        with pytest.raises(RunNotFound):
            ask(run)
    assert run.steps() == [] and run.metrics().empty


ODD = ("run[1]", "run?", "ru*", "**", "[!r]un", "a'b", "$files", "{a,b}", "[", "]", "~", "a b;--")


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("above", [False, True], ids=["the run's folder", "a folder above it"])
def test_a_run_is_itself_whatever_its_folder_is_called(name, above, tmp_path, capsys):
    """DuckDB takes a path for a pattern: it would read the neighbours that fit it."""

    def place(name: str) -> Path:
        return tmp_path / name / "r" if above else tmp_path / name

    write_tiny_run(tmp_path / "elsewhere", seed=1)
    for seed, neighbour in enumerate(("run1", "run2", "rum", "files"), 2):
        write_tiny_run(place(neighbour), seed=seed)
    place(name).parent.mkdir(exist_ok=True)
    shutil.copytree(tmp_path / "elsewhere", place(name))
    run, want = Run.open(place(name)), Run.open(tmp_path / "elsewhere")
    assert run.vocab.equals(want.vocab) and run.metrics().equals(want.metrics())
    assert run.types(10).equals(want.types(10)) and run.type_sums().equals(want.type_sums())
    assert run.trace(10, 1, "final").equals(want.trace(10, 1, "final"))
    assert run.rollouts(probe_set="first").equals(want.rollouts(probe_set="first"))
    assert run.probe_ids("final") == want.probe_ids("final")
    assert run.histogram("kl", [0.1, 1]) == want.histogram("kl", [0.1, 1])
    assert find_runs([place(name)]) == [place(name).resolve()]
    assert place(name).resolve() in find_runs([place(name).parent])
    found = [rocks_of(path, capsys) for path in (place(name), want.path)]
    assert found[0] == found[1] and found[0]


def rocks_of(path: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    main(["rocks", str(path), "--json"])
    return json.loads(capsys.readouterr().out)["tokens"]


def test_a_relative_path_is_a_path_and_not_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("~", "file:", "s3:"):
        write_tiny_run(Path(name))
        run = Run.open(name)
        assert len(run.vocab) and len(run.metrics()) == 3
        assert detect(run).steps == (0, 10, 20)


def test_a_path_that_duckdb_cannot_be_told_is_refused_by_name(tmp_path):
    run = Run.open(write_tiny_run(tmp_path / "a\\b[1]"))
    with pytest.raises(DamagedRun, match="backslash.*Rename"):
        run.metrics()


def test_a_question_that_needs_too_much_memory_says_so(run_path):
    """Nothing is said of a damaged file, and DuckDB may not take all that the machine has."""
    file = table_file(run_path, "tokens", 0)
    limit = duck.ask("SELECT current_setting('memory_limit') AS v, $files", [file]).v[0]
    whole = duckdb.connect().sql("SELECT current_setting('memory_limit')").fetchall()[0][0]
    (half, unit), (most, same) = limit.split(), whole.split()
    assert unit == same and float(half) == pytest.approx(float(most) / 0.8 / 2, rel=0.02)
    with duck._connection().cursor() as cursor:
        cursor.execute("SET memory_limit = '30MB'; SET max_temp_directory_size = '0KB'")
        try:
            with pytest.raises(duck.OutOfMemory, match="memory.*half.*fewer"):
                duck.ask("SELECT list(i), any_value($files) FROM range(20_000_000) t(i)", [file])
        finally:
            cursor.execute(f"SET memory_limit = '{half}{unit}'; RESET max_temp_directory_size")


def test_an_id_without_text_is_named(run_path):
    columns = tokens(20)
    columns["token_id"][0] = 77
    RunWriter.reopen(run_path).append("tokens", 20, columns)
    with pytest.raises(DamagedRun, match="77"):
        Run.open(run_path).types(20)


def test_a_file_that_cannot_be_written_leaves_the_rest_whole(run_path):
    writer = RunWriter.reopen(run_path)
    (run_path / "tokens").rename(run_path / "kept")
    (run_path / "tokens").write_text("in the way")
    with pytest.raises(LogWriteError, match="step=000030.*--resume"):
        writer.append("tokens", 30, tokens(30))
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


# The table of tables.


def test_every_file_that_is_written_is_one_of_the_table_and_every_table_is_found(tmp_path):
    path = write_tiny_run(tmp_path / "r")
    written = {str(f.relative_to(path)) for f in path.rglob("*.parquet")}
    listed = {str(f.relative_to(path)) for name in schema.TABLES for f in table_files(path, name)}
    assert written == listed
    run = Run.open(path)
    assert {name for name, t in schema.TABLES.items() if t.per_step and run.steps(name)} == {
        str(f.parent.relative_to(path)) for f in path.rglob("step=*.parquet")
    }


@pytest.mark.parametrize("table", schema.TABLES)
def test_a_damaged_file_of_any_table_is_named_on_opening(table, tmp_path):
    path, of = write_tiny_run(tmp_path / "r"), schema.TABLES[table]
    file = path / of.file(10 if of.per_step else None)
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"other": [1]}), file)
    with pytest.raises(DamagedRun, match=f"{file.name} has no column"):
        Run.open(path)


@pytest.mark.parametrize("table", [n for n, t in schema.TABLES.items() if not t.required])
def test_a_run_opens_without_any_table_but_the_vocabulary(table, tmp_path):
    path = write_tiny_run(tmp_path / "r")
    for file in table_files(path, table):
        file.unlink()
    run = Run.open(path)
    assert not schema.TABLES[table].per_step or run.steps(table) == []


@given(step=st.integers(0, 10**12))
def test_a_step_is_read_off_the_name_that_is_made_of_it_and_of_no_other(step):
    table = schema.TABLES["probe/final"]
    name = table.file(step).rpartition("/")[2]
    assert table.step_of(name) == step
    for other in (f"step=0{step:06d}.parquet", f"{name}.tmp", f".{name}", f"step=+{step}.parquet"):
        assert table.step_of(other) is None


def test_a_resumed_run_keeps_what_was_written_before_and_drops_what_is_of_its_close(tmp_path):
    path = write_tiny_run(tmp_path / "r")
    for table in ("gradients/first", "gradients/final"):
        for step in (0, 10):
            (path / table).mkdir(parents=True, exist_ok=True)
            table_file(path, table, step).touch()
        table_file(path, f"{table}/exact").touch()
    writer = RunWriter(path, meta())
    writer.drop_from(10)
    left = {str(f.relative_to(path)) for f in path.rglob("*.parquet")}
    assert {f for f in left if "step=" in f} == {
        f"{table}/step=000000.parquet"
        for table in (
            *("metrics", "rollouts", "tokens", "types", "evals", "probe/first", "gradients/first"),
        )
    }
    assert {f for f in left if "step=" not in f} == {
        *("vocab.parquet", "probe/first/rollouts.parquet", "probe/first/teacher.parquet"),
    }


# What run.json says.

WRONG = {
    "name": [5, None, ["a"], "\ud800"],
    "estimator": [["full"], None],
    "vocab_size": ["640", True, 1.5, None],
    "seed": [False, "0", 2.0],
    "temperature": ["1", True, None, 10**400],
    "config": [None, [], "text", 0],
    "schema_version": [True, "1", 1.0, None],
    "started": [0, "yesterday"],
    "ended": [None, 0, "soon"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in WRONG.items() for v in vs])
def test_a_field_of_another_type_is_named(name, value, run_path):
    data = json.loads((run_path / "run.json").read_text())
    (run_path / "run.json").write_text(json.dumps({**data, name: value}))
    with pytest.raises(DamagedRun, match=f"run.json: {name} is .*not ") as caught:
        Run.open(run_path)
    assert str(caught.value).count(". ") >= 2


def test_every_field_has_a_type_that_is_checked(run_path):
    data = json.loads((run_path / "run.json").read_text())
    for name in data:
        (run_path / "run.json").write_text(json.dumps({**data, name: [[]]}))
        with pytest.raises(DamagedRun, match=f"{name} is "):
            Run.open(run_path)
    (run_path / "run.json").write_text(json.dumps({**data, "temperature": 1, "later": 0}))
    assert Run.open(run_path).meta.temperature == 1, "a whole number is a number"


@pytest.mark.parametrize("how", ["brackets", "folder", "loop"])
def test_a_run_json_that_is_no_such_file_is_damage_and_no_traceback(how, run_path):
    file = run_path / "run.json"
    file.unlink()
    if how == "brackets":
        file.write_text("[" * 100_000)
    elif how == "folder":
        file.mkdir()
    else:
        file.symlink_to(file)
    with pytest.raises(DamagedRun, match="run.json"):
        Run.open(run_path)


def test_the_end_of_a_run_is_dated_once_and_forgotten_when_it_goes_on(run_path):
    writer = RunWriter.reopen(run_path)
    assert writer.meta.status == "running" and Run.open(run_path).ended is None
    for status in ("finished", "running", "stopped", "running", "failed"):
        writer.save_meta(status=status)
        ended = Run.open(run_path).ended
        if status == "running":
            assert ended is None and writer.meta.ended == ""
        else:
            assert ended is not None
            assert abs(datetime.now(timezone.utc) - ended) < timedelta(minutes=1)
    noon = "2026-01-02T12:00:00+00:00"
    writer.save_meta(ended=noon)
    writer.save_meta(status="failed", name="other")
    assert Run.open(run_path).meta.ended == noon, "the end was then, whatever is corrected later"


def test_a_log_that_does_not_say_when_it_ended_opens(run_path):
    data = json.loads((run_path / "run.json").read_text())
    data.pop("ended")
    (run_path / "run.json").write_text(json.dumps({**data, "status": "finished"}))
    run = Run.open(run_path)
    assert run.meta.ended == "" and run.ended is None and run.age_s() >= 0


# The scale of a signal.


def logged(path: Path, table: str, steps: tuple[int, ...] = (0, 10, 20)) -> np.ndarray:
    """The kl of a table, as it stands in the files."""
    files = [table_file(path, table, step) for step in steps]
    return np.concatenate([pq.read_table(file)["kl"].to_numpy() for file in files])


@pytest.mark.parametrize("missing", ["no file", "no rows", "no value"])
def test_without_fresh_tokens_the_scale_comes_from_both_ends_of_each_probe_set(missing, tmp_path):
    path = write_tiny_run(tmp_path / "r")
    assert Run.open(path).quantiles("kl", [0.5])[0] == len(logged(path, "tokens"))
    for file in table_files(path, "tokens"):
        table = pq.read_table(file)
        if missing == "no file":
            file.unlink()
        elif missing == "no rows":
            pq.write_table(table.slice(0, 0), file)
        else:
            at, nan = table.column_names.index("kl"), np.full(len(table), np.nan, np.float32)
            pq.write_table(table.set_column(at, "kl", pa.array(nan)), file)
    run = Run.open(path)
    want = np.concatenate([logged(path, f"probe/{s}", (0, 20)) for s in schema.PROBE_SETS])
    n, (middle,) = run.quantiles("kl", [0.5])
    assert n == len(want) and middle == pytest.approx(np.median(want), rel=1e-6)
    edges = [0.01, 0.1, 1.0]
    assert run.histogram("kl", edges) == np.histogram(want, [-np.inf, *edges, np.inf])[0].tolist()
    other = Run.open(write_tiny_run(tmp_path / "other", seed=1))
    both = np.concatenate([want, logged(other.path, "tokens")])
    for a, b in ((run, other), (other, run)):
        n, (middle,) = a.quantiles("kl", [0.5], beside=b)
        assert n == len(both) and middle == pytest.approx(np.median(both), rel=1e-6)
    assert run.scale_texts("kl") == (Texts.FIRST, Texts.FINAL)
    assert other.scale_texts("kl") == (Texts.FRESH,)


def test_one_checkpoint_of_probe_texts_counts_once_and_no_text_has_no_scale(tmp_path):
    run = Run.open(write_tiny_run(tmp_path / "r", steps=(0,)))
    shutil.rmtree(run.path / "tokens")
    shutil.rmtree(run.path / "probe" / "final")
    n = len(logged(run.path, "probe/first", (0,)))
    assert run.quantiles("kl", [0.5])[0] == sum(run.histogram("kl", [0.1])) == n
    assert run.scale_texts("kl") == (Texts.FIRST,)
    shutil.rmtree(run.path / "probe")
    assert run.quantiles("kl", [0.5]) == (0, []) and run.histogram("kl", [0.1]) == [0, 0]
    assert run.scale_texts("kl") == ()
