"""A run that a trainer writes through a hook: it begins with the first step that the hook sees, and
nothing tells when it ends but the end of the process.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.interventions import Arm, Batch, check_set, load_set, weights
from rockcore.log.folders import ROCKS
from rockcore.log.lock import locked
from rockcore.recorders.guard import MAY_FAIL, Guard
from rockcore.recorders.rows import Recorded, Recording, begun, refuse_weight
from rockcore.rocks.rockset import RockSet
from rockcore.schema import RunMeta, tokenizer_hash
from rockcore.training.models import Model
from rockcore.training.vocabulary import vocabulary_columns


@dataclass
class Filter:
    """The tokens that a hook weighs, if any. Raises CannotRecord for a weight that is no factor."""

    rocks: RockSet | None
    weight: float = 0.0

    def __post_init__(self) -> None:
        refuse_weight(self.weight)

    @classmethod
    def of(cls, rock_set: RockSet | str | Path | None, weight: float) -> Filter:
        """Raises BadRockSet for a file that holds none."""
        given = rock_set is None or isinstance(rock_set, RockSet)
        return cls(rock_set if given else load_set(Path(rock_set)), weight)  # pyright: ignore

    def check(self, tokenizer: Any) -> None:
        """Raises BadIntervention for a set of another tokenizer: its ids mean other tokens."""
        if self.rocks is not None:
            known = tokenizer_hash(tokenizer.get_vocab()), rows_of(tokenizer)
            check_set(Path("the rock set"), self.rocks, *known)

    def of_ids(self, ids: np.ndarray) -> np.ndarray:
        """(N,) float32 for the tokens (N,) that are predicted, as the arm `soft` weighs them."""
        if self.rocks is None:
            return np.ones(len(ids), np.float32)
        batch = Batch(np.asarray(ids), np.array([len(ids)]))
        return weights(Arm("soft", self.rocks.ids, self.weight), batch)

    def note(self, what: str) -> list[str]:
        """What a reader of the log must know of it."""
        if self.rocks is None:
            return []
        n = len(self.rocks.ids)
        return [f"{what} of {n} token types counts {self.weight:g} times in the loss"]


def tokenizer_of(folder: str | Path) -> Any:
    """The tokenizer of a folder or a hub name; no code that it brings along is run."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def rows_of(tokenizer: Any) -> int:
    """The number of ids up to the largest that a tokenizer has."""
    return max(tokenizer.get_vocab().values()) + 1


@dataclass
class HookedRun:
    """The log that a hook of one process writes, step after step; what fails ends the recording
    with one warning.
    """

    out: Path
    about: dict[str, Any]  # of RunMeta: source, estimator, student, teacher, …
    rocks: RockSet | None = None
    guard: Guard = field(default_factory=Guard)
    _run: Recording | None = None
    _held: ExitStack = field(default_factory=ExitStack)

    def add(self, step: int, rollouts: Sequence[Recorded], tokenizer: Callable[[], Any]) -> None:
        """Rollouts of a step; those of the step before are written with the first of the next."""
        if step != self.guard.at:
            self.finish_step()
        self.guard.at = step
        self.guard(lambda: self._begun(tokenizer()).add(rollouts))

    def finish_step(self) -> None:
        """Write the step that is under way."""
        run = self._run
        if run is not None:
            self.guard(lambda: run.finish_step(self.guard.at))

    def close(self) -> None:
        """The process ends: nothing has said whether the training did."""
        self.finish_step()
        run, why = self._run, self.guard.broken
        if run is not None:
            with suppress(*MAY_FAIL):
                at = self.guard.at
                run.close(
                    "failed" if why else "stopped",
                    f"the recording ended early: {why}"
                    if why
                    else f"its trainer's process ended after step {at}",
                )
        self._held.close()
        self._run = None

    def _begun(self, tokenizer: Any) -> Recording:
        if self._run is None:
            lock = self._held.enter_context(locked(self.out, "training"))
            V = rows_of(tokenizer)
            meta = RunMeta(
                name=self.out.resolve().name,
                tokenizer_hash=tokenizer_hash(tokenizer.get_vocab()),
                vocab_size=V,
                **begun(**self.about),
            )
            model = Model(meta.student, None, tokenizer, frozenset(), None, False, shared_ids=V)
            self._run = Recording.begin(self.out, meta, vocabulary_columns(model), lock)
            if self.rocks is not None:
                self._run.writer.write_text(ROCKS, self.rocks.to_json())
            atexit.register(self.close)
        return self._run


def host(values: Any) -> np.ndarray:
    """Numbers of a tensor of any device and type, or of a list."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu() if values.is_floating_point() else values.cpu()
    return np.asarray(values)
