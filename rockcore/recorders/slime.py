"""Record and weigh a run of slime, through the hook that it calls for each batch of rollouts after
the advantages are there:

    # my_hook.py, beside the training script
    from rockcore.recorders.slime import Postprocess
    postprocess = Postprocess("runs/mine")

    --rollout-data-postprocess-path my_hook.postprocess

slime has one sampled log-ratio a token, `opd_reverse_kl` = log p_student - log p_teacher, which is
our `sampled_loss`; there is no kl. Its column `kl` is taken against the reference model and never
read. A step here is a rollout of slime, `rollout_id`, which may be several updates. Weights scale
`advantages`, that is the reward's part with the teacher's, where there is one.
Read in slime's sources at 624b824; the fields are looked for by name.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.recorders.hooked import Filter, HookedRun, host, tokenizer_of
from rockcore.recorders.rows import CannotRecord, Recorded
from rockcore.rocks.rockset import RockSet


class Postprocess:
    """The hook: `postprocess(args, rollout_id, rollout_data)`. `out` None: weighs and records
    nothing. Raises BadRockSet or CannotRecord when it is made, CannotRecord or BadIntervention at
    the first call where the weights could not be applied; what fails in the recording ends it
    alone.
    """

    def __init__(
        self,
        out: str | Path | None,
        rock_set: RockSet | str | Path | None = None,
        weight: float = 0.0,
        tokenizer: Any = None,
    ):
        self.filter = Filter.of(rock_set, weight)
        self.tokenizer = tokenizer  # by default that of --hf-checkpoint
        self.run: HookedRun | None = None
        self.out = None if out is None else Path(out)

    def __call__(self, args: Any, rollout_id: int, rollout_data: dict[str, Any]) -> None:
        if "advantages" not in rollout_data:  # a stage of the pipeline that has no losses
            return
        if self.filter.rocks is not None:
            self._weigh(args, rollout_data)
        if self.out is not None and self.run is None:
            about = _about(args, self.filter)
            self.run = HookedRun(self.out, about, self.filter.rocks)
        if self.run is not None and not _is_copy():
            self._record(self.run, args, rollout_id, rollout_data)

    def _record(self, run: HookedRun, args: Any, step: int, data: dict[str, Any]) -> None:
        found: list[Recorded] = []
        run.guard(lambda: found.extend(self._rollouts(args, data)))
        # every process gets here, also one whose recording has ended: they wait for each other
        shares = _gathered((run.guard.broken, found))
        lost = next((why for why, _ in shares if why), "")
        if lost:
            run.guard(partial(_refuse_part, lost))
        if _is_first():
            rollouts = [r for _, share in shares for r in share]
            run.add(step, rollouts, lambda: self._tokenizer(args))
            run.finish_step()

    def _weigh(self, args: Any, data: dict[str, Any]) -> None:
        _refuse_slices(args)
        self.filter.check(self._tokenizer(args))
        for i, ids in enumerate(_responses(data)):
            by_token = self.filter.of_ids(ids)
            advantage = data["advantages"][i]
            data["advantages"][i] = advantage * advantage.new_tensor(by_token)

    def _rollouts(self, args: Any, data: dict[str, Any]) -> list[Recorded]:
        _refuse_slices(args)
        tokenizer, found = self._tokenizer(args), []
        prompts = [host(t)[: len(t) - n] for t, n in zip(*_lengths(data), strict=True)]
        for i, ids in enumerate(_responses(data)):
            values = _values(args, data, i)
            kept = host(data["loss_masks"][i]).astype(np.float32) if "loss_masks" in data else 1.0
            cut = data.get("truncated")
            found.append(
                Recorded(
                    tokenizer.decode(prompts[i]),
                    tokenizer.decode(ids, skip_special_tokens=True),
                    ids,
                    self.filter.of_ids(ids) * kept,
                    values,
                    truncated=None if cut is None else bool(cut[i]),
                )
            )
        return found

    def _tokenizer(self, args: Any) -> Any:
        if self.tokenizer is None:
            self.tokenizer = tokenizer_of(args.hf_checkpoint)
        return self.tokenizer


def _lengths(data: dict[str, Any]) -> tuple[list[Any], list[int]]:
    return list(data["tokens"]), [int(n) for n in data["response_lengths"]]


def _responses(data: dict[str, Any]) -> list[np.ndarray]:
    """The ids of each response: the last ones of prompt and response."""
    return [host(t)[len(t) - n :] for t, n in zip(*_lengths(data), strict=True)]


def _values(args: Any, data: dict[str, Any], i: int) -> dict[str, np.ndarray]:
    """What is known of the tokens of one response, by our names; never slime's `kl`."""
    ours = {
        "sampled_loss": "opd_reverse_kl",
        "student_logp": "rollout_log_probs" if _of_sampler(args) else "log_probs",
        "teacher_logp": "teacher_log_probs",
        "student_entropy": "entropy",
    }
    values = {name: host(data[field][i]) for name, field in ours.items() if data.get(field)}
    if "sampled_loss" not in values and {"student_logp", "teacher_logp"} <= values.keys():
        values["sampled_loss"] = values["student_logp"] - values["teacher_logp"]
    return values


def _of_sampler(args: Any) -> bool:
    return bool(getattr(args, "use_rollout_logprobs", False))


def _refuse_slices(args: Any) -> None:
    size = int(getattr(args, "context_parallel_size", 1) or 1)
    if size > 1:
        raise CannotRecord(
            f"--context-parallel-size {size}",
            "Each process has a slice of the values of a response, in an order of its own",
            "Train without it, or dump with --dump-details, where the slices are put together, and "
            "import that",
        )


def _about(args: Any, filter: Filter) -> dict[str, Any]:
    return {
        "student": str(args.hf_checkpoint),
        "teacher": str(getattr(args, "opd_teacher_load", None) or "teacher"),
        "source": "slime",
        "estimator": "absent",
        "student_logps": "sampler" if _of_sampler(args) else "trainer",
        "objective": "policy gradient with the sampled log-ratio",
        "notes": [
            "A step is a rollout of slime, which may be several updates",
            *filter.note("The advantage"),
        ],
    }


def _is_copy() -> bool:
    """Whether another process of the tensor-parallel group has the same rollouts."""
    mpu = _megatron()
    return mpu is not None and mpu.get_tensor_model_parallel_rank() != 0


def _is_first() -> bool:
    """Whether this process writes for those that it gathers from."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return True
    mpu = _megatron()
    return (dist.get_rank() if mpu is None else mpu.get_data_parallel_rank()) == 0


def _gathered(share: Any) -> list[Any]:
    """What each data-parallel process has, in the order of their ranks."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return [share]
    mpu = _megatron()
    # the stages of a pipeline that have no losses never get here, so the group is not the world
    group = dist.group.WORLD if mpu is None else mpu.get_data_parallel_group()
    shares: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(shares, share, group=group)
    return shares


def _megatron() -> Any:
    try:
        from megatron.core import mpu  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    return mpu if mpu.model_parallel_is_initialized() else None


def _refuse_part(why: str) -> None:
    raise CannotRecord(
        f"Another process records no longer ({why})",
        "A part of a step would be taken for the whole",
        "Look at the first warning",
    )
