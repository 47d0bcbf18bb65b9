"""One set of texts under one student, block by block: each block that is judged is kept as a file
until the whole set is written into the log. So a killed scoring goes on where it was, and several
processes share the blocks of one set.

How texts fall into blocks depends on the texts alone: neither a kill nor the number of processes
changes a number.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from rockcore.log.files import commit
from rockcore.schema import DamagedRun
from rockcore.training.clock import Clock
from rockcore.training.models import Model
from rockcore.training.padding import CutMass
from rockcore.training.rollouts import Rollouts
from rockcore.training.scoring import TOPS, Alternatives, Judged, judge_texts

FOLDER = ".parts"  # in the run's folder; no reader of a run looks there
_TOKENS = 16_384  # of a block: what is lost by a kill, and dealt out to processes
_CUT, _SECONDS = "cut", "seconds"
_PHASES = ("teacher_s", "student_s", "projection_s")


@dataclass(frozen=True)
class Parts:
    """The blocks of R rollouts of one step of one table; of the first `whole` rollouts the
    alternatives are kept.
    """

    run: Path
    name: str  # of the table and the step, as a folder
    rollouts: Rollouts
    whole: int = 0
    blocks: list[list[int]] = field(init=False)  # rows, ascending within each

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", _blocks(self.rollouts))

    @property
    def folder(self) -> Path:
        return self.run / FOLDER / self.name

    def missing(self) -> list[int]:
        """The blocks that are not judged yet."""
        return [i for i in range(len(self.blocks)) if not self._file(i).exists()]

    def tokens(self, block: int) -> int:
        """How many response tokens a block has."""
        return sum(len(self.rollouts.responses[r]) for r in self.blocks[block])

    def judge(
        self,
        block: int,
        student: Model,
        teacher: Model,
        check: Callable[[list[int], Judged], None] = lambda rows, scored: None,
    ) -> None:
        """Judge a block and keep what comes out, unless `check` raises over it. Raises
        LogWriteError.
        """
        rows = self.blocks[block]
        texts = self.rollouts.of(rows)
        tops = Alternatives(sum(len(self.rollouts.responses[r]) for r in rows if r < self.whole))
        clock = Clock(student.device)
        scored = judge_texts(student, teacher, texts, clock, watchers=[tops] if tops.first else [])
        check(rows, scored)
        arrays = {**scored.losses, **tops.arrays()}
        arrays[_SECONDS] = np.array([clock.seconds.get(name, 0.0) for name in _PHASES])
        if scored.cut is not None:
            arrays[_CUT] = np.array(scored.cut)
        plain = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
        commit(self._file(block), lambda tmp: tmp.write_bytes(save(plain)), self.run)

    def joined(self) -> tuple[Judged, dict[str, float]]:
        """All blocks as one, in the order of the rollouts, and the seconds they took by phase.
        Raises DamagedRun for one that cannot be read.
        """
        starts = [0, *accumulate(self.rollouts.lengths)]
        first = starts[min(self.whole, len(starts) - 1)]
        losses: dict[str, np.ndarray] = {}
        tops: dict[str, np.ndarray] = {}
        seconds, cut = np.zeros(len(_PHASES)), np.zeros(2)
        is_cut = False
        for block, rows in enumerate(self.blocks):
            arrays = self._read(block)
            seconds += arrays.pop(_SECONDS)
            if _CUT in arrays:
                is_cut = True
                cut += arrays.pop(_CUT) * self.tokens(block)
            at = np.concatenate([np.arange(starts[r], starts[r + 1]) for r in rows])
            for name, values in arrays.items():
                of, size = (tops, first) if name in TOPS else (losses, starts[-1])
                if name not in of:
                    of[name] = np.empty((size, *values.shape[1:]), values.dtype)
                of[name][at[: len(values)]] = values
        mass = CutMass(*(cut / starts[-1]).tolist()) if is_cut else None
        judged = Judged(losses, np.ones(starts[-1], bool), tops, mass)
        return judged, dict(zip(_PHASES, seconds.tolist(), strict=True))

    def clear(self) -> None:
        """Drop the blocks, once the log holds what they did."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, block: int) -> Path:
        return self.folder / f"{block:06d}.safetensors"

    def _read(self, block: int) -> dict[str, np.ndarray]:
        file = self._file(block)
        try:
            return load_file(file)
        except (OSError, SafetensorError) as e:
            raise DamagedRun(
                f"{file} cannot be read ({ascii(str(e))[:80]})",
                "It holds a part of the texts of its step, which is not whole without it",
                "Delete it and give the same command again: that part is judged anew",
            ) from e


def _blocks(rollouts: Rollouts) -> list[list[int]]:
    """Rows of like length together, each block of about _TOKENS response tokens."""
    lengths = [
        max(len(p), len(q)) + len(r)
        for p, q, r in zip(
            rollouts.student_prompts, rollouts.teacher_prompts, rollouts.responses, strict=True
        )
    ]
    blocks: list[list[int]] = []
    size = _TOKENS
    for row in sorted(range(len(lengths)), key=lambda r: (lengths[r], r)):
        if size >= _TOKENS:
            blocks.append([])
            size = 0
        blocks[-1].append(row)
        size += len(rollouts.responses[row])
    return [sorted(block) for block in blocks]


def sweep(run: Path, wanted: Sequence[str] = ()) -> None:
    """Drop the parts of sets that nobody scores any more."""
    for folder in (run / FOLDER).glob("*"):
        if folder.name not in wanted:
            shutil.rmtree(folder, ignore_errors=True)
    if not wanted:
        shutil.rmtree(run / FOLDER, ignore_errors=True)
