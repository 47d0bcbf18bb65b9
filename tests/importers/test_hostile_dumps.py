"""Samples, records and vocabularies that are made to fill the memory, to hang, or to end an import
in a traceback.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from authors_files import records, save_occurrences
from dumps import drawn, sampled_sample, save_ranks, save_sampled, save_trained, trained_sample

from rockcore.importers import BadExport, Options, Report, format_named, import_run
from rockcore.importers.recognise import files_of
from rockcore.log import Run
from rockcore.schema import DamagedRun

TEACHER = Path(__file__).parents[2] / "sample_runs/models/teacher/tokenizer.json"


def imported(folder: Path, name: str, options: Options | None = None) -> Report:
    format = format_named(name)
    report = import_run(format, files_of(format, [folder / "export"]), folder / "run", options)
    Run.open(folder / "run")
    return report


def deep(value: Any) -> list[Any]:
    """A list of 10¹² times this value, which a pickle of a few kilobytes holds."""
    nested = [value] * 1000
    for _ in range(3):
        nested = [nested] * 1000
    return nested


@pytest.mark.parametrize(
    ("name", "value"),
    [("tokens", deep(1)), ("prompt", [{"role": 1, "content": deep("x")}]), ("loss_mask", deep(1))],
)
def test_a_list_that_a_pickle_names_over_and_over_is_not_unfolded(tmp_path, name, value):
    good, bad = map(sampled_sample, drawn()[:2])
    save_sampled(tmp_path / "export", 0, [good, bad | {name: value}])
    report = imported(tmp_path, "slime")
    assert report.texts == 1 and report.errors[0].field == name


@pytest.mark.parametrize("kl", [[[1.0], [1.0, 2.0]], "x", {}])
def test_a_reference_kl_that_is_no_list_of_numbers_is_an_error_of_its_row(tmp_path, kl):
    good, bad = map(trained_sample, drawn()[:2])
    without = {k: v for k, v in bad.items() if k not in ("teacher_log_probs", "opd_reverse_kl")}
    save_trained(tmp_path / "export", 0, [good, without | {"kl": kl}])
    report = imported(tmp_path, "slime")
    assert report.texts == 1 and report.errors[0].field == "kl"


@pytest.mark.parametrize("name", ["slime", "miles"])
def test_a_dump_whose_samples_are_no_list_is_counted_and_the_others_are_read(tmp_path, name):
    more = {"metadata": {}} if name == "miles" else {}
    save_sampled(tmp_path / "export", 0, [sampled_sample(t) for t in drawn()], **more)
    save_sampled(tmp_path / "export", 1, torch.zeros(2), **more)  # pyright: ignore
    report = imported(tmp_path, name)
    assert report.steps == [0] and report.errors[0].field == "samples"


def test_a_column_of_a_rank_that_is_a_single_number_is_none(tmp_path):
    (file, _) = save_ranks(tmp_path / "export", 0, drawn())
    dump = torch.load(file)
    dump["rollout_data"]["entropy"] = torch.tensor(1.0)
    torch.save(dump, file)
    assert imported(tmp_path, "miles").texts == 4


@pytest.mark.parametrize("counted", [[float("nan")], [float("inf")], [1 + 1j]])
def test_frequencies_that_are_no_counts_say_nothing(tmp_path, counted):
    (tmp_path / "export").mkdir()
    file = save_occurrences(tmp_path / "export/rock_token_occurrences.pt", records((3, 1)))
    dump = torch.load(file) | {"frequencies": torch.tensor(counted)}
    torch.save(dump, file)
    report = imported(tmp_path, "rock-token")
    assert report.texts == 2 and not any("counts" in note for note in report.notes)


def response(tokens: list[str]) -> dict[str, Any]:
    values = [-1.0] * len(tokens)
    return {"prompt": "", "response": "", "response_tokens": tokens, "logprobs": values, "step": 0}


def write(folder: Path, *rows: dict[str, Any]) -> None:
    (folder / "export").mkdir()
    (folder / "export/rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def test_a_token_of_many_paddings_is_read_in_time(tmp_path):
    write(tmp_path, response(["<" + "pad" * 300_000]))
    assert imported(tmp_path, "rlloggingboard").tokens == 1


def test_a_response_whose_list_of_tokens_is_empty_is_left_out(tmp_path):
    write(tmp_path, response([]), response(["a"]))
    report = imported(tmp_path, "rlloggingboard")
    assert report.texts == 1 and report.errors[0].what == "the response has no token"


def test_a_long_text_among_ids_does_not_widen_them_all(tmp_path):
    row = {"step": 0, "token_id": ["x" * 10_000_000, *[1] * 100_000], "kl": [0.5] * 100_001}
    good = row | {"token_id": [1, 2], "kl": [0.5, 0.5]}
    write(tmp_path, good | {"rollout_id": 0}, row | {"rollout_id": 1})
    report = imported(tmp_path, "table")
    assert report.texts == 1 and report.errors[0].field == "token_id"


@pytest.mark.parametrize("beyond", [2**24, 2**31 - 1])
def test_an_id_beyond_any_vocabulary_is_left_out(tmp_path, beyond):
    rows = [
        {"step": 0, "rollout_id": r, "position": 0, "token_id": i, "kl": 0.5}
        for r, i in enumerate((2**24 - 1, beyond))
    ]
    write(tmp_path, *rows)
    report = imported(tmp_path, "table")
    assert report.texts == 1 and "16,777,215" in report.errors[0].what


def test_a_tokenizer_with_an_id_beyond_any_vocabulary_is_refused(tmp_path):
    said = json.loads(TEACHER.read_text())
    said["model"]["vocab"]["lie"] = 2**32 - 1
    (tmp_path / "tokenizer.json").write_text(json.dumps(said))
    write(tmp_path, {"step": 0, "rollout_id": 0, "position": 0, "token_id": 1, "kl": 0.5})
    with pytest.raises(BadExport, match="4,294,967,295"):
        imported(tmp_path, "table", Options(tokenizer=tmp_path))


def test_a_pipe_for_a_tokenizer_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "tokenizer.json")
    write(tmp_path, {"step": 0, "rollout_id": 0, "position": 0, "token_id": 1, "kl": 0.5})
    with pytest.raises(DamagedRun, match="no regular file"):
        imported(tmp_path, "table", Options(tokenizer=tmp_path))


def test_a_field_that_is_named_for_a_column_has_to_be_there(tmp_path):
    write(tmp_path, {"step": 0, "rollout_id": 0, "position": 0, "token_id": 1, "kl": 0.5})
    with pytest.raises(BadExport, match="--map kl=k_l"):
        imported(tmp_path, "table", Options(renames={"kl": "k_l"}))
    assert not (tmp_path / "run").exists()
