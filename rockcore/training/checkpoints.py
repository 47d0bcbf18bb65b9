"""Students on disk: one Hugging Face folder a checkpoint, the optimizer beside the last one. No
pickles.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rockcore.log.files import make_folders
from rockcore.log.lock import RunGone
from rockcore.schema import LogWriteError, RockError
from rockcore.training import adapters
from rockcore.training.loading import ModelNotFound, read_net
from rockcore.training.models import Model

Weights = dict[str, torch.Tensor]
_OPTIMIZER = "optimizer.safetensors"


class NoCheckpoint(RockError, FileNotFoundError):
    """A run cannot be resumed for want of a checkpoint."""


class Checkpoints:
    """The folder `checkpoints/` of a run."""

    def __init__(self, folder: Path, still_there: Callable[[], None] = lambda: None):
        """`still_there` raises RunGone where the run is no longer at its place."""
        self.folder, self.still_there = folder, still_there

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
        self.still_there()
        try:
            self.sweep()
            make_folders(tmp, within=self.folder.parent)
            student.save(tmp)
            save_file(_flat(optimizer), tmp / _OPTIMIZER)
            self.still_there()
            if final.exists():  # moved aside, so that at every moment one of the two is whole
                os.replace(final, self.folder / f".{final.name}.old")
            os.replace(tmp, final)
            self._drop_older(step, every)
        except (OSError, SafetensorError) as e:
            self.still_there()
            raise LogWriteError(
                f"{final} could not be written ({getattr(e, 'strerror', None) or e})",
                "Without checkpoints a run can be neither resumed nor rescored",
                "Free space or fix the permissions, then go on with --resume",
            ) from e
        finally:  # also after an interrupt
            self._clear_away(tmp)

    def _clear_away(self, tmp: Path) -> None:
        """Leave nothing half done, and where the run was taken away nothing at all: whoever saves a
        model makes the folders above it again.
        """
        shutil.rmtree(tmp, ignore_errors=True)
        try:
            self.still_there()
        except RunGone:
            with suppress(OSError):  # only what is empty
                self.folder.rmdir()
                self.folder.parent.rmdir()
        else:
            with suppress(OSError):  # what a disk refuses now is done when the run goes on
                self.sweep()

    def _drop_older(self, step: int, every: int) -> None:
        """Drop the optimizers of all steps but one, and students that nobody asked to keep."""
        for other in self.steps():
            if other != step:
                (self.path(other) / _OPTIMIZER).unlink(missing_ok=True)
                if other % every:  # out of sight at once: half a folder must not look like a whole
                    os.replace(self.path(other), self.folder / f".step={other:06d}.gone.tmp")

    def sweep(self) -> None:
        """Finish what a killed process left half done: a checkpoint that was moved aside and not
        replaced comes back, everything else temporary goes.
        """
        for old in self.folder.glob(".step=*.old"):
            final = self.folder / old.name.removeprefix(".").removesuffix(".old")
            if final.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(old, final)
        for tmp in self.folder.glob(".step=*.tmp"):
            shutil.rmtree(tmp, ignore_errors=True)

    def load_weights(self, step: int, student: Model) -> None:
        """Put the weights of a checkpoint into the student, in place; raises NoCheckpoint if they
        are not whole or another model's.
        """
        if adapters.are_in(student.net):
            own = adapters.weights_of(student.net)
            found = _read(self.path(step) / adapters.WEIGHTS)
            self._refuse_another(step, own.keys(), own, found)
            adapters.put(student.net, found)
            return
        own = student.net.state_dict()
        needed = own.keys() - student.net.all_tied_weights_keys.keys()
        found = _plain_weights(self.path(step))
        if not needed <= found.keys() <= own.keys():
            found = _translated_weights(self.path(step))
        self._refuse_another(step, needed, own, found)
        student.net.load_state_dict(found, strict=False)
        student.net.tie_weights()

    def _refuse_another(
        self, step: int, needed: Collection[str], own: Weights, found: Weights
    ) -> None:
        """Raises NoCheckpoint for weights that are not the student's, by their names and shapes."""
        wrong = sorted(
            name
            for name in {*needed, *found}
            if name not in own or name not in found or found[name].shape != own[name].shape
        )
        if wrong:
            raise NoCheckpoint(
                f"{self.path(step)} and the student differ in {len(wrong)} weights, e.g. "
                f"{wrong[0]}",
                "It is of another model",
                "Resume with the student the run began with",
            )

    def restore_last(self, student: Model, optimizer: torch.optim.Optimizer) -> int:
        """Student and optimizer of the last checkpoint that can be resumed; returns its step.
        Raises NoCheckpoint.
        """
        self.sweep()
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


def _plain_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in the one file of a checkpoint; empty where there are several."""
    file = folder / "model.safetensors"
    return _read(file) if file.exists() else {}


def _translated_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint under the names they have in memory.

    Some families' files name or cut them in another way (GPT-NeoX, mixtures of experts): what
    transformers did when it saved them, it undoes when it reads. So other programs can read a
    checkpoint too, which a file of our own naming would not allow.
    """
    try:
        return read_net(str(folder), torch.float32).state_dict()
    except ModelNotFound as e:
        raise NoCheckpoint(
            f"{folder} holds no whole model ({e.__cause__})",
            "The run cannot go on from it",
            "Delete this checkpoint or start a new run",
        ) from e


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
