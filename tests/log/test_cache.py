"""What was read of a long run is kept on disk for the next process, and whatever became of the run
or of what is kept, the answers are those of the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_logs import VOCAB, meta, tokens

from rockcore.log import Run, RunWriter, cache, checks, files, folders, grown, listing, passed
from rockcore.log.files import table_file, table_files
from rockcore.schema import DamagedRun

FEW, STEPS = 8, 14  # files that are not worth keeping, and more


def log(writer: RunWriter, step: int, seed: int = 0) -> None:
    values = tokens(step, seed=seed)
    writer.append("tokens", step, values)
    writer.append("metrics", step, conftest._metrics(step, values["kl"]))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of what is kept."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def writer(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunWriter:
    """Of a long run that was looked at once, by a process that has ended."""
    for room, name in ((grown, "_FEW"), (passed, "FEW"), (checks, "FEW")):
        monkeypatch.setattr(room, name, FEW)
    writer = RunWriter.create(tmp_path / "long", meta(status="running"), VOCAB)
    for step in range(STEPS):
        log(writer, step)
    next_process()
    answers(writer.path)
    next_process()
    return writer


def next_process() -> None:
    """Forget what a process knows."""
    for known in (grown._kept, passed._folders, listing._folders, checks._refused):
        known.clear()
    for known in (checks._checked, checks._vocabulary_ids, files._footer):
        known.cache_clear()


def answers(path: Path) -> dict[str, Any]:
    run = Run.open(path)
    return {
        "metrics": run.metrics(),
        "type_sums": run.type_sums(),
        "quantiles": run.quantiles("kl", [0.1, 0.5, 0.99]),
        "totals": run.rollout_totals("kl"),
        "holdings": run.holdings(),
    }


def assert_as_the_files_say(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """The answers to the last bit, beside those of a process that keeps nothing."""
    found = answers(path)
    with monkeypatch.context() as without:
        without.setenv(cache.FOLDER, "")
        next_process()
        expected = answers(path)
    for name, answer in expected.items():
        if isinstance(answer, pd.DataFrame):
            pd.testing.assert_frame_equal(found[name], answer, check_exact=True)
        else:
            assert found[name] == answer, name


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files of steps that are looked into from here on."""
    seen: list[str] = []
    open_, footer = checks.opened, folders.check_schema
    monkeypatch.setattr(checks, "opened", lambda f: (seen.append(f.name), open_(f))[1])
    monkeypatch.setattr(
        folders, "check_schema", lambda f, of: (seen.append(f.name), footer(f, of))[1]
    )
    return seen


def test_the_next_process_looks_into_no_file_of_a_step_again(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter
) -> None:
    seen = opened(monkeypatch)
    answers(writer.path)
    # the first step alone is asked which columns have values
    assert {name for name in seen if name.startswith("step=")} <= {"step=000000.parquet"}
    assert_as_the_files_say(monkeypatch, writer.path)
    assert len(set(seen)) > STEPS  # the other way does look into all


def test_of_a_run_still_in_training_the_next_process_looks_into_new_files_alone(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter
) -> None:
    log(writer, STEPS)
    seen = opened(monkeypatch)
    answers(writer.path)
    steps = {name for name in seen if name.startswith("step=")}
    assert steps <= {"step=000000.parquet", f"step={STEPS:06d}.parquet"}
    assert_as_the_files_say(monkeypatch, writer.path)


def edit(file: Path) -> None:
    table = pq.ParquetFile(file).read()
    at = table.column_names.index("kl")
    kl = pa.array(table["kl"].to_numpy() + np.float32(1), table["kl"].type)
    pq.write_table(table.set_column(at, "kl", kl), file)


def swap(file: Path) -> None:
    """Another file with the same size and time."""
    before, other = file.stat(), file.with_name("other")
    whole = bytearray(file.read_bytes())
    table = pq.ParquetFile(file).read()
    kl = table["kl"].to_numpy().tobytes()
    at = bytes(whole).find(kl)
    if at >= 0:
        whole[at : at + len(kl)] = (table["kl"].to_numpy() + np.float32(1)).tobytes()
    other.write_bytes(whole)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, file)


