"""slime's dumps: aligned to the response, against the right student, and never against the
reference model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dumps import LENGTHS, drawn, sampled_sample, save, save_sampled, save_trained, trained_sample

from rockcore.importers import BadExport, Options, Report, format_named, import_run
from rockcore.importers.recognise import files_of, recognise
from rockcore.log import Run

SLIME = format_named("slime")


def imported(folder: Path, **options: Any) -> tuple[Run, Report]:
    files = files_of(SLIME, [folder])
    report = import_run(SLIME, files, folder.parent / "run", Options(**options))
    return Run.open(folder.parent / "run"), report


def values(run: Run, step: int, column: str) -> list[list[float]]:
    return [getattr(run.trace(step, r), column).tolist() for r in range(len(LENGTHS))]


def flat(arrays: list[Any]) -> list[float]:
    return [float(v) for array in arrays for v in array]


def test_value_i_judges_token_i_of_the_response(tmp_path: Path):
    texts = {rollout: drawn(rollout) for rollout in (0, 20)}
    for rollout, each in texts.items():
        save_trained(tmp_path / "D", rollout, [trained_sample(t) for t in each])
    run, report = imported(tmp_path / "D")
    assert (report.steps, report.texts, report.skipped) == ([0, 20], 10, 0)
    for step, each in texts.items():
        responses = [t["tokens"][-t["length"] :] for t in each]
        assert values(run, step, "token_id") == responses
        assert flat(values(run, step, "student_logp")) == pytest.approx(
            flat([t["trainer"] for t in each])
        )
        assert flat(values(run, step, "teacher_logp")) == pytest.approx(
            flat([t["teacher"] for t in each])
        )
        assert flat(values(run, step, "sampled_loss")) == pytest.approx(
            flat([t["trainer"] - t["teacher"] for t in each]), abs=1e-6
        )
        assert flat(values(run, step, "student_entropy")) == pytest.approx(
            flat([t["entropy"] for t in each])
        )
        assert flat(values(run, step, "weight")) == flat([t["mask"] for t in each])
    assert run.meta.student_logps == "trainer"
    assert run.meta.estimator == "absent"  # kl is the reference model's
    assert "kl" in report.missing


def test_a_student_that_is_the_teacher_has_no_loss_at_all(tmp_path: Path):
    save_trained(tmp_path / "D", 0, [trained_sample(t) for t in drawn(same=True)])
    run, _ = imported(tmp_path / "D")
    assert set(flat(values(run, 0, "sampled_loss"))) == {0.0}


def test_the_student_is_the_one_whose_difference_is_logged(tmp_path: Path):
    texts = drawn()
    save_trained(tmp_path / "D", 0, [trained_sample(t, "sampler") for t in texts])
    run, _ = imported(tmp_path / "D")
    assert run.meta.student_logps == "sampler"
    assert flat(values(run, 0, "student_logp")) == pytest.approx(
        flat([t["sampler"] for t in texts])
    )


def test_where_nothing_tells_the_student_it_is_asked_for(tmp_path: Path):
    texts = drawn()
    samples = [trained_sample(t) for t in texts]
    for sample in samples:
        del sample["opd_reverse_kl"]
    save_trained(tmp_path / "D", 0, samples)
    with pytest.raises(BadExport, match="--student-logps"):
        imported(tmp_path / "D")
    run, _ = imported(tmp_path / "D", student_logps="sampler")
    assert run.meta.student_logps == "sampler"
    assert flat(values(run, 0, "sampled_loss")) == pytest.approx(
        flat([t["sampler"] - t["teacher"] for t in texts]), abs=1e-6
    )


def test_the_other_student_can_be_asked_for(tmp_path: Path):
    texts = drawn()
    save_trained(tmp_path / "D", 0, [trained_sample(t, "trainer") for t in texts])
    run, report = imported(tmp_path / "D", student_logps="sampler")
    assert flat(values(run, 0, "sampled_loss")) == pytest.approx(
        flat([t["sampler"] - t["teacher"] for t in texts]), abs=1e-6
    )
    assert any("taken anew" in note for note in report.notes)


def without_teacher(texts: list[Any], kl: bool) -> list[Any]:
    samples = [trained_sample(t) for t in texts]
    for sample in samples:
        del sample["teacher_log_probs"], sample["opd_reverse_kl"]
        if not kl:
            sample["kl"] = torch.zeros(sample["response_lengths"])
    return samples


def test_a_kl_against_the_reference_model_is_no_teachers(tmp_path: Path):
    save_trained(tmp_path / "D", 0, without_teacher(drawn(), kl=True))
    with pytest.raises(BadExport, match="no teacher values in this export"):
        imported(tmp_path / "D")
    assert not (tmp_path / "run").exists()
    texts = drawn()
    said = {"reference_is_teacher": True, "student_logps": "trainer"}
    run, _ = imported(tmp_path / "D", **said)
    assert flat(values(run, 0, "teacher_logp")) == pytest.approx(
        flat([t["reference"] for t in texts])
    )


def test_without_a_teacher_and_a_reference_the_texts_are_imported(tmp_path: Path):
    save_trained(tmp_path / "D", 0, without_teacher(drawn(), kl=False))
    run, report = imported(tmp_path / "D")
    assert "No teacher values in this export." in report.notes
    assert {"kl", "sampled_loss", "teacher_logp"} <= {*report.missing}
    assert run.meta.estimator == "absent"


def test_texts_of_the_sampling_go_with_the_values_of_the_training(tmp_path: Path):
    texts = drawn()
    save_trained(tmp_path / "D", 0, [trained_sample(t) for t in texts])
    save_sampled(tmp_path / "D", 0, [sampled_sample(t) for t in texts])
    evaluated = {"rollout_id": 0, "samples": [sampled_sample(texts[0])]}
    eval_file = save(evaluated, tmp_path / "D/rollout_data/eval_0.pt")
    run, report = imported(tmp_path / "D")
    assert (report.texts, run.meta.student_logps) == (5, "trainer")
    shown = run.rollouts(0).set_index("rollout_id").loc[2]
    assert (shown.prompt, shown.response, shown.answer) == ("question 2", "answer 2", "42")
    with pytest.raises(BadExport, match="no row"):
        import_run(SLIME, [eval_file], tmp_path / "other")


def test_values_of_both_students_are_not_mixed(tmp_path: Path):
    save_trained(tmp_path / "D", 0, [trained_sample(t) for t in drawn()])
    save_sampled(tmp_path / "D", 1, [sampled_sample(t) for t in drawn(1)[:2]])
    run, report = imported(tmp_path / "D")
    assert (report.steps, report.skipped) == ([0], 2)
    assert run.meta.student_logps == "trainer"


def test_texts_of_the_sampling_alone_are_a_run(tmp_path: Path):
    texts = drawn()
    save_sampled(tmp_path / "D", 3, [sampled_sample(t) for t in texts])
    run, report = imported(tmp_path / "D")
    assert report.steps == [3]
    assert run.meta.student_logps == "sampler"
    assert flat(values(run, 3, "sampled_loss")) == pytest.approx(
        flat([t["sampler"] - t["teacher"] for t in texts]), abs=1e-6
    )
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None}]
    chat = [{**sampled_sample(t), "prompt": messages} for t in texts]
    file = save_sampled(tmp_path / "E", 3, chat)
    import_run(SLIME, [file], tmp_path / "chat")
    shown = Run.open(tmp_path / "chat").rollouts(3)
    assert set(shown.prompt) == {"user: Hi\nassistant: "}


WRONG: dict[str, dict[str, Any]] = {
    "tokens": {"tokens": torch.tensor([1.5, 2.5])},
    "response_lengths": {"response_lengths": "5"},
    "teacher_log_probs": {"teacher_log_probs": torch.zeros(99)},
    "opd_reverse_kl": {"opd_reverse_kl": torch.full((5,), 7.0)},
    "total_lengths": {"total_lengths": 7},
    "log_probs": {"log_probs": torch.full((5,), 3.0), "opd_reverse_kl": None},
    "NaN": {"rollout_log_probs": ["x"] * 5},
    "no tokens": {"tokens": None},
    "long response": {"response_lengths": 90, "total_lengths": None},
}


@pytest.mark.parametrize("what", list(WRONG))
def test_a_sample_that_is_wrong_is_counted_and_the_others_are_kept(what: str, tmp_path: Path):
    samples = [trained_sample(t) for t in drawn()]
    samples[0] |= WRONG[what]
    samples.append(dict(samples[2]))  # its position is there twice
    samples.append("no sample")
    save_trained(tmp_path / "D", 0, samples)
    _, report = imported(tmp_path / "D", student_logps="trainer")
    assert (report.rows, report.skipped, report.texts) == (7, 3, 4)
    assert all(error.where.startswith("0.pt, sample") for error in report.errors)


def test_a_file_that_breaks_off_is_counted_and_the_others_are_kept(tmp_path: Path):
    for rollout in range(3):
        save_trained(tmp_path / "D", rollout, [trained_sample(t) for t in drawn(rollout)])
    file = tmp_path / "D/train_data/1.pt"
    file.write_bytes(file.read_bytes()[:-300])
    _, report = imported(tmp_path / "D")
    assert (report.steps, report.skipped) == ([0, 2], 1)
    assert "1.pt" in str(report.errors[0])


def test_a_file_that_would_run_code_is_refused_by_what_it_names(tmp_path: Path):
    class Opens:
        def __reduce__(self) -> tuple:
            return open, (str(tmp_path / "was-run"), "w")

    save({"rollout_id": 0, "format_version": 2, "samples": [Opens()]}, tmp_path / "x.pt")
    with pytest.raises(BadExport, match="open"):
        import_run(SLIME, [tmp_path / "x.pt"], tmp_path / "run")
    assert not (tmp_path / "was-run").exists()


def test_it_is_recognised_by_its_fields(tmp_path: Path):
    save_trained(tmp_path / "D", 0, [trained_sample(t) for t in drawn()])
    assert recognise([tmp_path / "D"]).format.name == "slime"
    odd = save({"rollout_id": 0, "samples": [sampled_sample(drawn()[0])]}, tmp_path / "odd.bin")
    assert recognise([odd]).format.name == "slime"
    with pytest.raises(BadExport):
        recognise([save({"weights": torch.zeros(3)}, tmp_path / "w.pt")])


def test_other_names_of_fields_can_be_given(tmp_path: Path):
    samples = [trained_sample(t) for t in drawn()]
    for sample in samples:
        sample["t_lp"] = sample.pop("teacher_log_probs")
    save_trained(tmp_path / "D", 0, samples)
    run, _ = imported(tmp_path / "D", renames={"teacher_logp": "t_lp"})
    assert not np.isnan(flat(values(run, 0, "teacher_logp"))).any()


def test_a_step_can_be_given(tmp_path: Path):
    save_trained(tmp_path / "D", 7, [trained_sample(t) for t in drawn()])
    _, report = imported(tmp_path / "D", steps=(70,))
    assert report.steps == [70]
