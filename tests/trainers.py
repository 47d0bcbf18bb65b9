"""Stand-ins of the parts of verl, KDFlow and prime-rl that a recorder or a filter is hung into, as
their sources have them: enough to run a step, nothing of their code.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch


def _module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> ModuleType:
    """A module and the packages above it, until the test is over."""
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        path = ".".join(parts[:n])
        if path not in sys.modules:
            monkeypatch.setitem(sys.modules, path, ModuleType(path))
        if n > 1:
            above = sys.modules[".".join(parts[: n - 1])]
            monkeypatch.setattr(above, parts[n - 1], sys.modules[path], raising=False)
    for key, value in content.items():
        monkeypatch.setattr(sys.modules[name], key, value, raising=False)
    return sys.modules[name]


def verl(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Its registry of distillation losses, with the estimators k1 and abs and one of top-k."""

    @dataclass
    class DistillationLossSettings:
        names: Any = field(default_factory=list)
        use_topk: bool = False
        use_estimator: bool = False

    losses: dict[str, Any] = {}
    settings: dict[str, Any] = {}

    def register_distillation_loss(about):
        def decorate(function):
            for name in about.names:
                losses[name], settings[name] = function, about
            return function

        return decorate

    def no_padding_2_padding(values, data):
        """Here the values come as rows of prompt and response: those of the responses, each one
        position before its token.
        """
        width, length = data["prompts"].shape[1], data["responses"].shape[1]
        return values[:, width - 1 : width - 1 + length]

    @register_distillation_loss(DistillationLossSettings(names=["k1", "abs"], use_estimator=True))
    def estimator(config, distillation_config, model_output, data):
        s = no_padding_2_padding(model_output["log_probs"], data)
        t = no_padding_2_padding(data["teacher_logprobs"], data).squeeze(-1)
        mode = distillation_config.distillation_loss.loss_mode
        assert mode in ("k1", "abs"), mode
        return (s - t if mode == "k1" else (s - t).abs()), {"distillation/mean": 0.0}

    register_distillation_loss(DistillationLossSettings(names=["topk"], use_topk=True))(estimator)
    _module(monkeypatch, "verl.workers.utils.padding", no_padding_2_padding=no_padding_2_padding)
    utils = SimpleNamespace(get_non_tensor_data=lambda data, key, default: data.get(key, default))
    _module(monkeypatch, "verl.utils", tensordict_utils=utils)
    return _module(
        monkeypatch,
        "verl.trainer.distillation.losses",
        DistillationLossSettings=DistillationLossSettings,
        register_distillation_loss=register_distillation_loss,
        get_distillation_loss_fn=losses.__getitem__,
        get_distillation_loss_settings=settings.__getitem__,
        DISTILLATION_LOSS_REGISTRY=losses,
    )


def kdflow(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Its registry of algorithms with one that sums its loss over the tokens."""
    algorithms: dict[str, type] = {}

    def register_algorithm(name):
        def decorate(cls):
            algorithms[name] = cls
            return cls

        return decorate

    def reverse_kl(student_NV, teacher_NV, reduction="none"):
        lp, lq = student_NV.log_softmax(-1), teacher_NV.log_softmax(-1)
        return (lp.exp() * (lp - lq)).sum(-1)

    @register_algorithm("vanilla_kd")
    class VanillaKD:
        def __init__(self, strategy, student_model, teacher_lm_head, **kwargs):
            self.student, self.teacher_lm_head = student_model, teacher_lm_head
            self.loss_fn = reverse_kl

        def training_step(self, micro_batch):
            mask = micro_batch["stu_loss_mask"].bool()
            student = self.student(micro_batch["stu_input_ids"])[mask]
            teacher = self.teacher_lm_head(micro_batch["teacher_hiddens"])
            loss = self.loss_fn(student, teacher, reduction="none").sum()
            return {"loss": loss / micro_batch["avg_micro_batch_token_num"]}

    return _module(
        monkeypatch,
        "kdflow.algorithms",
        ALGO_DICT=algorithms,
        register_algorithm=register_algorithm,
    )


def prime_rl(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """Its stamp on the weights of samples, and a module that has taken it by name."""

    def stamp_loss_routing(sample, action_loss_type):
        sample.ref_kl_weights = [float(trains) for trains in sample.mask]

    name = "prime_rl.orchestrator.algo"
    routing = _module(monkeypatch, f"{name}.routing", stamp_loss_routing=stamp_loss_routing)
    base = _module(monkeypatch, f"{name}.base", stamp_loss_routing=stamp_loss_routing)
    return routing, base


def logits(ids: torch.Tensor, V: int, seed: int) -> torch.Tensor:
    """Drawn predictions that need a gradient, (…, V)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*ids.shape, V, generator=generator).requires_grad_()
