"""Micro-batches, gradient checkpointing and a teacher elsewhere: less memory, the same training."""

from dataclasses import replace

import numpy as np
import pytest
import small_pairs
import torch

from rockcore.config import BadConfig, SessionConfig
from rockcore.log import Run
from rockcore.schema import Prompt
from rockcore.training import groups, loading, scoring
from rockcore.training.clock import Clock
from rockcore.training.exact_gradients import exact_norms
from rockcore.training.models import Model
from rockcore.training.recomputing import recompute
from rockcore.training.resume import stored_config
from rockcore.training.rollouts import Rollouts, rollouts_of
from rockcore.training.scoring import Judged, Learning, judge_texts
from rockcore.training.session import train


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def pair(request, tmp_path_factory):
    """One that splits into features and head on the path of its own, one that does neither."""
    root = tmp_path_factory.mktemp(request.param)
    return [small_pairs.save(root / role, request.param, seed) for seed, role in enumerate("st")]


def texts(student: Model, teacher: Model) -> Rollouts:
    generator = torch.Generator().manual_seed(0)
    lengths = [3, 40, 1, 17, 8, 25]
    answers = [torch.randint(3, 300, (n,), generator=generator).tolist() for n in lengths]
    tasks = [Prompt("How many? " * (i + 1), "Say it. " * (i + 2), None) for i in range(6)]
    return rollouts_of(student, teacher, tasks, answers)


def learned(student: Model, teacher: Model) -> tuple[Judged, dict[str, torch.Tensor]]:
    rollouts = texts(student, teacher)
    N = sum(rollouts.lengths)
    weight = torch.linspace(0, 2, N) / N
    judged = judge_texts(student, teacher, rollouts, Clock(), Learning(weight))
    grads = {n: p.grad.clone() for n, p in student.net.named_parameters()}
    student.net.zero_grad()
    return judged, grads


def alike(one: tuple[Judged, dict], other: tuple[Judged, dict]) -> None:
    for name, values in one[0].losses.items():
        np.testing.assert_allclose(values, other[0].losses[name], rtol=1e-4, atol=1e-5)
    scale = max(float(g.abs().max()) for g in one[1].values())
    for name, gradient in one[1].items():
        assert float((gradient - other[1][name]).abs().max()) < 1e-5 * scale, name


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_the_gradient_of_micro_batches_is_that_of_one_batch(pair, rows, monkeypatch):
    student, teacher = loading.load_pair(*pair, "cpu", "float32")
    seen: list[int] = []
    features = student.features
    monkeypatch.setattr(student, "features", lambda p, r: seen.append(len(p)) or features(p, r))
    student.micro_batch = 6
    whole = learned(student, teacher)
    assert seen == [6]
    student.micro_batch = rows
    alike(whole, learned(student, teacher))
    assert max(seen[1:]) == rows and sum(seen[1:]) == 6


def test_a_micro_batch_takes_the_rows_that_were_asked_for_however_long(pair, monkeypatch):
    student, teacher = loading.load_pair(*pair, "cpu", "float32")
    monkeypatch.setattr(groups, "padded_tokens", lambda model: 64)
    student.micro_batch = 6
    assert len(scoring.groups_of(texts(student, teacher), student, teacher)) == 1


def test_gradient_checkpointing_keeps_inputs_of_layers_and_gives_the_same_gradient(pair):
    student, teacher = loading.load_pair(*pair, "cpu", "float32")
    whole = learned(student, teacher)

    def kept_bytes() -> int:
        kept: list[int] = []
        rollouts = texts(student, teacher)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x: kept.append(x.numel() * x.element_size()) or x, lambda x: x
        ):
            student.features(rollouts.student_prompts, rollouts.responses)
        return sum(kept)

    student.fast = None
    before = kept_bytes()
    recompute(student)
    assert kept_bytes() < before / 3
    assert not student.net.training  # no dropout
    alike(whole, learned(student, teacher))


