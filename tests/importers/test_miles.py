"""miles' dumps: a file a rank, slices of parallel context put together or refused, sums over likely
tokens told from single samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from dumps import LENGTHS, drawn, part, sampled_sample, save_ranks, save_sampled
from hypothesis import given
from hypothesis import strategies as st

from rockcore import RockRule, detect
from rockcore.importers import BadExport, Options, Report, format_named, import_run
from rockcore.importers.context_slices import joined, places
from rockcore.importers.recognise import files_of, recognise
from rockcore.log import Run

MILES = format_named("miles")


def imported(folder: Path, **options: Any) -> tuple[Run, Report]:
    files = files_of(MILES, [folder])
    report = import_run(MILES, files, folder.parent / "run", Options(**options))
    return Run.open(folder.parent / "run"), report


def flat(run: Run, column: str, step: int = 4) -> list[float]:
    return [v for r in range(len(LENGTHS)) for v in run.trace(step, r)[column].tolist()]


def of(texts: list[Any], name: str) -> list[float]:
    return [float(v) for t in texts for v in t[name]]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_slices_of_all_ranks_are_put_together(size: int, tmp_path: Path):
    texts = drawn()
    save_ranks(tmp_path / "D", 4, texts, size)
    run, report = imported(tmp_path / "D")
    assert (report.texts, report.skipped, report.steps) == (5, 0, [4])
    assert flat(run, "token_id") == [i for t in texts for i in t["tokens"][-t["length"] :]]
    for column, name in (("teacher_logp", "teacher"), ("student_logp", "trainer")):
        assert flat(run, column) == pytest.approx(of(texts, name))
    loss = np.subtract(of(texts, "trainer"), of(texts, "teacher"))
    assert flat(run, "sampled_loss") == pytest.approx(loss.tolist(), abs=1e-6)
    assert flat(run, "weight") == of(texts, "mask")
    assert (run.meta.estimator, run.meta.student_logps) == ("absent", "trainer")


def test_slices_of_which_a_rank_is_missing_are_refused(tmp_path: Path):
    save_ranks(tmp_path / "D", 4, drawn(), size=2, only=(0, 1, 2))
    _, report = imported(tmp_path / "D")  # the first group is whole
    assert (report.texts, report.skipped) == (3, 2)
    assert "ranks 1 are missing" in str(report.errors[0])


def test_slices_that_are_cut_in_another_way_are_refused(tmp_path: Path):
    files = save_ranks(tmp_path / "D", 4, drawn(), size=2)
    for file in files:
        whole = torch.load(file, weights_only=False)
        whole["cp_rank"] = 1 - whole["cp_rank"]
        torch.save(whole, file)
    with pytest.raises(BadExport, match="how it is cut is not known"):
        imported(tmp_path / "D")


@given(st.integers(1, 5), st.integers(1, 30), st.integers(1, 30), st.integers(0, 9))
def test_every_value_is_on_one_rank_and_comes_back(size: int, prompt: int, length: int, more: int):
    text = {"tokens": [0] * (prompt + length), "length": length}
    values = np.arange(length, dtype=np.float32)
    total = prompt + length
    slices = {r: part(values, text, r, size) for r in range(size)}
    if size > 1:
        assert joined(slices, size, total, length, total).tolist() == values.tolist()
    padded = total + more  # texts padded to the longest
    at = np.concatenate([places(r, size, total, length, padded) for r in range(size)])
    assert sorted(at.tolist()) == list(range(length))


def test_a_sum_over_likely_tokens_is_kl_and_no_single_sample(tmp_path: Path):
    texts = drawn()
    samples = [sampled_sample(t) for t in texts]
    for sample in samples:
        sample["opd_reverse_kl"] = [-0.25] * sample["response_length"]
        sample["teacher_log_probs"] = None
    save_sampled(tmp_path / "D", 4, samples, metadata={})
    run, report = imported(tmp_path / "D")
    assert (run.meta.estimator, run.meta.student_logps) == ("topk", "absent")
    assert set(flat(run, "kl")) == {-0.25}
    assert len(detect(run, RockRule.from_short("authors")).tokens)  # such a sum may be negative
    assert {"sampled_loss", "teacher_logp", "student_logp"} <= {*report.missing}


def test_texts_of_the_sampling_go_with_the_values_of_the_ranks(tmp_path: Path):
    texts = drawn()
    save_ranks(tmp_path / "D", 4, texts, size=2)
    save_sampled(tmp_path / "D", 4, [sampled_sample(t) for t in texts], metadata={})
    run, report = imported(tmp_path / "D")
    assert report.texts == 5 and run.meta.student_logps == "trainer"
    assert sorted(run.rollouts(4).prompt) == sorted(t["prompt"] for t in texts)


def test_a_student_that_is_the_teacher_has_no_loss_at_all(tmp_path: Path):
    save_ranks(tmp_path / "D", 4, drawn(same=True), size=2)
    run, _ = imported(tmp_path / "D")
    assert set(flat(run, "sampled_loss")) == {0.0}


def test_a_kl_against_the_reference_model_is_no_teachers(tmp_path: Path):
    for file in save_ranks(tmp_path / "D", 4, drawn()):
        whole = torch.load(file, weights_only=False)
        columns = whole["rollout_data"]
        columns["kl"] = columns.pop("opd_reverse_kl")
        del columns["teacher_log_probs"]
        torch.save(whole, file)
    with pytest.raises(BadExport, match="no teacher values in this export"):
        imported(tmp_path / "D")


def test_tables_of_the_dashboard_have_tokens_alone(tmp_path: Path):
    texts = drawn()
    table = pa.table(
        {
            "sample_index": [t["index"] for t in texts],
            "response_length": [t["length"] for t in texts],
            "total_length": [len(t["tokens"]) for t in texts],
            "tokens": [t["tokens"] for t in texts],
            "loss_mask": [t["mask"].tolist() for t in texts],
            "rollout_log_probs": [t["sampler"].tolist() for t in texts],
        }
    )
    (tmp_path / "D/dashboard_columns").mkdir(parents=True)
    file = tmp_path / "D/dashboard_columns/rollout_4.parquet"
    pq.write_table(table, file)
    assert recognise([file]).format.name == "miles"
    run, report = imported(tmp_path / "D")
    assert "No teacher values in this export." in report.notes
    assert flat(run, "student_logp") == pytest.approx(of(texts, "sampler"))
    assert run.meta.student_logps == "sampler"


def test_it_is_told_from_slime_by_its_fields(tmp_path: Path):
    save_ranks(tmp_path / "D", 4, drawn())
    assert recognise([tmp_path / "D"]).format.name == "miles"
    save_sampled(tmp_path / "E", 4, [sampled_sample(drawn()[0])], metadata={})
    assert recognise([tmp_path / "E"]).format.name == "miles"


def test_ranks_that_disagree_on_a_sample_are_counted(tmp_path: Path):
    file = save_ranks(tmp_path / "D", 4, drawn(), size=2)[1]
    whole = torch.load(file, weights_only=False)
    whole["rollout_data"]["response_lengths"][0] += 1
    torch.save(whole, file)
    _, report = imported(tmp_path / "D")
    assert (report.texts, report.skipped) == (4, 1)
    assert "differ between the files of its ranks" in str(report.errors[0])
