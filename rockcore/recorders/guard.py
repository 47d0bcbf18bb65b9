"""Recording may fail and the training goes on: what guards the one from the other."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import pyarrow as pa

from rockcore.schema import RockError

# what recording may meet in the middle of a training: of ours, of the disk, of torch (also a full
# card), of Arrow, and of tensors that are not what they were. None of it is worth the training.
MAY_FAIL = (
    RockError,
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    pa.ArrowException,
)


class RecordingEnded(RuntimeWarning):
    """The training goes on, and is recorded no longer."""


class Guard:
    """Does the parts of a recording until one fails; that one is told once, and ends it."""

    def __init__(self) -> None:
        self.broken = ""  # why nothing is recorded any more
        self.at = -1  # the updates that the student of this step has had
        self.seconds = 0.0  # what recording took, until somebody sets it back

    def __call__(self, work: Callable[[], object]) -> None:
        start = time.perf_counter()
        if not self.broken:
            try:
                work()
            except MAY_FAIL as e:
                self.broken = str(e) if isinstance(e, RockError) else f"{type(e).__name__}: {e}"
                warnings.warn(
                    f"the recording ended at step {self.at} ({ascii(self.broken)[1:-1][:400]}); "
                    "the training goes on, and what was recorded before is whole",
                    RecordingEnded,
                    stacklevel=2,
                )
        self.seconds += time.perf_counter() - start
