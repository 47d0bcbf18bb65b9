"""Follow TRL's trainer through its steps: what the loss judged becomes a step of the log, and the
probe texts are rescored between two of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import numpy as np
import torch

from rockcore.recorders.guard import MAY_FAIL, Guard
from rockcore.recorders.live import LiveProbes, live_model
from rockcore.recorders.rows import CannotRecord, Recorded, Recording, Update
from rockcore.recorders.trl_tap import MicroBatch, replaced
from rockcore.schema import Prompt
from rockcore.training.models import Model, check_room
from rockcore.training.rollouts import Rollouts


class Recorder:
    """What is under way: the rollouts of the step, the probes, and how it ends."""

    def __init__(
        self, trainer: Any, run: Recording | None, prompts: list[Prompt] | None, every: int
    ):
        self.trainer, self.run, self.prompts, self.every = trainer, run, prompts, every
        self.guard = Guard()
        self.sample_s = 0.0
        self._taken: list[MicroBatch] = []
        self._asked: dict[tuple[int, ...], tuple[str, str | None]] = {}  # prompts by their ids
        self._rate: float | None = None
        self._norm: Any = None
        self._probes: LiveProbes | None = None
        self._first: Rollouts | None = None

    def take(self, batch: MicroBatch) -> None:
        """Keep a micro-batch until its step is over: to fetch it now would stop the device."""
        self._taken.append(batch)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """However the block ends, run.json says so."""
        status, reason = "finished", ""
        try:
            yield
        except KeyboardInterrupt:
            status, reason = "stopped", f"interrupted at step {self.guard.at}"
            raise
        except BaseException as e:
            status, reason = "failed", f"{type(e).__name__}: {e}"
            raise
        finally:
            state = self.trainer.state
            if status == "finished" and self.guard.at < 0:
                status, reason = "stopped", "nothing was trained while it was recorded"
            elif status == "finished" and state.global_step < state.max_steps:
                status = "stopped"
                reason = f"the trainer stopped after {state.global_step} of {state.max_steps} steps"
            run = self.run
            if run is not None and not self.guard.broken:
                self.guard(lambda: run.close(status, reason))
            if run is not None and self.guard.broken:
                with suppress(*MAY_FAIL):  # it was told already; to write it down may yet succeed
                    run.close("failed", f"the recording ended early: {self.guard.broken}")

    @contextmanager
    def following(self) -> Iterator[None]:
        """Within it the trainer tells of its steps, of what it samples and of its gradients."""
        callback = _callback(self)
        self.trainer.add_callback(callback)
        generate = getattr(self.trainer, "_generate_and_score_completions", None)
        norm = getattr(self.trainer, "_get_grad_norm", None)
        told = partial(self._generated, generate) if generate else None
        seen = partial(self._normed, norm) if norm else None
        try:
            with (
                replaced(self.trainer, "_generate_and_score_completions", told)
                if told
                else nullcontext(),
                replaced(self.trainer, "_get_grad_norm", seen) if seen else nullcontext(),
            ):
                yield
        finally:
            self.trainer.remove_callback(callback)

    def _generated(self, generate: Callable[..., Any], inputs: Any) -> Any:
        start = time.perf_counter()
        found = generate(inputs)
        if self.trainer.model.training:
            self.sample_s += time.perf_counter() - start
            self.guard(lambda: self._ask(inputs, found))
        return found

    def _ask(self, inputs: list[dict[str, Any]], found: dict[str, Any]) -> None:
        """Keep the rows of the data set by their ids: they are shuffled before they are trained."""
        self._asked = {}
        for row, ids in zip(inputs, _unpadded(found, "prompt"), strict=True):
            text, answer = _turn(row.get("prompt")), row.get("answer")
            if text is not None:
                self._asked[ids] = (text, answer if isinstance(answer, str) else None)

    def _normed(self, norm: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._norm = norm(*args, **kwargs)
        return self._norm

    # --- what the trainer's callbacks tell

    def begin(self, state: Any) -> None:
        run = self.run
        if state.global_step <= self.guard.at:
            self.guard(partial(_refuse_again, state.global_step, self.guard.at))
        elif run is not None:
            self.guard(lambda: run.writer.save_meta(steps_planned=state.max_steps))
        self.guard.at = max(self.guard.at, state.global_step)

    def begin_step(self, state: Any) -> None:
        self.guard.at = state.global_step
        self._taken, self.sample_s = [], 0.0
        if self.prompts is not None and self.run is not None:
            self.guard(lambda: self._rescore(self.guard.at))

    def before_update(self, optimizer: Any) -> None:
        self._rate = float(optimizer.param_groups[0]["lr"])

    def end_step(self) -> None:
        """Write the step. Every process gets here, also one whose recording has ended: they wait
        for each other.
        """
        rollouts: list[Recorded] = []
        self.guard(lambda: rollouts.extend(self._rollouts()))
        shares = _gathered(self.trainer, (self.guard.broken, rollouts))
        lost = next((why for why, _ in shares if why), "")
        if lost and not self.guard.broken:
            self.guard(partial(_refuse_part, lost))
        run = self.run
        if run is not None:
            self.guard(lambda: self._write(run, [r for _, share in shares for r in share]))

    def end(self, state: Any) -> None:
        if self.prompts is not None and self.run is not None and self._first is not None:
            self.guard.at = max(self.guard.at, state.global_step)
            self.guard(lambda: self._rescore_last(state.global_step))

    # --- guarded

    def _write(self, run: Recording, rollouts: list[Recorded]) -> None:
        run.add(rollouts)
        norm = self._norm.item() if isinstance(self._norm, torch.Tensor) else self._norm
        seconds = {"log_s": self.guard.seconds, "sample_s": self.sample_s}
        self.guard.seconds = 0.0  # what writing takes from here on is told in the next step's row
        run.finish_step(self.guard.at, Update(self._rate, norm, seconds))

    def _rollouts(self) -> list[Recorded]:
        taken, self._taken = self._taken, []
        return [r for batch in taken for r in rollouts_of(self.trainer, batch, self._asked)]

    def _rescore(self, step: int) -> None:
        if self._first is not None and step % self.every:
            return
        probes = self._made_probes()
        if self._first is None:
            self._first = probes.write("first", step)
        probes.rescore("first", step, self._first)

    def _rescore_last(self, step: int) -> None:
        """The final student's own texts are scored under it alone: the earlier ones are gone."""
        probes = self._made_probes()
        assert self._first is not None
        probes.rescore("first", step, self._first)
        probes.rescore("final", step, probes.write("final", step))

    def _made_probes(self) -> LiveProbes:
        if self._probes is None:
            assert self.prompts is not None and self.run is not None
            student, teacher = models_of(self.trainer)
            most = self.trainer.args.max_completion_length
            check_room(student, teacher, self.prompts, most)
            sampling = most, self.trainer.temperature, self.trainer.args.seed
            writer = self.run.writer
            self._probes = LiveProbes(self.prompts, student, teacher, writer, *sampling)
        return self._probes


