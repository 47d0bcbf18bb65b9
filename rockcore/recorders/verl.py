"""Record and weigh a run of verl's on-policy distillation, through a distillation loss of one's
own:

    # my_loss.py, where verl's workers find it
    from rockcore.recorders.verl import register
    register("rock_k1", base="k1", out="runs/mine")

    VERL_USE_EXTERNAL_MODULES=my_loss   distillation.distillation_loss.loss_mode=rock_k1

(or an entry point of the group `verl.plugins` that names the module). The loss is verl's own, of
one of its estimators, scaled token by token; what verl divides it by stays as it was. Of each token
both log probabilities are recorded, and `sampled_loss` with them; there is no kl over the
vocabulary in a loss by estimator. Of several processes the first one records what it trains on.
Read in verl 0.9.1.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.recorders.hooked import Filter, HookedRun, host, tokenizer_of
from rockcore.recorders.rows import CannotRecord, Recorded
from rockcore.rocks.rockset import RockSet


def register(
    name: str,
    base: str = "k1",
    out: str | Path | None = None,
    rock_set: RockSet | str | Path | None = None,
    weight: float = 0.0,
    tokenizer: Any = None,
) -> WeighedLoss:
    """Register `name` as verl's loss `base`, recorded to `out` and weighed by `rock_set`.
    `tokenizer`: a folder or the tokenizer itself; by default that of the actor's config.

    Raises CannotRecord for a base that is no estimator, BadRockSet, and verl's ValueError for a
    name or a base that it has, or has not.
    """
    from verl.trainer.distillation import losses  # pyright: ignore[reportMissingImports]

    settings = losses.get_distillation_loss_settings(base)
    if not settings.use_estimator:
        raise CannotRecord(
            f"base = {ascii(base)[:40]}, which is no estimator by sampled tokens",
            "verl computes losses of the likeliest tokens elsewhere, by names in its own code",
            "Give k1 or k3",
        )
    loss = WeighedLoss(
        losses.get_distillation_loss_fn(base), base, out, Filter.of(rock_set, weight), tokenizer
    )
    mine = losses.DistillationLossSettings(names=[name], use_estimator=True)
    return losses.register_distillation_loss(mine)(loss)


class WeighedLoss:
    """A distillation loss of verl: (config, distillation_config, model_output, data) ->
    (losses [B, T], metrics).
    """

    def __init__(
        self, base: Any, name: str, out: str | Path | None, filter: Filter, tokenizer: Any
    ):
        self.base, self.name, self.filter, self.tokenizer = base, name, filter, tokenizer
        self.out = None if out is None else Path(out)
        self.run: HookedRun | None = None

    def __call__(
        self, config: Any, distillation_config: Any, model_output: Any, data: Any
    ) -> tuple[Any, dict[str, Any]]:
        inner = _as_base(distillation_config, self.name)
        losses_BT, metrics = self.base(
            config=config, distillation_config=inner, model_output=model_output, data=data
        )
        ids_BT = host(_padded(data["responses"]))
        weight_BT = self.filter.of_ids(ids_BT.reshape(-1)).reshape(ids_BT.shape)
        if self.filter.rocks is not None:
            self.filter.check(self._tokenizer(config))
            losses_BT = losses_BT * losses_BT.new_tensor(weight_BT)
        if self.out is not None and _rank() == 0:
            if self.run is None:
                self.run = HookedRun(self.out, _about(config, self), self.filter.rocks)
            self.run.guard(partial(self._record, self.run, config, model_output, data, weight_BT))
        return losses_BT, metrics

    def _record(
        self, run: HookedRun, config: Any, model_output: Any, data: Any, weight_BT: np.ndarray
    ) -> None:
        found = self._rollouts(config, model_output, data, weight_BT)
        run.add(_step(data), found, lambda: self._tokenizer(config))

    def _rollouts(
        self, config: Any, model_output: Any, data: Any, weight_BT: np.ndarray
    ) -> list[Recorded]:
        from verl.workers.utils.padding import (  # pyright: ignore[reportMissingImports]
            no_padding_2_padding,
        )

        student_BT = host(no_padding_2_padding(model_output["log_probs"], data))
        teacher_BT = host(no_padding_2_padding(data["teacher_logprobs"], data))
        # by an estimator the teacher gives one value a token, in an axis of its own
        teacher_BT = teacher_BT.reshape(student_BT.shape)
        mask_BT = host(_padded(data["response_mask"])) != 0
        ids_BT, tokenizer = host(_padded(data["responses"])), self._tokenizer(config)
        found = []
        for row, prompt in enumerate(_rows(data["prompts"], data)):
            length = int(np.flatnonzero(mask_BT[row]).max(initial=-1)) + 1
            known = mask_BT[row, :length]
            s, t = (np.where(known, x[row, :length], np.nan) for x in (student_BT, teacher_BT))
            ids = ids_BT[row, :length]
            found.append(
                Recorded(
                    tokenizer.decode(prompt),
                    tokenizer.decode(ids, skip_special_tokens=True),
                    ids,
                    np.where(known, weight_BT[row, :length], 0.0),
                    {"student_logp": s, "teacher_logp": t, "sampled_loss": s - t},
                )
            )
        return found

    def _tokenizer(self, config: Any) -> Any:
        if self.tokenizer is None:
            self.tokenizer = _model_of(config)
        if isinstance(self.tokenizer, str | Path):
            self.tokenizer = tokenizer_of(self.tokenizer)
        return self.tokenizer


class _as_base:
    """The config of the distillation, whose loss calls itself by the name of another."""

    def __init__(self, config: Any, name: str):
        self._config, self._name = config, name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._config, attribute)
        return _Renamed(value, self._name) if attribute == "distillation_loss" else value


class _Renamed:
    def __init__(self, config: Any, name: str):
        self._config, self.loss_mode = config, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._config, attribute)


def _padded(values: Any) -> Any:
    return values.to_padded_tensor(0) if getattr(values, "is_nested", False) else values


def _rows(prompts: Any, data: Any) -> list[np.ndarray]:
    """The ids of each prompt, without padding."""
    if getattr(prompts, "is_nested", False):
        return [host(row) for row in prompts.unbind()]
    width = prompts.shape[1]
    mask = host(data["attention_mask"])[:, :width] != 0
    return [row[keep] for row, keep in zip(host(prompts), mask, strict=True)]


def _step(data: Any) -> int:
    """Updates before this one: verl counts its steps from 1."""
    from verl.utils import tensordict_utils as tu  # pyright: ignore[reportMissingImports]

    return max(0, int(tu.get_non_tensor_data(data, "global_steps", 1)) - 1)


def _rank() -> int:
    import torch.distributed as dist

    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def _model_of(config: Any) -> str:
    model = getattr(config, "model_config", None)
    path = getattr(model, "local_path", None) or getattr(model, "path", None)
    if path is None:
        raise CannotRecord(
            "The actor's config names no model",
            "Ids become text by the student's tokenizer",
            "Give it: register(…, tokenizer=FOLDER)",
        )
    return str(path)


def _about(config: Any, loss: WeighedLoss) -> dict[str, Any]:
    model = getattr(config, "model_config", None)
    return {
        "student": str(getattr(model, "path", None) or "student"),
        "teacher": "teacher",
        "source": "verl",
        "estimator": "absent",
        "objective": f"the estimator {loss.name}",
        "notes": [
            "Of several processes the first one recorded what it trained on",
            *loss.filter.note("The loss"),
        ],
    }
