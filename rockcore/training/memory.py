"""How much memory and disk a session will take, before it takes it.

What can be counted is counted (weights, gradients, AdamW's two moments, the cache of keys and
values); what a backward pass keeps is measured on three short texts and carried on to the length of
a group, so it needs no knowledge of the architecture. It says the most there is at one moment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from rockcore.config import ResolvedConfig
from rockcore.schema import Prompt
from rockcore.training import generation, groups, recomputing, reread, scoring
from rockcore.training.models import Ids, Model, encode_all
from rockcore.training.threads import lanes_for

_LENGTHS = (8, 24, 48)  # of the texts that are tried
_LATER = 80 << 20  # that a process on a CPU takes beside: libraries that are loaded late (measured)
_PASSES = 9  # arrays of a piece of logits that `divergence.judge` and its gradient have at once


class Estimate(NamedTuple):
    """Bytes on the student's device at the worst moment of a session."""

    device: torch.device
    now: int  # before the first step: models, libraries
    lasting: int  # gradients and the optimizer
    reread: int  # what the teacher has read of the fixed texts
    activations: int  # of the groups of texts that are worked on at once, up to the hidden states
    logits: int  # a piece of both models' predictions on each lane, and what is computed from it
    sampling: int  # keys and values, and a row of logits for each text that is written at once
    reading: int  # a checkpoint on its way in

    @property
    def peak(self) -> int:
        moments = self.activations + self.logits, self.sampling, self.reading
        return self.now + self.lasting + self.reread + max(moments)


class Disk(NamedTuple):
    """Bytes that a run's checkpoints take."""

    checkpoints: int  # how many there will be
    each: int
    optimizer: int  # beside the last one; while it is replaced there are two

    @property
    def peak(self) -> int:
        return self.checkpoints * self.each + 2 * self.optimizer


