"""The authors' files: every record at its place, fast and slowly the same, a pair as probes."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from authors_files import records, save_occurrences, trace
from hypothesis import given, settings
from hypothesis import strategies as st

from rockcore.importers import BadExport, Options, Report, format_named, import_run
from rockcore.importers.occurrences import read_records
from rockcore.importers.pickles import Machine
from rockcore.importers.recognise import files_of, recognise
from rockcore.log import Run

AUTHORS = format_named("rock-token")
LENGTHS = (40, 3, 700, 1, 512, 29)


def imported(files: list[Path], **options: Any) -> tuple[Run, Report]:
    out = files[0].parent / "run"
    report = import_run(AUTHORS, files, out, Options(**options))
    return Run.open(out), report


def of(found: list[dict[str, Any]], sample: int, field: str) -> list[Any]:
    return [r[field] for r in found if r["sample_idx"] == sample]


def test_each_record_is_at_its_place(tmp_path: Path):
    found = records(LENGTHS)
    run, report = imported([save_occurrences(tmp_path / "rock_token_occurrences_x.pt", found)])
    assert (report.texts, report.tokens, report.skipped) == (6, sum(LENGTHS), 0)
    for sample in range(6):
        shown = run.trace(0, sample)
        assert shown.token_id.tolist() == of(found, sample, "token_id")
        assert shown.kl.tolist() == pytest.approx(of(found, sample, "kl"))
    assert (run.meta.student, run.meta.teacher) == ("RockToken/student", "Qwen/teacher")
    assert (run.meta.estimator, run.meta.student_logps) == ("full", "absent")
    assert run.meta.config["student_key"] == "onpolicy"


def test_the_order_of_records_is_irrelevant(tmp_path: Path):
    found = records(LENGTHS)
    mixed = [found[i] for i in np.random.default_rng(1).permutation(len(found))]
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    runs = [
        imported([save_occurrences(tmp_path / name / "o.pt", each)])[0]
        for name, each in (("a", found), ("b", mixed))
    ]
    assert runs[0].trace(0, 2).equals(runs[1].trace(0, 2))


def columns(pickled: bytes) -> tuple[dict[str, list], int]:
    wanted = ("a", "kl", "n", "missing")
    _, found = read_records(Machine(pickled, "x"), "occurrences", wanted)
    return {name: column.tolist() for name, column in found.columns.items()}, found.fast


NUMBERS = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 255, 256, 65535, 65536, -1])
RECORD = st.fixed_dictionaries(
    {"a": NUMBERS, "kl": st.floats(), "flag": st.booleans(), "n": NUMBERS | st.floats()}
)
ODD = st.one_of(
    st.just({}),
    st.just(None),
    st.fixed_dictionaries({"a": st.just(2**40), "kl": st.text(), "n": st.none()}),
    st.fixed_dictionaries({"kl": st.floats(), "a": NUMBERS}),
)


@settings(max_examples=25, deadline=None)
@given(
    some=st.lists(RECORD, min_size=1, max_size=4),
    times=st.integers(1, 120),
    odd=st.lists(ODD, max_size=2),
    ahead=st.integers(0, 400),
    behind=st.booleans(),
)
def test_read_fast_and_slowly_they_are_the_same(
    some: list, times: int, odd: list, ahead: int, behind: bool
):
    some = [{name: r[name] for name in ("a", "kl", "flag", "n")} for r in some]
    found = [dict(r) for _ in range(times) for r in some] + odd + [dict(r) for r in some]
    head = {f"name {i}": [i] for i in range(ahead)}  # the keys' numbers in the memo grow with it
    value = {**head, "occurrences": found, **({"after": [1.5]} if behind else {})}
    fast, read = columns(pickle.dumps(value, 2))
    slow, walked = columns(pickle.dumps(value, 4))  # records have no number in that protocol
    assert walked == 0
    np.testing.assert_equal(fast, slow)
    assert np.isnan(fast["missing"]).all() and len(fast["a"]) == len(found)
    if times * len(some) > 300:
        assert read >= times * len(some) - 260


def test_bytes_of_a_number_that_look_like_a_record_do_not_mislead():
    """}r????( can stand within a float."""
    lies = [struct.unpack(">d", b"}r" + bytes([i, 1, 0, 0]) + b"(\x00")[0] for i in range(256)]
    found = [{"a": i, "kl": lies[i % 256], "n": 1} for i in range(2100)]
    fast, read = columns(pickle.dumps({"occurrences": found}, 2))
    slow, _ = columns(pickle.dumps({"occurrences": found}, 4))
    np.testing.assert_equal(fast, slow)


@pytest.mark.parametrize("window", [300, 1000, 4096])
def test_records_at_the_edge_of_a_window_are_read_once(window: int, monkeypatch):
    monkeypatch.setattr("rockcore.importers.occurrences._WINDOW", window)
    found = [{"a": i, "kl": i / 7, "n": i % 3} for i in range(3001)]
    fast, read = columns(pickle.dumps({"occurrences": found}, 2))
    assert fast["a"] == list(range(3001)) and read > 2500


def test_two_files_on_the_same_texts_become_probes(tmp_path: Path):
    before, after = records(LENGTHS), records(LENGTHS, seed=9)
    files = [
        save_occurrences(tmp_path / f"{name}.pt", found)
        for name, found in (("pre", before), ("post", after))
    ]
    with pytest.raises(BadExport, match="--steps"):
        imported(files)
    run, report = imported(files, steps=(0, 500))
    assert report.steps == [0, 500] and run.steps("probe/first") == [0, 500]
    for step, found in ((0, before), (500, after)):
        shown = run.trace(step, 4, "first")
        assert shown.token_id.tolist() == of(found, 4, "token_id")
        assert shown.kl.tolist() == pytest.approx(of(found, 4, "kl"))


def test_two_files_on_other_texts_are_two_steps_of_fresh_ones(tmp_path: Path):
    before, after = records(LENGTHS), records(LENGTHS)
    for record in after:
        record["token_id"] += 1
    files = [
        save_occurrences(tmp_path / f"{name}.pt", found)
        for name, found in (("pre", before), ("post", after))
    ]
    run, report = imported(files, steps=(0, 500))
    assert run.steps() == [0, 500] and run.steps("probe/first") == []
    assert report.texts == 12


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda r: r.pop(45), "do not count"),  # a token of text 2 is missing
        (lambda r: r.insert(45, dict(r[44])), "do not count"),  # and one is there twice
        (lambda r: r[50].update(token_id=-3), "ids from -3"),
        (lambda r: r[50].update(token_id=1.5), "no whole numbers"),
        (lambda r: r[50].update(kl=float("inf")), "infinite"),
        (lambda r: r[742].update(seq_len=9), None),  # only the first record of a text tells it
        (lambda r: [x.update(seq_len=999) for x in r[43:743]], "700 of 999"),
    ],
)
def test_a_text_that_is_not_whole_is_counted(change: Any, said: str | None, tmp_path: Path):
    found = records(LENGTHS)
    change(found)
    _, report = imported([save_occurrences(tmp_path / "x.pt", found)])
    assert report.skipped == (said is not None)
    assert said is None or said in str(report.errors[0])
    if said:
        assert str(report.errors[0]).startswith("x.pt, sample 2")


def test_kl_of_rocks_alone_is_refused(tmp_path: Path):
    found = [r for r in records(LENGTHS) if r["token_id"] % 3 == 0]
    with pytest.raises(BadExport, match="sample 0, abs_position"):
        imported([save_occurrences(tmp_path / "x.pt", found)])


def test_a_trace_is_one_text(tmp_path: Path):
    given_trace = trace(5)
    file = tmp_path / "trace_x.json"
    file.write_text(json.dumps(given_trace))
    assert recognise([tmp_path]).format.name == "rock-token"
    run, report = imported(files_of(AUTHORS, [tmp_path]))
    tokens = given_trace["baseline"]["tokens"]
    shown = run.trace(0, 0)
    gaps = [-t["logprob_gap"] for t in tokens]  # theirs is teacher less student
    assert shown.sampled_loss.tolist() == pytest.approx(gaps, abs=1e-6)
    assert shown.token.tolist() == [t["token_text"] for t in tokens]
    assert (run.meta.student, run.meta.teacher) == ("s", "t")
    assert "kl" in report.missing
    file.write_text(json.dumps(trace(5, same=True)))
    import_run(AUTHORS, [file], tmp_path / "same")
    assert set(Run.open(tmp_path / "same").trace(0, 0).sampled_loss) == {0.0}


@pytest.mark.parametrize(
    "name, text", [("rock_vs_control.csv", "rock_id,ctrl_id\n3,4\n"), ("rock.json", "[3, 4]")]
)
def test_a_list_of_types_is_refused_with_what_it_is_good_for(name: str, text: str, tmp_path: Path):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadExport, match="preset authors"):
        imported([tmp_path / name])


def test_files_are_recognised_by_their_fields(tmp_path: Path):
    file = save_occurrences(tmp_path / "any.bin", records((5, 6)))
    assert recognise([file]).format.name == "rock-token"
    (tmp_path / "any.csv").write_text("rock_id,rock_token,ctrl_id\n3,a,4\n")
    assert recognise([tmp_path / "any.csv"]).format.name == "rock-token"


def test_a_file_that_breaks_off_is_refused(tmp_path: Path):
    file = save_occurrences(tmp_path / "x.pt", records(LENGTHS))
    file.write_bytes(file.read_bytes()[:20_000])
    with pytest.raises(BadExport, match="not whole yet|is none"):
        imported([file])