def test_a_model_without_layers_to_compute_anew_is_refused(pair, monkeypatch):
    student, _ = loading.load_pair(*pair, "cpu", "float32")
    monkeypatch.setattr("rockcore.training.recomputing.layers_of", lambda net: [])
    with pytest.raises(ValueError, match="no layers that transformers could compute anew"):
        recompute(student)


class Elsewhere(torch.Tensor):
    """A tensor as of another device: it may be read in part and moved, and mixes with nothing."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ not in ("__getitem__", "to", "as_subclass", "__get__"):
            raise RuntimeError(f"{func.__name__}: tensors on two devices")
        found = super().__torch_function__(func, types, args, kwargs or {})
        return found.as_subclass(torch.Tensor) if func.__name__ == "to" else found


def put_elsewhere(teacher: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    features, all_logits = teacher.features, teacher.all_logits
    monkeypatch.setattr(teacher, "features", lambda p, r: features(p, r).as_subclass(Elsewhere))

    def projected(inputs: torch.Tensor) -> torch.Tensor:
        assert type(inputs) is Elsewhere
        return all_logits(inputs.as_subclass(torch.Tensor)).as_subclass(Elsewhere)

    monkeypatch.setattr(teacher, "all_logits", projected)


def test_a_teacher_elsewhere_is_compared_where_the_student_is(pair, monkeypatch):
    student, teacher = loading.load_pair(*pair, "cpu", "float32")
    beside = learned(student, teacher)
    put_elsewhere(teacher, monkeypatch)
    alike(beside, learned(student, teacher))
    rollouts = texts(student, teacher)
    assert np.isfinite(exact_norms(student, teacher, rollouts, np.array([0, 5]))).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_a_teacher_on_the_cpu_judges_a_student_on_a_gpu(pair):
    student, teacher = loading.load_pair(*pair, "cuda", "float32", "cpu")
    assert (student.device.type, teacher.device.type) == ("cuda", "cpu")
    judged = judge_texts(student, teacher, texts(student, teacher), Clock())
    here = judge_texts(
        *loading.load_pair(*pair, "cpu", "float32"), texts(student, teacher), Clock()
    )
    np.testing.assert_allclose(judged.losses["kl"], here.losses["kl"], rtol=1e-3, atol=1e-4)


def test_a_run_takes_these_settings_keeps_them_and_may_change_them_when_it_goes_on(tmp_path, pair):
    flags = {"micro_batch": 2, "gradient_checkpointing": True, "teacher_device": "cpu"}
    config = SessionConfig(
        out=tmp_path / "run",
        student=pair[0],
        teacher=pair[1],
        prompts=small_pairs.prompts_file(tmp_path / "p.jsonl"),
        steps=1,
        rollouts=3,
        max_new_tokens=6,
        probes=2,
        held_out=0,
    )
    train(replace(config, **flags))
    going_on = SessionConfig(out=config.out, resume=True, steps=2)
    assert {n: getattr(stored_config(going_on), n) for n in flags} == flags
    train(replace(going_on, micro_batch=1))
    run = Run.open(config.out)
    assert run.meta.config["micro_batch"] == 1 and run.meta.config["gradient_checkpointing"]
    assert run.steps("metrics") == [0, 1, 2] and run.meta.status == "finished"


def test_a_teachers_device_that_is_not_there_is_refused_by_its_flag(tmp_path):
    with pytest.raises(loading.NoDevice, match="Give --teacher-device cpu"):
        train(SessionConfig(out=tmp_path / "run", teacher_device="meta"))
    assert not (tmp_path / "run").exists()


def test_a_server_that_would_write_the_students_texts_is_refused_with_the_reason(tmp_path):
    config = SessionConfig(out=tmp_path / "run", vllm="http://localhost:8000")
    with pytest.raises(BadConfig, match="--vllm 'http.*its texts are not the student's any more"):
        train(config)
    assert not (tmp_path / "run").exists()