def estimate(
    config: ResolvedConfig, student: Model, teacher: Model, tasks: Sequence[Prompt]
) -> Estimate:
    """What the session of this configuration will take, once both models are loaded. `tasks`: of
    which the longest will be answered.
    """
    prompt = max(map(len, _longest(student, tasks)), default=1)
    texts = max(config.rollouts, config.probes, config.final_probes, config.held_out)
    length = prompt + config.max_new_tokens
    trained = sum(p.nbytes for p in student.trained)
    lanes = lanes_for(config, student, teacher) or 1
    fixed = max(config.probes, config.final_probes, config.gradient_texts if config.probes else 0)
    beside = teacher.device == student.device
    return Estimate(
        device=student.device,
        now=_taken(student.device),
        lasting=3 * trained,
        reread=reread.kept_bytes(teacher, fixed * config.max_new_tokens) if beside else 0,
        activations=_activations(config, student, teacher, length, lanes),
        logits=lanes * _logits(student, length * config.rollouts),
        sampling=max(
            _sampling(student, min(texts, 128), length),
            # answers of both decodings are written on lanes of their own
            min(lanes, 2 * -(-config.held_out // 128))
            * _sampling(student, min(config.held_out, 128), length),
        ),
        reading=trained if student.device.type == "cpu" else 0,
    )


def disk(config: ResolvedConfig, student: Model) -> Disk:
    """What the checkpoints of the whole session will take."""
    trained = sum(p.nbytes for p in student.trained)
    kept = len({*range(0, config.steps + 1, config.probe_every), config.steps})
    return Disk(kept, trained, 2 * trained)


def told(
    config: ResolvedConfig, student: Model, teacher: Model, tasks: Sequence[Prompt]
) -> list[str]:
    """Both as a sentence each, with what is free, and a warning where that will not do."""
    found, files = estimate(config, student, teacher, tasks), disk(config, student)
    parts = {
        "now": found.now,
        "gradients and optimizer": found.lasting,
        "fixed texts": found.reread,
        "activations": found.activations,
        "logits": found.logits,
        "writing": found.sampling,
    }
    listed = ", ".join(f"{name} {in_words(part)}" for name, part in parts.items())
    memory = f"memory on {found.device}: about {in_words(found.peak)} at its peak ({listed})"
    space = (
        f"disk: {files.checkpoints} checkpoint{'s' * (files.checkpoints > 1)} of "
        f"{in_words(files.each)}, the last with an optimizer of {in_words(files.optimizer)}: "
        f"{in_words(files.peak)} at most, besides the log"
    )
    return [
        memory + _against(found.peak - found.now, free_memory(found.device), _LESS_MEMORY),
        space + _against(files.peak, _free_disk(config.out), "a larger --probe-every, or --lora"),
    ]


_LESS_MEMORY = "a smaller --micro-batch, --gradient-checkpointing or --lora"


def _against(needed: int, free: int | None, cure: str) -> str:
    """What is free beside what is needed, and what would help."""
    if free is None:
        return ""
    if needed <= free:
        return f"; {in_words(free)} are free"
    return f"; only {in_words(free)} ARE FREE, it will likely not fit: try {cure}"


def _activations(
    config: ResolvedConfig, student: Model, teacher: Model, length: int, lanes: int
) -> int:
    """Of the largest group of rollouts, or one on each lane: what the student keeps for its
    gradient, the hidden states of both models and what the teacher has at once of a layer.
    """
    most = groups.most_rows(student, teacher, config.rollouts)
    rows = config.micro_batch or max(1, min(groups.padded_tokens(teacher) // length, most))
    rows = min(rows, config.rollouts)
    at_once = min(lanes, -(-config.rollouts // rows))
    own_gradient = sum(p.nbytes for p in student.trained) if lanes > 1 else 0
    every, token, square = _kept(student)
    kept = int(every + rows * (token * length + square * length**2))
    hidden = 4 * rows * length * (student.width + teacher.width)
    if not student.projects:  # the predictions of whole texts
        hidden = 4 * rows * length * (3 * student.vocab_size + teacher.vocab_size)
    aside = 4 * rows * length * 8 * teacher.width if teacher.device == student.device else 0
    return at_once * (max(0, kept) + hidden + aside + own_gradient)


def _kept(student: Model) -> np.ndarray:
    """Bytes that the student keeps for a gradient: in any case, for each token, and for each pair
    of tokens of a text (0 where attention is not written out).
    """
    kept = [_saved(student, n) for n in _LENGTHS]
    with recomputing.at_once(student) as layers:
        if layers:  # of one layer everything is there again, when its turn comes
            whole = [_saved(student, n) for n in _LENGTHS]
            kept = [k + (w - k) / layers for k, w in zip(kept, whole, strict=True)]
    powers = np.vander(np.array(_LENGTHS, float), 3, increasing=True)
    return np.linalg.solve(powers, np.array(kept, float))


def _saved(student: Model, n: int) -> int:
    """Bytes that are kept for the gradient of one text of n tokens, weights aside."""
    own = {p.untyped_storage().data_ptr() for p in student.net.parameters()}
    seen: dict[int, int] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
            held.append(x)  # an address must not be given anew meanwhile
        return x

    held: list[torch.Tensor] = []
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        features = student.features([[0]], [[0] * (n - 1)])
    del features
    return sum(seen.values())


def _logits(student: Model, positions: int) -> int:
    """A piece of predictions, what is computed from it, and the head's gradient before it is
    added.
    """
    head = student.head
    piece = scoring.piece_rows(student.vocab_size, student.device)
    cells = min(piece, positions) * head.shape[0]
    return 4 * _PASSES * cells + (head.nbytes if head.requires_grad else 0)


def _sampling(student: Model, texts: int, length: int) -> int:
    """Keys and values of the texts that are written together, and their next predictions."""
    places = generation.places(student.net, student.half)
    rows = min(texts, max(1, places // length))
    keys = rows * length * generation.cache_bytes(student.net, student.half)
    return keys + 4 * 4 * rows * student.head.shape[0]


def _longest(student: Model, tasks: Sequence[Prompt]) -> list[Ids]:
    """The ids of the prompts that have the most characters."""
    most = sorted(tasks, key=lambda task: len(task.prompt))[-4:]
    return encode_all(student, most, teacher=False)


def _taken(device: torch.device) -> int:
    """Bytes in use on a device: of a GPU by torch, else by this process and what it yet loads."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") + _LATER
    return 0


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on a device, where that can be told: on Linux, within the limit
    of a container.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    free: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")]
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / f"memory.{n}").read_text() for n in ("max", "current"))
        free.append(max(0, int(limit) - int(used)))  # "max", where there is no limit, is no number
    return min(free, default=None)


def _free_disk(out: Path) -> int | None:
    with suppress(OSError):
        there = next(p for p in (out.resolve(), *out.resolve().parents) if p.exists())
        return shutil.disk_usage(there).free
    return None


def in_words(size: float) -> str:
    """A number of bytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
