"""Record and weigh a run of KDFlow, through an algorithm of one's own:

    # my_kd.py, imported before the student's actor is made
    from rockcore.recorders.kdflow import register
    register("rock_kd", out="runs/mine")

    --kd_algorithm rock_kd

The algorithm is KDFlow's own `base`, whose loss of each token is scaled before it is summed; what
KDFlow divides it by stays as it was. The tokens are those *predicted*: at a position of
`stu_loss_mask` stands the token that is read there, and the loss judges the next one. kl and all
other columns are worked out from the logits that the loss sees. Of several processes the first one
records what it trains on. Read in KDFlow at 3a7a217.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rockcore.recorders.hooked import Filter, HookedRun, host
from rockcore.recorders.rows import CannotRecord, Recorded
from rockcore.rocks.rockset import RockSet
from rockcore.training.divergence import token_losses
from rockcore.training.scoring import pieces


def register(
    name: str,
    base: str = "vanilla_kd",
    out: str | Path | None = None,
    rock_set: RockSet | str | Path | None = None,
    weight: float = 0.0,
) -> type:
    """Register `name` as KDFlow's algorithm `base`, recorded to `out` and weighed by `rock_set`.
    Raises CannotRecord for a base that KDFlow has not, BadRockSet.
    """
    from kdflow.algorithms import (  # pyright: ignore[reportMissingImports]
        ALGO_DICT,
        register_algorithm,
    )

    if base not in ALGO_DICT:
        raise CannotRecord(
            f"base = {ascii(base)[:40]}, which KDFlow has not",
            f"It has {', '.join(sorted(ALGO_DICT))[:200]}",
            "Give vanilla_kd",
        )
    made = weighed(ALGO_DICT[base], out, Filter.of(rock_set, weight))
    register_algorithm(name)(made)
    return made


def weighed(base: type, out: str | Path | None, filter: Filter) -> type:
    """A class like `base` whose losses are recorded and weighed; `base` sums what its `loss_fn`
    gives for N positions and V ids, as KDFlow's `vanilla_kd` does.
    """

    class Weighed(base):
        def __init__(self, strategy: Any, student_model: Any, teacher_lm_head: Any, **more: Any):
            super().__init__(strategy, student_model, teacher_lm_head, **more)
            tokenizer = more.get("student_tokenizer") or student_model.tokenizer
            filter.check(tokenizer)
            self.rocks = Step(strategy, tokenizer, None if out is None else Path(out), filter)
            self.loss_fn = self.rocks.weighing(self.loss_fn)

        def training_step(self, micro_batch: dict[str, Any]) -> Any:
            with_loss = self.rocks.of(micro_batch)
            found = super().training_step(micro_batch)
            with_loss.close()
            return found

    Weighed.__name__ = f"Weighed{base.__name__}"
    return Weighed


class Step:
    """The micro-batch that is being trained, and the run that it is written to."""

    def __init__(self, strategy: Any, tokenizer: Any, out: Path | None, filter: Filter):
        self.strategy, self.tokenizer, self.filter = strategy, tokenizer, filter
        first = strategy.is_rank_0()
        about = _about(strategy.args, filter)
        self.run = None if out is None or not first else HookedRun(out, about, filter.rocks)
        self.seen = 0  # micro-batches
        self.batch: dict[str, Any] = {}

    def of(self, micro_batch: dict[str, Any]) -> Step:
        self.batch = micro_batch
        return self

    def close(self) -> None:
        """The micro-batch is over; as many as are accumulated are one step."""
        self.batch, self.seen = {}, self.seen + 1

    def weighing(self, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """KDFlow's loss of N positions, each scaled by the weight of the token it predicts."""

        def loss_N(student_NV: Tensor, teacher_NV: Tensor, *args: Any, **more: Any) -> Tensor:
            found = loss(student_NV, teacher_NV, *args, **more)
            if not self.batch:
                return found
            mask_BT = self.batch["stu_loss_mask"].bool()
            ids_N = self.batch["stu_input_ids"].roll(shifts=-1, dims=1)[mask_BT]
            weight_N = self.filter.of_ids(host(ids_N))
            if self.filter.rocks is not None:
                if found.dim() > 1:  # of every id of the vocabulary
                    found = found.sum(-1)
                found = found * found.new_tensor(weight_N)
            if self.run is not None:
                self._record(self.run, student_NV, teacher_NV, mask_BT, ids_N, weight_N)
            return found

        return loss_N

    def _record(
        self,
        run: HookedRun,
        student_NV: Tensor,
        teacher_NV: Tensor,
        mask_BT: Tensor,
        ids_N: Tensor,
        weight_N: np.ndarray,
    ) -> None:
        values: dict[str, np.ndarray] = {}
        found: list[Recorded] = []
        run.guard(lambda: values.update(_judged(student_NV, teacher_NV, ids_N)))
        run.guard(lambda: found.extend(self._rollouts(mask_BT, host(ids_N), weight_N, values)))
        step = self.seen // max(1, int(getattr(self.strategy, "accumulated_gradient", 1)))
        run.add(step, found, lambda: self.tokenizer)

    def _rollouts(
        self, mask_BT: Tensor, ids_N: np.ndarray, weight_N: np.ndarray, values: dict[str, Any]
    ) -> list[Recorded]:
        """A row of the micro-batch is a rollout; its prompt is all up to the first position whose
        next token is judged.
        """
        read_BT, mask = host(self.batch["stu_input_ids"]), host(mask_BT)
        there_BT = host(self.batch["stu_attn_mask"]) != 0
        ends, found = np.cumsum(mask.sum(1)), []
        for row, end in enumerate(ends):
            at = slice(end - mask[row].sum(), end)
            first = int(np.argmax(mask[row]))
            prompt = read_BT[row, : first + 1][there_BT[row, : first + 1]]
            found.append(
                Recorded(
                    self.tokenizer.decode(prompt),
                    self.tokenizer.decode(ids_N[at], skip_special_tokens=True),
                    ids_N[at],
                    weight_N[at],
                    {name: x[at] for name, x in values.items()},
                )
            )
        return found


@torch.no_grad()
def _judged(student_NV: Tensor, teacher_NV: Tensor, ids_N: Tensor) -> dict[str, np.ndarray]:
    """Our own numbers of the positions, each (N,)."""
    N, V = student_NV.shape
    found = [
        token_losses(student_NV[p], teacher_NV[p], ids_N[p])
        for p in pieces(N, V, student_NV.device)
    ]
    names = found[0]._fields if found else ()
    return {name: host(torch.cat([getattr(f, name) for f in found])) for name in names}


def _about(args: Any, filter: Filter) -> dict[str, Any]:
    model, kd = args.model, args.kd
    return {
        "student": str(model.student_name_or_path),
        "teacher": str(model.teacher_name_or_path),
        "source": "KDFlow",
        "objective": str(kd.kd_loss_fn),
        "notes": [
            "kl is the reverse divergence at temperature 1, whatever the loss is, over the ids "
            "that both heads have",
            "Of several processes the first one recorded what it trained on",
            *filter.note("The loss"),
        ],
    }
