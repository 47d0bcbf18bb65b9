"""What the files of a log hold is checked before it is believed: whatever contradicts the contract
is refused by its name, when it is first read and not before.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import write_tiny_run

from rockcore import schema
from rockcore.log import Run, RunWriter, checks, contents, duck, sample_runs
from rockcore.log.checks import checked, read_columns
from rockcore.log.files import table_file, table_files
from rockcore.schema import DamagedRun
from rockcore.schema.places import place_of

SAMPLE = sample_runs() / "habit"
ROCKCORE = Path(schema.__file__).parents[1]
TOKENS, TYPES = "tokens/step=000050.parquet", "types/step=000050.parquet"
METRICS, EVALS = "metrics/step=000050.parquet", "evals/step=000150.parquet"
PROBE, TEACHER = "probe/final/step=000150.parquet", "probe/final/teacher.parquet"
GRADIENTS, OPTIMIZER = "gradients/first/step=000000.parquet", "optimizer/step=000150.parquet"
ROLLOUTS = "rollouts/step=000050.parquet"

Edit = Callable[[pa.Table], pa.Table]


def put(name: str, value: Any, at: int = 0) -> Edit:
    def edit(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        values[at] = value(values[at]) if callable(value) else value
        place, kind = table.column_names.index(name), table.schema.field(name).type
        if pa.types.is_float16(kind):
            values = [None if v is None else np.float16(v) for v in values]
        return table.set_column(place, name, pa.array(values, kind))

    return edit


def every(name: str, value: Any) -> Edit:
    def edit(table: pa.Table) -> pa.Table:
        place, kind = table.column_names.index(name), table.schema.field(name).type
        return table.set_column(place, name, pa.array([value] * len(table), kind))

    return edit


def twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table.slice(0, 1)])


def without_second(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 1), table.slice(2)])


def empty(table: pa.Table) -> pa.Table:
    return table.slice(0, 0)


WRONG: dict[str, tuple[str, Edit, str]] = {
    "vocab: a row twice": ("vocab.parquet", twice, "1 of 641 rows twice, e.g. token_id 0"),
    "vocab: no id": ("vocab.parquet", put("token_id", None), "missing in 'token_id'"),
    "vocab: no text": ("vocab.parquet", put("token", None), "missing in 'token'"),
    "vocab: no word on special": ("vocab.parquet", put("special", None), "missing in 'special'"),
    "vocab: a negative id": ("vocab.parquet", put("token_id", -1), "below 0, e.g. -1"),
    "tokens: a row twice": (TOKENS, twice, "twice or not at all: rollout 0 has position 0"),
    "tokens: a row less": (TOKENS, without_second, "position 2 where 1 should stand"),
    "tokens: another step": (TOKENS, put("step", 99), "1 of .* of another step, e.g. 99"),
    "tokens: all of another step": (TOKENS, every("step", 0), "of another step, e.g. 0"),
    "tokens: no step": (TOKENS, put("step", None), "missing in 'step'"),
    "tokens: no id": (TOKENS, put("token_id", None), "missing in 'token_id'"),
    "tokens: an unknown id": (TOKENS, put("token_id", 640), r"vocab.parquet lacks.*\[640\]"),
    "tokens: a negative id": (TOKENS, put("token_id", -1), "below 0"),
    "tokens: a far position": (
        TOKENS,
        put("position", 2**31 - 1),
        "position 1 where 0 should stand",
    ),
    "tokens: infinite kl": (TOKENS, put("kl", np.inf), "1 of .* infinite in 'kl'"),
    "tokens: infinite loss": (TOKENS, put("sampled_loss", -np.inf), "infinite in 'sampled_loss'"),
    "types: infinite sum": (TYPES, put("kl_sum", -np.inf), "infinite in 'kl_sum'"),
    "types: of another step": (TYPES, every("step", 25), "of another step, e.g. 25"),
    "types: a row twice": (TYPES, twice, "twice, e.g. token_id"),
    "types: no occurrence": (TYPES, put("n", 0), "below 1"),
    "types: bins that miss some": (TYPES, put("n", lambda n: n + 1), "do not add up to n"),
    "types: a bin too few": (TYPES, put("kl_histogram", lambda h: h[1:]), "too short or too long"),
    "types: no bins": (TYPES, put("kl_histogram", None), "missing in 'kl_histogram'"),
    "types: an unknown bin": (TYPES, put("kl_histogram", lambda h: [None, *h[1:]]), "missing"),
    "types: an unknown id": (TYPES, put("token_id", 10**6, -1), "vocab.parquet lacks"),
    "metrics: two rows": (METRICS, twice, "2 rows instead of one"),
    "metrics: no row": (METRICS, empty, "0 rows instead of one"),
    "metrics: no step": (METRICS, put("step", None), "missing in 'step'"),
    "metrics: another step": (METRICS, put("step", 49), "of another step, e.g. 49"),
    "metrics: no rollouts": (METRICS, put("rollouts", None), "missing in 'rollouts'"),
    "metrics: fewer than none": (METRICS, put("tokens", -1), "below 0"),
    "metrics: infinite": (METRICS, put("kl_mean", np.inf), "infinite in 'kl_mean'"),
    "metrics: more than all": (METRICS, put("accuracy", 1.5), "above 1, e.g. 1.5"),
    "metrics: time runs back": (METRICS, put("student_s", -1.0), "below 0"),
    "evals: a row twice": (EVALS, twice, "twice, e.g. problem_id 0, decoding 'greedy'"),
    "evals: no outcome": (EVALS, put("correct", None), "missing in 'correct'"),
    "evals: an unknown way": (EVALS, put("decoding", "beam"), "'beam', which is none of greedy"),
    "evals: another step": (EVALS, put("step", 0), "of another step"),
    "rollouts: a row twice": (ROLLOUTS, twice, "twice, e.g. rollout_id 0"),
    "rollouts: no prompt": (ROLLOUTS, put("prompt", None), "missing in 'prompt'"),
    "rollouts: a negative one": (ROLLOUTS, put("rollout_id", -1), "below 0"),
    "probe: a row twice": (PROBE, twice, "twice or not at all"),
    "probe: another step": (PROBE, every("step", 0), "of another step, e.g. 0"),
    "probe: an alternative below 0": (PROBE, put("student_top_ids", [-1] * 8), "below 0"),
    "probe: no alternatives": (PROBE, put("student_top_ids", []), "too short"),
    "probe: unequal lists": (PROBE, put("student_top_logps", [-1.0]), "as long as .*student_top_i"),
    "teacher: no alternatives": (TEACHER, put("teacher_top_ids", []), "too short"),
    "teacher: null beside some": (TEACHER, put("teacher_top_logps", None), "as long as"),
    "teacher: an unknown one": (TEACHER, put("teacher_top_ids", [None] * 8), "missing"),
    "teacher: a row twice": (TEACHER, twice, "twice, e.g. rollout_id 0, position 0"),
    "gradients: fold 16": (GRADIENTS, put("fold", 16), "above 15, e.g. 16"),
    "gradients: a far fold": (GRADIENTS, put("fold", 2**31 - 1), "above 15"),
    "gradients: no rows": (GRADIENTS, empty, "has no rows"),
    "gradients: no direction": (GRADIENTS, put("direction", None), "missing in 'direction'"),
    "gradients: an odd direction": (GRADIENTS, put("direction", b"abc"), "directions of 3, "),
    "gradients: an empty one": (GRADIENTS, put("direction", b""), "directions of 0, "),
    "gradients: no directions": (GRADIENTS, every("direction", b""), "directions of 0 bytes"),
    "gradients: NaN in one": (
        GRADIENTS,
        put("direction", lambda d: b"\xff\xff" + d[2:]),
        "what is no number",
    ),
    "gradients: a row twice": (GRADIENTS, twice, "twice, e.g. token_id"),
    "gradients: NaN as scale": (GRADIENTS, put("scale", np.nan), "no numbers in 'scale'"),
    "optimizer: a row twice": (OPTIMIZER, twice, "twice"),
    "optimizer: an infinite moment": (OPTIMIZER, put("second_moment", np.inf), "infinite"),
}


def alone(file: str, folder: Path) -> Path:
    """A copy of the sample run that holds this file and its vocabulary."""
    for name in ("run.json", "vocab.parquet", file):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLE / name, folder / name)
    return folder / file


def whole(folder: Path) -> Path:
    """A copy of the sample run with a file of every table but `weights`."""
    shutil.copytree(SAMPLE, folder)
    at = {"rollout_id": [0, 0, 1], "position": [0, 1, 0], "token_id": [5, 6, 7]}
    norms = dict.fromkeys(("grad_norm", "proj_grad_norm", "exact_norm"), [1.0] * 3)
    writer = RunWriter.reopen(folder)
    writer.write_summed_texts(at)
    writer.write_exact("first", {**at, **norms, "step": [0] * 3})
    return folder


def rewrite(file: Path, edit: Edit) -> None:
    pq.write_table(edit(pq.ParquetFile(file).read()), file)


def refusal(file: Path) -> str:
    with pytest.raises(DamagedRun) as caught:
        checked(file)
    said = str(caught.value)
    assert str(file) in said and said.count(". ") >= 2 and said.endswith("."), said
    return said


@pytest.mark.parametrize("case", WRONG)
def test_contents_that_cannot_be_are_refused_by_the_name_of_their_file(case, tmp_path):
    name, edit, words = WRONG[case]
    file = alone(name, tmp_path)
    checked(file)
    rewrite(file, edit)
    assert re.search(words, refusal(file))


@pytest.mark.parametrize("run", ["habit", "hidden", "skill"])
def test_every_file_of_the_sample_runs_holds_what_it_should(run):
    files = [f for table in schema.TABLES for f in table_files(sample_runs() / run, table)]
    assert len(files) > 200 and all(map(checked, files))


@pytest.mark.parametrize("run", [{}, {"steps": ()}, {"steps": (0,)}])
def test_what_the_writer_writes_is_never_refused(run, tmp_path):
    path = write_tiny_run(tmp_path / "r", **run)
    assert all(checked(f) for table in schema.TABLES for f in table_files(path, table))


def test_rows_in_any_order_and_numbers_that_are_not_known_are_fine(tmp_path):
    file = alone(TOKENS, tmp_path)
    rng = np.random.default_rng(0)

    def shuffled(table: pa.Table) -> pa.Table:
        return table.take(rng.permutation(len(table)))

    rewrite(file, shuffled)
    for name in ("kl", "grad_norm", "sampled_loss"):
        rewrite(file, put(name, np.nan))
        rewrite(file, put(name, None, 1))
    assert checked(file)
    ids = alone("vocab.parquet", tmp_path)
    rewrite(ids, lambda table: shuffled(table).filter(pc.field("token_id") < 600))
    rewrite(file, every("token_id", 7))
    assert checked(file)


def test_opening_looks_at_no_file_that_nobody_asks_for(tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "r")
    rewrite(tmp_path / "r" / TOKENS, twice)
    run = Run.open(tmp_path / "r")
    assert len(run.metrics()) == 151 and run.types(25).n.sum() > 0
    with pytest.raises(DamagedRun, match="step=000050.parquet has rows twice"):
        run.rollout_sums(50)
    assert len(run.rollout_sums(25)) > 0


QUESTIONS: dict[str, Callable[[Run], Any]] = {
    "vocab": lambda run: run.vocab,
    "metrics": lambda run: run.metrics(),
    "evals": lambda run: run.evals(),
    "optimizer": lambda run: run.optimizer(150),
    "rollouts": lambda run: run.rollouts(50),
    "probe/final/rollouts": lambda run: run.rollouts(probe_set="final"),
    "gradients/first": lambda run: run.gradients("first", 0),
    "gradients/first/exact": lambda run: run.exact_gradients("first"),
    "gradients/first/texts": lambda run: run.summed_ids(),
    "types": lambda run: run.types(50),
    "types ": lambda run: run.type_sums(),
    "tokens": lambda run: run.type_sums_by_rollout(50),
    "tokens ": lambda run: run.type_means("tokens"),
    "tokens  ": lambda run: run.values("tokens", 50, "kl"),
    "tokens   ": lambda run: run.quantiles("kl", [0.5]),
    "tokens    ": lambda run: run.histogram("kl", [0.5]),
    "tokens     ": lambda run: run.rollout_sums(50),
    "tokens      ": lambda run: run.trace(50, 0),
    "probe/final": lambda run: run.type_sums("probe/final"),
    "probe/final ": lambda run: run.probe_ids("final"),
    "probe/final  ": lambda run: run.positions("final", 0),
    "probe/final   ": lambda run: run.over_steps(0, "final"),
    "probe/final/teacher": lambda run: run.trace(150, 0, "final"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_misses_a_damaged_file(question, tmp_path):
    run, table = Run.open(whole(tmp_path / "r")), question.strip()
    assert QUESTIONS[question](run) is not None
    run = Run.open(tmp_path / "r")
    for file in table_files(run.path, table):
        rewrite(file, lambda table: pa.concat_tables([table, table]))
    with pytest.raises(DamagedRun, match="rows"):
        QUESTIONS[question](run)


def test_parquet_is_read_through_the_check_alone():
    """What reads a file without it would believe anything."""
    reads = {
        (file.name, word)
        for file in ROCKCORE.rglob("*.py")
        for word in ("read_parquet", "ParquetFile(", "read_table(", "pq.read")
        # these read prompts and the exports of others, which are of no log
        if file.name != "prompts.py"
        and "importers" not in file.parts
        and word in file.read_text(encoding="utf-8")
    }
    assert reads == {
        ("duck.py", "read_parquet"),  # of files that went through `checked`
        ("checks.py", "ParquetFile("),
        ("cache.py", "ParquetFile("),  # rows that duck.py has read
        ("checks.py", "read_table("),
        ("screens.py", "read_table("),  # that of checks
        ("files.py", "pq.read"),  # the footer
        ("partial.py", "ParquetFile("),  # what a scan wrote itself
        ("scanned.py", "read_parquet"),  # as well
        ("source.py", "ParquetFile("),  # a log of a scan, which may lie elsewhere: looked at there
        ("source.py", "read_table("),
        ("source.py", "pq.read"),
    }


def test_a_file_is_looked_through_once_until_it_changes(tmp_path, monkeypatch):
    file, seen = alone(TYPES, tmp_path), []
    opened = checks.opened
    monkeypatch.setattr(checks, "opened", lambda path: (seen.append(path), opened(path))[1])
    for _ in range(3):
        duck.rows(schema.TYPES, [file])
    assert seen.count(file) == 1
    at, whole = os.stat(file), file.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(whole)
    os.utime(other, ns=(at.st_atime_ns, at.st_mtime_ns))
    os.replace(other, file)  # the same size, the same time, and another file
    checked(file)
    assert seen.count(file) == 2
    rewrite(file, twice)
    said = {refusal(file) for _ in range(3)}
    assert len(said) == 1 and seen.count(file) == 3, "a refusal is remembered, too"
    os.unlink(file)
    assert checked(file) == frozenset(), "a resumed run drops steps while someone asks"


LARGE = {
    "tokens": (TOKENS, put("kl", np.inf, 3), "infinite in 'kl'"),
    "key": (TOKENS, put("position", 3, 1), "position 2 where 1 should stand"),
    "step": (TOKENS, put("step", 3, 1), "of another step, e.g. 3"),
    "lists": (PROBE, put("student_top_logps", [-1.0]), "as long as"),
    "ids": (PROBE, put("student_top_ids", [-1] * 8), "below 0"),
}


@pytest.mark.parametrize("case", LARGE)
def test_large_files_are_checked_alike(case, tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "FEW", 0)
    name, edit, words = LARGE[case]
    file = alone(name, tmp_path)
    assert checked(file)
    rewrite(file, edit)
    assert re.search(words, refusal(file))


@pytest.mark.parametrize("run", ["habit", "hidden"])
def test_the_sample_runs_hold_as_large_files_too(run, tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "FEW", 0)
    shutil.copytree(sample_runs() / run, tmp_path / "r")  # not known yet
    for table in schema.TABLES:
        assert all(map(checked, table_files(tmp_path / "r", table)[:2]))


def test_any_number_of_equal_rows_is_refused_by_their_key(tmp_path):
    """Few bytes can hold more rows than memory does; their lists are never read."""
    file = alone(TYPES, tmp_path)
    rows = pq.ParquetFile(file).read().take([0] * 100_000)
    with pq.ParquetWriter(file, rows.schema, compression="zstd") as writer:
        for _ in range(30):
            writer.write_table(rows)
    assert "3000000 rows, and there are only 640 different ones by token_id" in refusal(file)
    (tmp_path / "vocab.parquet").unlink()
    file.touch()
    assert "2999999 of 3000000 rows twice" in refusal(file)


def test_a_file_is_asked_again_when_the_vocabulary_that_lacked_its_ids_is_mended(tmp_path):
    file = alone(TOKENS, tmp_path)
    vocab = tmp_path / "vocab.parquet"
    rewrite(vocab, lambda table: table.slice(0, 5))
    assert "vocab.parquet lacks" in refusal(file) == refusal(file)
    shutil.copy(SAMPLE / "vocab.parquet", vocab)
    assert checked(file)


def test_bytes_of_a_file_reach_no_terminal(tmp_path):
    file = alone(TYPES, tmp_path)
    whole = file.read_bytes()
    for at in range(len(whole) - 60, len(whole) - 8):
        file.write_bytes(whole[:at] + b"\x1b" + whole[at + 1 :])
        try:
            checked(file)
        except DamagedRun as e:
            assert str(e).replace("…", "").isprintable() and len(str(e)) < 1000


def test_read_columns_are_checked_and_come_in_the_order_of_the_rows(tmp_path):
    file = alone(TOKENS, tmp_path)
    rewrite(file, lambda table: table.take(list(range(len(table)))[::-1]))
    found = read_columns(file, ["position", "kl", "no such column"])
    assert list(found) == ["position", "kl"] and found["position"][-1] == 0
    rewrite(file, twice)
    with pytest.raises(DamagedRun):
        read_columns(file, ["kl"])


# Which table a file is of.


@pytest.mark.parametrize(
    "run", ["r", "probe/first", "comparison", "tokens", "gradients/final/probe"]
)
def test_a_file_is_of_the_table_whose_pattern_it_has_wherever_the_run_lies(run):
    for table in schema.TABLES.values():
        step = 7 if table.per_step else None
        for root in (Path("/runs") / run, Path(run), Path(".")):
            assert place_of(root / table.file(step)) == (root, table, step)
    for stranger in ("x.parquet", "tokens/step=7.parquet", "probe/first/x/step=000007.parquet"):
        with pytest.raises(ValueError):
            place_of(Path("/runs") / run / stranger)


# What is no file.


@pytest.mark.parametrize("what", ["pipe", "folder", "loop", "device"])
@pytest.mark.parametrize("name", ["run.json", "vocab.parquet", TOKENS, TEACHER, METRICS])
def test_what_is_no_regular_file_is_never_waited_for(name, what, tmp_path):
    file = alone(name, tmp_path)
    alone(PROBE, tmp_path)
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    elif what == "loop":
        file.symlink_to(file)
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(DamagedRun, match=re.escape(str(file))):
        Run.open(tmp_path)


@pytest.mark.parametrize("folder", ["probe", "probe/final", "tokens", "gradients", "metrics"])
@pytest.mark.parametrize("what", ["file", "device", "loop"])
def test_what_is_no_folder_in_the_place_of_one_is_named(folder, what, tmp_path):
    run = write_tiny_run(tmp_path / "r")
    shutil.rmtree(run / folder, ignore_errors=True)
    if what == "file":
        (run / folder).write_text("no folder")
    else:
        (run / folder).symlink_to("/dev/zero" if what == "device" else run / folder)
    with pytest.raises(DamagedRun, match=re.escape(str(run / folder))):
        Run.open(run)


def test_a_link_to_a_file_is_that_file(tmp_path):
    run = write_tiny_run(tmp_path / "r")
    file = run / "vocab.parquet"
    file.rename(tmp_path / "elsewhere.parquet")
    file.symlink_to(tmp_path / "elsewhere.parquet")
    assert len(Run.open(run).vocab) > 0


def test_strangers_beside_the_files_of_a_table_are_not_mixed_in(tmp_path):
    run = write_tiny_run(tmp_path / "r")
    for stranger in ("step=0", "step=00000", "step=0000010", "step=000010 (1)", "step=+00010"):
        shutil.copy(run / "tokens/step=000010.parquet", run / f"tokens/{stranger}.parquet")
    opened = Run.open(run)
    assert opened.steps() == [0, 10, 20]
    assert len(opened.type_means("tokens")) == len(
        Run.open(write_tiny_run(tmp_path / "b")).type_means("tokens")
    )


def test_two_columns_of_one_name_are_refused(tiny_run):
    file = table_file(tiny_run("twice"), "metrics", 10)
    table = pq.read_table(file)
    pq.write_table(table.append_column("step", table["step"]), file)
    with pytest.raises(DamagedRun, match="more than one column 'step'"):
        checked(file)
