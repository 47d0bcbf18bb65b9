"""NeMo-RL's samples become a run only as far as they tell of a teacher."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rockcore.importers import BadExport, Options, Report, format_named, import_run
from rockcore.log import Run

OPD = Options(opd=True)


def sample(idx: int, prompt: int, response: int, **others: object) -> dict[str, object]:
    """A sample of an opd run as it is written: padded, and every value in a list of its own."""
    rng = np.random.default_rng(idx)
    padded, both = 12, prompt + response
    ids = [*rng.integers(1, 90, both).tolist(), *[0] * (padded - both)]
    mask = [0] * prompt + [1] * response + [0] * (padded - both)
    before, teacher = -rng.exponential(size=(2, padded))
    fields = {
        "content": ["p" * prompt, "r" * response],
        "rewards": 1.0,
        "input_lengths": both,
        "token_ids": ids,
        "token_loss_mask": mask,
        "sample_loss_mask": 1.0,
        "advantages": ((teacher - before) * mask).tolist(),
        "generation_logprobs": (before - 0.01).tolist(),
        "prev_logprobs": [0.0, *before[1:].tolist()],
        **others,
    }
    return {**{name: [value] for name, value in fields.items()}, "idx": idx}


def told(path: Path, *samples: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in samples))
    return path


def imported(folder: Path, options: Options, *samples: dict[str, object]) -> tuple[Report, Run]:
    file = told(folder / "train_data_step7.jsonl", *samples)
    report = import_run(format_named("nemo-rl"), [file], folder / "run", options)
    return report, Run.open(folder / "run")


def of_response(sample: dict[str, object], name: str, prompt: int, response: int) -> np.ndarray:
    return np.array(sample[name][0][prompt : prompt + response], np.float32)  # pyright: ignore


SHAPES = [(3, 4), (1, 6), (5, 2)]
SAMPLES = [sample(i, *shape) for i, shape in enumerate(SHAPES)]


def test_values_sit_at_their_tokens_for_prompts_of_any_length(tmp_path):
    report, run = imported(tmp_path, OPD, *SAMPLES)
    assert report.steps == [7] and run.meta.estimator == "absent"
    for i, shape in enumerate(SHAPES):
        before = of_response(SAMPLES[i], "prev_logprobs", *shape)
        gap = of_response(SAMPLES[i], "advantages", *shape)
        trace = run.trace(step=7, rollout_id=i)
        assert trace.token_id.tolist() == of_response(SAMPLES[i], "token_ids", *shape).tolist()
        assert trace.student_logp.tolist() == pytest.approx(before)
        assert trace.teacher_logp.tolist() == pytest.approx(before + gap, abs=1e-6)
        assert trace.sampled_loss.tolist() == pytest.approx(-gap)
        assert run.rollouts(7).response[i] == "r" * shape[1]


def test_the_sampler_is_judged_against_the_same_teacher(tmp_path):
    _, run = imported(tmp_path, Options(opd=True, student_logps="sampler"), *SAMPLES)
    before = of_response(SAMPLES[0], "prev_logprobs", *SHAPES[0])
    gap = of_response(SAMPLES[0], "advantages", *SHAPES[0])
    trace = run.trace(step=7, rollout_id=0)
    assert run.meta.student_logps == "sampler"
    assert trace.teacher_logp.tolist() == pytest.approx(before + gap, abs=1e-6)
    assert trace.sampled_loss.tolist() == pytest.approx(-0.01 - gap, abs=1e-6)


def test_a_student_that_is_its_teacher_differs_by_nothing(tmp_path):
    _, run = imported(tmp_path, OPD, sample(0, 2, 5, advantages=[0.0] * 12))
    assert run.trace(step=7, rollout_id=0).sampled_loss.tolist() == [0] * 5


def test_advantages_of_an_unknown_estimator_are_no_teacher(tmp_path):
    report, run = imported(tmp_path, Options(), *SAMPLES)
    assert {"sampled_loss", "teacher_logp"} <= set(report.missing)
    assert any("--opd" in note for note in run.meta.notes)
    assert "student_logp" not in report.missing


@pytest.mark.parametrize(("name", "taken"), [("opd", True), ("grpo", False)])
def test_the_settings_beside_the_export_tell_the_estimator(tmp_path, name, taken):
    pytest.importorskip("yaml")
    (tmp_path / "config.yaml").write_text(f"grpo:\n  adv_estimator:\n    name: {name}\n")
    report, _ = imported(tmp_path, Options(), *SAMPLES)
    assert ("sampled_loss" not in report.missing) == taken


def test_the_settings_name_the_student_and_all_teachers(tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "config.yaml").write_text(
        "policy: {model_name: small}\n"
        "on_policy_distillation: {teacher_model_by_agent_name: {a: large, b: huge, c: large}}"
    )
    _, run = imported(tmp_path, OPD, *SAMPLES)
    assert (run.meta.student, run.meta.teacher) == ("small", "large, huge")


def test_two_runs_are_not_mixed(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        told(tmp_path / name / "train_data_step1.jsonl", *SAMPLES)
    files = sorted(tmp_path.glob("*/*.jsonl"))
    with pytest.raises(BadExport, match="two runs"):
        import_run(format_named("nemo-rl"), files, tmp_path / "run", OPD)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("grpo: {adv_estimator: {name: grpo}}", "estimator 'grpo'"),
        ("grpo: {advantage_clip_low: [1]}", "not a number"),
        ("grpo: [", "no readable YAML"),
        ("!!python/object/apply:os.getcwd []", "no readable YAML"),
    ],
)
def test_settings_that_contradict_or_are_none_are_refused(tmp_path, settings, says):
    pytest.importorskip("yaml")
    (tmp_path / "mine.yaml").write_text(settings)
    with pytest.raises(BadExport, match=says):
        imported(tmp_path, Options(opd=True, config=tmp_path / "mine.yaml"), *SAMPLES)


def test_one_advantage_for_a_whole_text_is_a_reward(tmp_path):
    with pytest.raises(BadExport, match="what a reward came to"):
        imported(tmp_path, OPD, sample(0, 2, 9, advantages=[0.0] * 2 + [0.7] * 9 + [0.0]))


def test_clipped_advantages_are_not_known(tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "config.yaml").write_text(
        "grpo: {adv_estimator: {name: opd}, advantage_clip_low: -0.5}"
    )
    gaps = [0.0, 0.0, -0.5, -0.25, 0.1, -0.5, *[0.0] * 6]
    _, run = imported(tmp_path, Options(), sample(0, 2, 4, advantages=gaps))
    assert np.isnan(run.trace(step=7, rollout_id=0).teacher_logp).tolist() == [1, 0, 0, 1]


def test_a_sample_that_the_estimator_did_not_see_has_no_difference(tmp_path):
    hidden = sample(0, 2, 5, advantages=[0.0] * 12, sample_loss_mask=0.0)
    _, run = imported(tmp_path, OPD, hidden, sample(1, 2, 5))
    trace = run.trace(step=7, rollout_id=0)
    assert np.isnan(trace.sampled_loss).all() and trace.weight.tolist() == [0] * 5


def test_zeros_in_place_of_the_trainers_log_probabilities_are_not_read_as_such(tmp_path):
    teacher = [0.0] * 3 + [-1.0, -2.0, -0.5] + [0.0] * 6
    _, run = imported(tmp_path, OPD, sample(0, 3, 3, prev_logprobs=[0.0] * 12, advantages=teacher))
    trace = run.trace(step=7, rollout_id=0)
    assert trace.teacher_logp.tolist() == [-1, -2, -0.5]
    assert np.isnan(trace.student_logp).all() and np.isnan(trace.sampled_loss).all()


def test_what_others_say_between_two_turns_has_no_values_and_no_weight(tmp_path):
    turns = [0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0]
    several = sample(
        0, 2, 7, token_loss_mask=turns, content=["sys", "ask", "one", "tool says", "two"]
    )
    _, run = imported(tmp_path, OPD, several)
    trace = run.trace(step=7, rollout_id=0)
    assert trace.weight.tolist() == turns[2:9]
    for name in ("student_logp", "teacher_logp", "sampled_loss"):
        assert np.isnan(getattr(trace, name)).tolist() == [not m for m in turns[2:9]]
    (rollout,) = run.rollouts(7).itertuples()
    assert (rollout.prompt, rollout.response) == ("sysask", "onetool saystwo")


@pytest.mark.parametrize(
    ("others", "field"),
    [
        ({"input_lengths": 13}, "input_lengths"),
        ({"input_lengths": "7"}, "input_lengths"),
        ({"token_loss_mask": [0] * 12}, "token_loss_mask"),
        ({"token_loss_mask": [2] * 12}, "token_loss_mask"),
        ({"token_ids": [1.5] * 12}, "token_ids"),
        ({"token_ids": [-1] * 12}, "token_ids"),
        ({"prev_logprobs": [-1.0] * 4}, "prev_logprobs"),
        ({"prev_logprobs": ["a"] * 12}, "prev_logprobs"),
        ({"prev_logprobs": None}, "prev_logprobs"),
        ({"prev_logprobs": [3.0] * 12}, "student_logp"),
        ({"sample_loss_mask": float("nan")}, "sample_loss_mask"),
    ],
)
def test_a_wrong_sample_is_left_out_by_file_line_and_field(tmp_path, others, field):
    report, run = imported(tmp_path, OPD, SAMPLES[0], sample(9, 3, 4, **others), SAMPLES[1])
    (error,) = report.errors
    assert error.where.endswith("train_data_step7.jsonl, line 2") and error.field == field
    assert report.skipped == 1 and len(run.rollouts(7)) == 2


def test_a_sample_twice_is_left_out_once(tmp_path):
    report, run = imported(tmp_path, OPD, SAMPLES[0], SAMPLES[1], SAMPLES[0], SAMPLES[2])
    assert report.skipped == 1 and len(run.rollouts(7)) == 3


def test_nan_is_not_known(tmp_path):
    before = [-1.0] * 3 + [float("nan")] + [-1.0] * 8
    gaps = [0.0] * 2 + [-0.5, 0.25, 0.5, -1.0] + [0.0] * 6
    _, run = imported(tmp_path, OPD, sample(0, 2, 4, prev_logprobs=before, advantages=gaps))
    trace = run.trace(step=7, rollout_id=0)
    for name in ("student_logp", "teacher_logp"):
        assert np.isnan(getattr(trace, name)).tolist() == [0, 1, 0, 0]


def test_a_step_is_said_by_the_name_of_a_file_or_by_the_person(tmp_path):
    file = told(tmp_path / "mine.jsonl", *SAMPLES)
    with pytest.raises(BadExport, match="--steps"):
        import_run(format_named("nemo-rl"), [file], tmp_path / "run", OPD)
    options = Options(opd=True, steps=(3,))
    assert import_run(format_named("nemo-rl"), [file], tmp_path / "run", options).steps == [3]


def test_the_distillation_recipe_has_text_alone(tmp_path):
    plain = {"content": [["ask", "answer"]], "input_lengths": [5], "idx": 0}
    report, run = imported(tmp_path, Options(), plain)
    assert report.texts == 1 and report.tokens == 0 and run.rollouts(7).response[0] == "answer"