def plain(file: Path) -> None:
    """As other programs write: the values as they are."""
    table = pq.ParquetFile(file).read()
    pq.write_table(table, file, compression="none", use_dictionary=False)


@pytest.mark.parametrize("step", [0, STEPS // 2, STEPS - 1])
@pytest.mark.parametrize("what", ["edited", "swapped", "deleted"])
def test_a_file_that_has_changed_meanwhile_is_read_again(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter, what: str, step: int
) -> None:
    file = table_file(writer.path, "tokens", step)
    if what == "swapped":
        plain(file)
        answers(writer.path)
        next_process()
    before = answers(writer.path)["quantiles"]
    next_process()
    {"edited": edit, "swapped": swap, "deleted": os.unlink}[what](file)
    assert answers(writer.path)["quantiles"] != before
    next_process()
    assert_as_the_files_say(monkeypatch, writer.path)


def test_steps_that_a_resumed_run_writes_again_are_read_again(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter
) -> None:
    writer.drop_from(STEPS - 5)
    for step in range(STEPS - 5, STEPS + 1):
        log(writer, step, seed=1)
    assert_as_the_files_say(monkeypatch, writer.path)


def test_the_same_path_with_another_run_is_read_anew(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter
) -> None:
    for table in ("tokens", "metrics", "types"):
        for file in table_files(writer.path, table):
            file.unlink()
    for step in range(STEPS + 3):
        log(writer, step, seed=7)
    assert_as_the_files_say(monkeypatch, writer.path)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut short": lambda whole: whole[: len(whole) // 2],
    "other bytes": lambda whole: b"no Parquet at all",
    "a page that was hit": lambda whole: whole[:40] + bytes([whole[40] ^ 255]) + whole[41:],
}


@pytest.mark.parametrize("how", DAMAGES)
def test_what_is_damaged_is_made_anew_without_a_word(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter, place: Path, how: str
) -> None:
    for file in place.iterdir():
        file.write_bytes(DAMAGES[how](file.read_bytes()))
    assert_as_the_files_say(monkeypatch, writer.path)
    next_process()
    seen = opened(monkeypatch)
    answers(writer.path)
    assert {name for name in seen if name.startswith("step=")} <= {"step=000000.parquet"}


def test_a_vocabulary_that_has_lost_an_id_is_noticed_though_all_files_had_passed(
    writer: RunWriter,
) -> None:
    file = table_file(writer.path, "vocab")
    table = pq.ParquetFile(file).read()
    pq.write_table(table.slice(0, 1), file)
    with pytest.raises(DamagedRun, match=r"vocab\.parquet lacks"):
        Run.open(writer.path).quantiles("kl", [0.5])


def test_what_was_not_used_for_longest_goes_first(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    table = pa.table({"x": np.random.default_rng(0).random(1000)})
    cache.keep(cache.Kept(table, {}), "a")
    one = next(place.iterdir()).stat().st_size
    monkeypatch.setattr(cache, "MOST_BYTES", max(4 * table.nbytes, 3 * one + one // 2))
    room = cache.MOST_BYTES // one
    for n in range(room):
        cache.keep(cache.Kept(table, {"n": n}), f"b{n}")
        assert cache.load("a")  # which makes it young
        for file in place.iterdir():
            os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**9))
    assert cache.load("a") and not cache.load("b0") and cache.load(f"b{room - 1}")
    assert sum(file.stat().st_size for file in place.iterdir()) <= cache.MOST_BYTES


def test_where_nothing_can_be_kept_all_is_read_as_ever(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "a file" / "kept"))
    assert_as_the_files_say(monkeypatch, writer.path)


def test_of_a_short_run_nothing_is_kept(place: Path, tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "short", meta(), VOCAB)
    for step in range(3):
        log(writer, step)
    answers(writer.path)
    assert not place.exists()


def test_rows_out_of_order_are_sorted_as_ever(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter
) -> None:
    file = table_file(writer.path, "types", 3)
    table = pq.ParquetFile(file).read()
    pq.write_table(table.take(list(range(len(table)))[::-1]), file)
    found = answers(writer.path)["type_sums"]
    assert found.equals(found.sort_values(["step", "token_id"], ignore_index=True))
    assert_as_the_files_say(monkeypatch, writer.path)
