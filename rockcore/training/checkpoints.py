"""Students on disk: one Hugging Face folder a checkpoint, the optimizer beside the last one. No
pickles.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rockcore.schema import LogWriteError, RockError
from rockcore.training.models import Model

_OPTIMIZER = "optimizer.safetensors"


class NoCheckpoint(RockError, FileNotFoundError):
    """A run cannot be resumed for want of a checkpoint."""


class Checkpoints:
    """The folder `checkpoints/` of a run."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, step: int) -> Path:
        return self.folder / f"step={step:06d}"

    def steps(self) -> list[int]:
        """The steps of the students that are kept."""
        found = (re.fullmatch(r"step=(\d+)", p.name) for p in self.folder.glob("step=*"))
        return sorted(int(m.group(1)) for m in found if m)

    def save(self, step: int, student: Model, optimizer: torch.optim.Optimizer, every: int) -> None:
        """Write the student and the optimizer of `step`, whole or not at all.

        Older optimizer states are dropped, and so is a student of no multiple of `every`: a run
        that was stopped in between had written it to be able to go on. Raises LogWriteError.
        """
        final, tmp = self.path(step), self.folder / f".step={step:06d}.{os.getpid()}.tmp"
        try:
            tmp.mkdir(parents=True, exist_ok=True)
            student.save(tmp)
            save_file(_flat(optimizer), tmp / _OPTIMIZER)
            if final.exists():  # moved aside, so that at every moment one of the two is whole
                os.replace(final, old := self.folder / f".{final.name}.old")
                os.replace(tmp, final)
                shutil.rmtree(old)
            else:
                os.replace(tmp, final)
        except (OSError, SafetensorError) as e:
            shutil.rmtree(tmp, ignore_errors=True)
            raise LogWriteError(
                f"{final} could not be written ({getattr(e, 'strerror', None) or e})",
                "Without checkpoints a run can be neither resumed nor rescored",
                "Free space or fix the permissions, then go on with --resume",
            ) from e
        for other in self.steps():
            if other != step:
                (self.path(other) / _OPTIMIZER).unlink(missing_ok=True)
                if other % every:
                    shutil.rmtree(self.path(other))

    def load_weights(self, step: int, student: Model) -> None:
        """Put the weights of a checkpoint into the student, in place; raises NoCheckpoint if they
        are not whole or another model's.
        """
        weights = _read(self.path(step) / "model.safetensors")
        missing, unexpected = student.net.load_state_dict(weights, strict=False)
        student.net.tie_weights()
        missing = set(missing) - set(student.net.all_tied_weights_keys)
        if missing or unexpected:
            raise NoCheckpoint(
                f"{self.path(step)} lacks {sorted(missing)} and has {unexpected} too many",
                "It is of another model",
                "Resume with the student the run began with",
            )

    def restore_last(self, student: Model, optimizer: torch.optim.Optimizer) -> int:
        """Student and optimizer of the last checkpoint that can be resumed; returns its step.
        Raises NoCheckpoint.
        """
        whole = [s for s in self.steps() if (self.path(s) / _OPTIMIZER).exists()]
        if not whole:
            raise NoCheckpoint(
                f"{self.folder} has no checkpoint with an optimizer",
                "There is nothing to go on from",
                "Start a new run in another folder",
            )
        self.load_weights(whole[-1], student)
        _unflatten(optimizer, _read(self.path(whole[-1]) / _OPTIMIZER))
        return whole[-1]


def _read(file: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as e:
        raise NoCheckpoint(
            f"{file} cannot be read ({e})",
            "The run cannot go on from it",
            "Delete this checkpoint or start a new run",
        ) from e


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's state as named tensors; empty before the first step."""
    state = optimizer.state_dict()["state"]
    return {
        f"{i}.{name}": value.contiguous()
        for i, values in state.items()
        for name, value in values.items()
    } or {"empty": torch.zeros(1)}


def _unflatten(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key != "empty":
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
