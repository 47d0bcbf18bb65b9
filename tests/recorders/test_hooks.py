"""The recorders of slime, verl and KDFlow at stand-ins of these trainers: what is written is what
was trained on, at the token it judges.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import small_pairs
import torch
import trainers

from rockcore import RockRule, RockSet, Run
from rockcore.exporters import EXPORTERS, Found
from rockcore.interventions import BadIntervention
from rockcore.recorders import kdflow, slime, verl
from rockcore.recorders.guard import RecordingEnded
from rockcore.recorders.rows import CannotRecord
from rockcore.schema import tokenizer_hash
from rockcore.training.divergence import token_losses

V = 300
# prompts and responses of unequal lengths: an off-by-one shows
PROMPTS = [[10, 11, 12], [20, 21, 22, 23, 24]]
RESPONSES = [[30, 31, 32, 33], [31, 40, 2]]
ROCKS = (31, 33)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return small_pairs.tokenizer(V)


@pytest.fixture
def rocks(tokenizer) -> RockSet:
    return RockSet(ROCKS, RockRule(), tokenizer_hash(tokenizer.get_vocab()), "", {})


def tokens_of(run: Run, step: int) -> pd.DataFrame:
    frame = pd.read_parquet(run.path / "tokens" / f"step={step:06d}.parquet")
    return frame.sort_values(["rollout_id", "position"], ignore_index=True)


def of_slime(step: int = 0) -> dict[str, list[torch.Tensor]]:
    rng = np.random.default_rng(step)

    def drawn() -> list[torch.Tensor]:
        return [torch.tensor(rng.normal(size=len(r)), dtype=torch.float32) for r in RESPONSES]

    s, t = drawn(), drawn()
    return {
        "tokens": [torch.tensor(p + r) for p, r in zip(PROMPTS, RESPONSES, strict=True)],
        "response_lengths": [len(r) for r in RESPONSES],
        "loss_masks": [torch.tensor([1, 1, 0, 1]), torch.tensor([1, 1, 1])],
        "log_probs": s,
        "teacher_log_probs": t,
        "opd_reverse_kl": [a - b for a, b in zip(s, t, strict=True)],
        "kl": [torch.zeros(len(r)) for r in RESPONSES],  # against the reference
        "advantages": [torch.ones(len(r)) for r in RESPONSES],
        "truncated": [1, 0],
    }


ARGS = SimpleNamespace(hf_checkpoint="student", use_rollout_logprobs=False)


def test_slime_is_recorded_without_a_kl(tokenizer, tmp_path):
    hook = slime.Postprocess(tmp_path / "run", tokenizer=tokenizer)
    for step in range(2):
        hook(ARGS, step, of_slime(step))
    run, data = Run.open(tmp_path / "run"), of_slime(1)
    logged = tokens_of(run, 1)
    assert logged.token_id.tolist() == sum(RESPONSES, [])
    assert np.allclose(logged.sampled_loss, torch.cat(data["opd_reverse_kl"]))
    assert np.allclose(logged.teacher_logp, torch.cat(data["teacher_log_probs"]))
    assert logged.kl.isna().all() and run.meta.estimator == "absent"
    assert logged.weight.tolist() == torch.cat(data["loss_masks"]).float().tolist()
    texts = run.rollouts(step=0)
    assert texts.prompt.tolist() == [tokenizer.decode(p) for p in PROMPTS]
    assert texts.truncated.tolist() == [True, False] and run.meta.student_logps == "trainer"
    hook.run.close()
    assert Run.open(tmp_path / "run").meta.status == "stopped"


def test_slime_scales_the_advantages_of_the_set(tokenizer, rocks, tmp_path):
    data = of_slime()
    slime.Postprocess(tmp_path / "run", rocks, 0.25, tokenizer)(ARGS, 0, data)
    expected = [0.25 if i in ROCKS else 1.0 for i in sum(RESPONSES, [])]
    assert torch.cat(data["advantages"]).tolist() == expected
    run = Run.open(tmp_path / "run")
    kept = torch.cat(data["loss_masks"]).tolist()
    assert tokens_of(run, 0).weight.tolist() == [w * k for w, k in zip(expected, kept, strict=True)]
    assert (run.path / "rocks.json").exists() and "0.25" in " ".join(run.meta.notes)


def test_slime_in_slices_is_refused_where_it_weighs_and_not_recorded_where_it_does_not(
    tokenizer, rocks, tmp_path
):
    sliced = SimpleNamespace(hf_checkpoint="student", context_parallel_size=2)
    with pytest.raises(CannotRecord, match="context-parallel-size 2"):
        slime.Postprocess(None, rocks, 0.0, tokenizer)(sliced, 0, of_slime())
    with pytest.warns(RecordingEnded, match="context-parallel-size 2"):
        slime.Postprocess(tmp_path / "run", tokenizer=tokenizer)(sliced, 0, of_slime())
    slime.Postprocess(tmp_path / "run", tokenizer=tokenizer)(ARGS, 0, {"tokens": []})
    assert not (tmp_path / "run").exists()


def test_a_set_of_another_tokenizer_weighs_nothing(tokenizer, rocks):
    foreign = RockSet(rocks.ids, rocks.rule, "0" * 16, "", {})
    data = of_slime()
    with pytest.raises(BadIntervention):
        slime.Postprocess(None, foreign, 0.0, tokenizer)(ARGS, 0, data)
    assert torch.cat(data["advantages"]).tolist() == [1.0] * 7


def of_verl(step: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """Model output and data as rows of padded prompt and response."""
    width, length = max(map(len, PROMPTS)), max(map(len, RESPONSES))
    left = [[0] * (width - len(p)) + p for p in PROMPTS]
    right = [r + [0] * (length - len(r)) for r in RESPONSES]
    generator = torch.Generator().manual_seed(step)
    shape = (len(PROMPTS), width + length)
    data = {
        "prompts": torch.tensor(left),
        "responses": torch.tensor(right),
        "response_mask": torch.tensor([[1] * len(r) + [0] * (length - len(r)) for r in RESPONSES]),
        "attention_mask": torch.tensor(
            [
                [0] * (width - len(p)) + [1] * (len(p) + len(r)) + [0] * (length - len(r))
                for p, r in zip(PROMPTS, RESPONSES, strict=True)
            ]
        ),
        "teacher_logprobs": torch.randn(*shape, 1, generator=generator),
        "global_steps": step,
    }
    return {"log_probs": torch.randn(*shape, generator=generator).requires_grad_()}, data


def distilling(name: str) -> Any:
    return SimpleNamespace(distillation_loss=SimpleNamespace(loss_mode=name, topk=None))


def test_verl_is_recorded_and_weighed_through_its_own_estimator(
    tokenizer, rocks, tmp_path, monkeypatch
):
    losses = trainers.verl(monkeypatch)
    hook = verl.register("rock_abs", "abs", tmp_path / "run", rocks, 0.5, tokenizer)
    assert losses.DISTILLATION_LOSS_REGISTRY["rock_abs"] is hook
    config = SimpleNamespace(model_config=SimpleNamespace(path="student"))
    output, data = of_verl()
    mine, metrics = hook(config, distilling("rock_abs"), output, data)
    its, _ = losses.DISTILLATION_LOSS_REGISTRY["abs"](config, distilling("abs"), output, data)
    scale = torch.where(torch.isin(data["responses"], torch.tensor(ROCKS)), 0.5, 1.0)
    assert torch.equal(mine, its * scale) and "distillation/mean" in metrics
    mine.sum().backward()
    assert output["log_probs"].grad is not None
    hook(config, distilling("rock_abs"), *of_verl(1))  # a second micro-batch of the step
    hook(config, distilling("rock_abs"), *of_verl(2))
    run = Run.open(tmp_path / "run")
    assert run.steps("tokens") == [0] and run.metrics().rollouts.tolist() == [4]
    logged = tokens_of(run, 0)
    assert logged.token_id.tolist() == sum(RESPONSES, []) * 2
    first = [
        output["log_probs"][b, 4 + t].item() for b, r in enumerate(RESPONSES) for t in range(len(r))
    ]
    assert np.allclose(logged.student_logp[:7], first)
    assert np.allclose(logged.sampled_loss, logged.student_logp - logged.teacher_logp, atol=1e-6)
    assert run.rollouts(step=0).prompt.tolist()[:2] == [tokenizer.decode(p) for p in PROMPTS]
    hook.run.close()  # at the end of the process: the step under way is written
    assert Run.open(run.path).steps("tokens") == [0, 1]


def test_a_tokenizer_that_is_not_there_ends_the_recording_and_not_the_training(
    tmp_path, monkeypatch
):
    data, nowhere = of_slime(), str(tmp_path / "nowhere")
    args = SimpleNamespace(hf_checkpoint=nowhere, use_rollout_logprobs=False)
    hook = slime.Postprocess(tmp_path / "slime")
    with pytest.warns(RecordingEnded):
        hook(args, 0, data)
    hook(args, 1, of_slime(1))
    trainers.verl(monkeypatch)
    loss = verl.register("rock_abs", "abs", tmp_path / "verl")
    config = SimpleNamespace(model_config=SimpleNamespace(path=nowhere))
    with pytest.warns(RecordingEnded):
        found, _ = loss(config, distilling("rock_abs"), *of_verl())
    assert len(found) == 2 and not (tmp_path / "verl").exists()


def test_a_loss_of_verl_that_is_no_estimator_is_refused(monkeypatch):
    trainers.verl(monkeypatch)
    with pytest.raises(CannotRecord, match="no estimator"):
        verl.register("mine", "topk")


def of_kdflow() -> dict[str, torch.Tensor]:
    width = max(len(p) + len(r) for p, r in zip(PROMPTS, RESPONSES, strict=True))
    rows = [p + r for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    # a position is in the mask where the *next* token is of the response
    mask = [
        [0] * (len(p) - 1) + [1] * len(r) + [0] * (width - len(p) - len(r) + 1)
        for p, r in zip(PROMPTS, RESPONSES, strict=True)
    ]
    return {
        "stu_input_ids": torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        "stu_attn_mask": torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows]),
        "stu_loss_mask": torch.tensor(mask),
        "avg_micro_batch_token_num": 7,
    }


class Strategy:
    """Two micro-batches are an update."""

    accumulated_gradient = 2
    args = SimpleNamespace(
        model=SimpleNamespace(student_name_or_path="student", teacher_name_or_path="teacher"),
        kd=SimpleNamespace(kd_loss_fn="rkl"),
    )

    def is_rank_0(self) -> bool:
        return True


def test_kdflow_is_recorded_and_weighed_by_the_predicted_token(
    tokenizer, rocks, tmp_path, monkeypatch
):
    trainers.kdflow(monkeypatch)
    made = kdflow.register("rock_kd", out=tmp_path / "run", rock_set=rocks, weight=0.0)
    batch = of_kdflow()
    student = trainers.logits(batch["stu_input_ids"], V, 0)
    teacher = trainers.logits(torch.zeros(7, dtype=torch.long), V, 1).detach()
    algorithm = made(
        Strategy(), lambda ids: student, lambda hidden: teacher, student_tokenizer=tokenizer
    )
    batch["teacher_hiddens"] = teacher
    for _ in range(3):  # one update and a half
        loss = algorithm.training_step(batch)["loss"]
    ids = torch.tensor(sum(RESPONSES, []))
    ours = token_losses(student[batch["stu_loss_mask"].bool()], teacher, ids)
    held = torch.isin(ids, torch.tensor(ROCKS))
    assert torch.allclose(loss, ours.kl[~held].sum() / 7)  # divided by all tokens as before
    run = Run.open(tmp_path / "run")
    logged = tokens_of(run, 0)
    assert logged.token_id.tolist() == ids.tolist() * 2 and run.steps("tokens") == [0]
    assert np.allclose(logged.kl[:7], ours.kl.detach(), atol=1e-6)
    assert np.allclose(logged.teacher_logp[:7], ours.teacher_logp.detach(), atol=1e-6)
    assert logged.weight.tolist() == (~held).float().tolist() * 2
    assert run.rollouts(step=0).prompt[0] == tokenizer.decode(PROMPTS[0])
    algorithm.rocks.run.close()
    assert Run.open(run.path).meta.status == "stopped"


def test_a_base_that_kdflow_has_not_is_refused(monkeypatch):
    trainers.kdflow(monkeypatch)
    with pytest.raises(CannotRecord, match="KDFlow has not"):
        kdflow.register("mine", base="nothing")


def executed(name: str, rocks: RockSet, weight: float, monkeypatch, tmp_path) -> dict[str, Any]:
    """What a module that was exported holds once its trainer has loaded it."""
    monkeypatch.chdir(tmp_path)
    text = EXPORTERS[name].rendered(Found(rocks, weight)).decode()
    module: dict[str, Any] = {"__name__": f"rocks_{name}"}
    exec(compile(text, name, "exec"), module)
    return module


def test_the_exported_module_of_slime_is_the_hook(rocks, tokenizer, tmp_path, monkeypatch):
    module = executed("slime", rocks, 0.5, monkeypatch, tmp_path)
    module["postprocess"].tokenizer = tokenizer
    data = of_slime()
    module["postprocess"](ARGS, 0, data)
    assert torch.cat(data["advantages"]).tolist() == [
        0.5 if i in ROCKS else 1.0 for i in sum(RESPONSES, [])
    ]
    assert Run.open(tmp_path / "runs" / "slime").steps("tokens") == [0]


def test_the_exported_module_of_verl_registers_its_loss(rocks, tmp_path, monkeypatch):
    losses = trainers.verl(monkeypatch)
    module = executed("verl", rocks, 0.0, monkeypatch, tmp_path)
    assert losses.DISTILLATION_LOSS_REGISTRY["rock_k1"] is module["loss"]
    assert module["loss"].filter.rocks.ids == ROCKS and module["loss"].filter.weight == 0.0


def test_the_exported_module_of_kdflow_registers_its_algorithm(rocks, tmp_path, monkeypatch):
    algorithms = trainers.kdflow(monkeypatch)
    module = executed("kdflow", rocks, 0.0, monkeypatch, tmp_path)
    assert algorithms.ALGO_DICT["rock_kd"] is module["algorithm"]
    assert issubclass(module["algorithm"], algorithms.ALGO_DICT["vanilla_kd"])


@pytest.mark.parametrize(("weight", "written"), [(0.5, 0.5), (0.0, 1e-6)])
def test_the_exported_module_of_prime_rl_weighs_behind_its_stamp_and_keeps_its_count(
    rocks, weight, written, tmp_path, monkeypatch
):
    _, base = trainers.prime_rl(monkeypatch)
    executed("prime-rl", rocks, weight, monkeypatch, tmp_path)
    ids = PROMPTS[0] + RESPONSES[0]
    sample = SimpleNamespace(token_ids=ids, mask=[0, 0, 0, 1, 1, 1, 1], ref_kl_weights=None)
    base.stamp_loss_routing(sample, "ref_kl")
    assert sample.ref_kl_weights == [0, 0, 0, 1, written, 1, written]
    assert sum(w != 0 for w in sample.ref_kl_weights) == sum(sample.mask)
