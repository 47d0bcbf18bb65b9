"""What run.json may say: a contradiction is refused by its field, what is merely unusual opens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_logs import meta

from rockcore.log import Run, RunWriter, find_runs, sample_runs
from rockcore.schema import DamagedRun, RockError, RunMeta, RunNotFound

BEYOND: dict[str, list[Any]] = {
    "name": ["a\0b", "x" * 5000],
    "student": ["", "a\0b", "x" * 200_000, "\udfff"],
    "teacher": ["", "x" * 5000],
    "tokenizer_hash": [""],
    "vocab_size": [-1, 2**31, 2**70],
    "estimator": ["", "half", "FULL"],
    "temperature": [-1, -0.5],
    "top_p": [0, 1.01, -1],
    "max_new_tokens": [-1],
    "seed": [-1],
    "steps_planned": [-1, 2**64],
    "status": ["", "done", "Finished"],
    "threads": [-1],
    "dtype": ["", "int8"],
    "origin": ["x" * 100_000, "\0"],
}
UNUSUAL: dict[str, list[Any]] = {
    "name": ["", "日本語", "a\nb", "\x1b[2J", "x" * 4096],
    "student": ["org/model", "C:\\models\\s"],
    "objective": ["forward_kl"],
    "normaliser": ["sequences"],
    "temperature": [0, 2, 1e-9],
    "top_p": [1, 1e-9],
    "steps_planned": [0, 10**9],
    "started": ["", "2026-01-02T12:00:00Z"],
    "config": [{}, {"x": [None, {"y": 1e300}]}],
}


def written(run: Path, **changes: Any) -> None:
    data = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**data, **changes}))


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BEYOND.items() for v in vs])
def test_a_field_beyond_its_range_is_named_and_cut_short(name, value, run_path):
    written(run_path, **{name: value})
    with pytest.raises(DamagedRun, match=f"run.json: {name} is .*, not ") as caught:
        Run.open(run_path)
    said = str(caught.value)
    assert len(said) < 600 and said.count(". ") >= 2 and said.replace("…", "").isascii()


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in UNUSUAL.items() for v in vs])
def test_what_is_merely_unusual_opens(name, value, run_path):
    written(run_path, **{name: value})
    assert getattr(Run.open(run_path).meta, name) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": 1, "name": 2, "schema_version": 1}', "the key 'name' stands there twice"),
        ('{"schema_version": 1, "config": {"a": 1, "a": 1}}', "the key 'a' stands there twice"),
        ('{"schema_version": NaN}', "NaN is no number"),
        ('{"schema_version": 1, "config": {"lr": -Infinity}}', "-Infinity is no number"),
        ('{"schema_version": 1, "config": {"lr": 1e999}}', "1e999 is beyond"),
        ("[" * 100_000, "brackets within brackets"),
        ('{"a":' * 100_000, "brackets within brackets"),
        ('{"schema_version": ' + "9" * 5000 + "}", "not JSON"),
        ("", "not JSON"),
        ("\0" * 100, "not JSON"),
        ("[]", "no schema_version"),
        ("null", "no schema_version"),
        ('"text"', "no schema_version"),
    ],
)
def test_what_is_no_such_object_says_why(text, said, run_path):
    (run_path / "run.json").write_text(text)
    with pytest.raises(DamagedRun, match="run.json") as caught:
        Run.open(run_path)
    assert said in str(caught.value) and len(str(caught.value)) < 600


def test_a_byte_order_mark_is_no_damage(run_path):
    text = (run_path / "run.json").read_bytes()
    (run_path / "run.json").write_bytes(b"\xef\xbb\xbf" + text)
    assert Run.open(run_path).meta == meta()


def test_a_huge_file_is_not_read_to_its_end(run_path):
    with (run_path / "run.json").open("wb") as file:
        file.truncate(2**40)  # a hole: a terabyte that takes no space
    with pytest.raises(DamagedRun, match=r"run.json is larger than 16,777,216 bytes"):
        Run.open(run_path)


@pytest.mark.parametrize("run", ["habit", "hidden", "skill"])
def test_the_sample_runs_say_what_is_read_back(run):
    file = sample_runs() / run / "run.json"
    found = RunMeta.from_json(file.read_bytes(), file)
    assert RunMeta.from_json(found.to_json(), file) == found


def test_whatever_ended_a_run_can_be_written_and_read(run_path):
    writer = RunWriter.reopen(run_path)
    for reason in ("x" * 10**6, "a\0b", "\ud800", "first\nsecond \x1b[2J"):
        writer.save_meta(status="failed", reason=reason)
        assert Run.open(run_path).meta.status == "failed"
    assert Run.open(run_path).meta == replace(writer.meta)


# Where a run lies.


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "y/" * 3000, "\udc80"])
def test_a_path_that_can_be_none_is_an_error_a_user_can_act_on(name, tmp_path):
    for path in (tmp_path / name, tmp_path / name / "deeper"):
        with pytest.raises(RockError) as caught:
            Run.open(path)
        str(caught.value).encode()
        assert find_runs([path]) == []


def test_a_run_whose_folder_is_no_text_is_refused_by_name(run_path, tmp_path):
    path = tmp_path / "r\udc80"  # the byte 80, which is no UTF-8
    run_path.rename(path)
    with pytest.raises(DamagedRun, match=r"r\\udc80' is not UTF-8"):
        Run.open(path)
    assert find_runs([tmp_path]) == [path]


def test_places_that_lead_nowhere_hold_no_run(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "lost").symlink_to(tmp_path / "nothing")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "file").write_text("")
    assert find_runs([tmp_path, *tmp_path.iterdir()]) == []
    with pytest.raises(RunNotFound):
        Run.open(tmp_path / "lost")
    with pytest.raises(RockError):
        Run.open(tmp_path / "loop")