def rollouts_of(
    trainer: Any, batch: MicroBatch, asked: dict[tuple[int, ...], tuple[str, str | None]]
) -> list[Recorded]:
    """The rows of a micro-batch, fetched from the device. `asked`: what is known of the prompts by
    their ids; others are written as the ids' text.
    """
    host = {name: x.cpu().numpy() for name, x in batch.inputs.items()}
    weight, judged = batch.weight.float().cpu().numpy(), batch.judged.cpu().numpy()
    values = {name: x.cpu().numpy() for name, x in batch.values.items()}
    tokenizer, ends, rollouts = trainer._tokenizer, set(trainer.eos_token_ids), []
    for row, prompt_ids in enumerate(_unpadded(host, "prompt")):
        length = int(host["completion_mask"][row].sum())
        ids = host["completion_ids"][row, :length]
        prompt, answer = asked.get(prompt_ids) or (tokenizer.decode(prompt_ids), None)
        rollouts.append(
            Recorded(
                prompt,
                tokenizer.decode(ids, skip_special_tokens=True),
                ids,
                np.where(judged, weight, 0)[row, :length],
                {name: x[row, :length] for name, x in values.items()},
                answer,
                truncated=bool(length) and int(ids[-1]) not in ends,
            )
        )
    return rollouts


def _unpadded(inputs: dict[str, Any], part: str) -> list[tuple[int, ...]]:
    """The ids of `prompt` or `completion`, a row each, without padding on either side."""
    ids, mask = (np.asarray(_host(inputs[f"{part}_{what}"])) for what in ("ids", "mask"))
    return [tuple(row[keep != 0].tolist()) for row, keep in zip(ids, mask, strict=True)]


def _host(x: Any) -> Any:
    return x.cpu() if isinstance(x, torch.Tensor) else x


def _turn(prompt: Any) -> str | None:
    """The text of a prompt that is one, or one turn of a user: what `rockcore` would encode again.
    None for a longer conversation, and for pictures.
    """
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], dict):
        prompt = prompt[0].get("content") if prompt[0].get("role") == "user" else None
    return prompt if isinstance(prompt, str) else None


def _gathered(trainer: Any, share: Any) -> list[Any]:
    """What each process has, on all of them."""
    if trainer.accelerator.num_processes == 1:
        return [share]
    from accelerate.utils import gather_object

    return gather_object([share])


def _refuse_again(step: int, at: int) -> None:
    raise CannotRecord(
        f"The trainer began again at step {step}, and step {at} is recorded",
        "Two trainings would be in one log",
        "Record the second one into a folder of its own",
    )


def _refuse_part(why: str) -> None:
    raise CannotRecord(
        f"Another process records no longer ({why})",
        "A part of a step would be taken for the whole",
        "Look at the first warning",
    )


def _callback(recorder: Recorder) -> Any:
    from transformers import TrainerCallback

    class Follow(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            recorder.begin(state)

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            recorder.begin_step(state)

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            recorder.before_update(kwargs["optimizer"])

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            recorder.end_step()

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            recorder.end(state)

    return Follow()


def nets_of(trainer: Any) -> tuple[Any, Any]:
    """Student and teacher as they are inside of what distributes or adapts them."""
    nets = [trainer.accelerator.unwrap_model(m) for m in (trainer.model, trainer.teacher_model)]
    return tuple(n.get_base_model() if hasattr(n, "get_base_model") else n for n in nets)


def models_of(trainer: Any) -> tuple[Model, Model]:
    """The same in the roles of ours."""
    ends = trainer.eos_token_ids
    student, teacher = (
        live_model(name_of(net), net, trainer._tokenizer, ends, _half(trainer, net))
        for net in nets_of(trainer)
    )
    return student, teacher


def _half(trainer: Any, net: Any) -> bool:
    return bool(trainer.args.bf16) and next(net.parameters()).dtype == torch.float32


def name_of(net: Any) -> str:
    return getattr(net.config, "_name_or_path", "") or type(net).__name__
