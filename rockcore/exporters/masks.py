"""The set position by position, over the logged rollouts of a run."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore.exporters.found import BadExport, Found
from rockcore.log import Run
from rockcore.log.checks import read_columns
from rockcore.log.files import steps_and_files

MASK = pa.schema(
    [
        ("step", pa.int32()),
        ("rollout_id", pa.int32()),
        ("position", pa.int32()),  # within the response, from 0
        ("token_id", pa.int32()),
        ("keep", pa.bool_()),  # whether the token that is predicted there is none of the set
        ("weight", pa.float32()),
        # whether the token that is read there, the one before, is: what KDFlow's own freeze takes;
        # null at the first position, where it is one of the prompt
        ("read_in_set", pa.bool_()),
    ]
)


def write_mask(found: Found, file: BinaryIO) -> None:
    """Parquet with the columns MASK, a row group a step: one row for each response token that was
    logged as training went on. The weights are those of prime-rl's `ref_kl_weights` and of slime's
    hook, at response positions. Raises BadExport, DamagedRun.
    """
    run = found.needed_run("mask")
    steps = steps_and_files(run.path, "tokens")
    if not steps:
        raise BadExport(
            f"{run.path.name} has no logged tokens",
            "A mask is for the positions of its rollouts",
            "Wait for its first step, or export ids or weights",
        )
    with pq.ParquetWriter(file, MASK, compression="zstd") as writer:
        for step, _ in steps:
            writer.write_table(_of_step(found, run, step))


class Places(NamedTuple):
    """The response tokens of one step, rollouts one after another."""

    rollout_id: np.ndarray
    position: np.ndarray
    token_id: np.ndarray


def _places(run: Run, step: int) -> Places:
    names = ["rollout_id", "position", "token_id"]
    rows = read_columns(dict(steps_and_files(run.path, "tokens"))[step], names)
    order = np.lexsort((rows["position"], rows["rollout_id"]))
    return Places(*(rows[name][order] for name in names))


def _of_step(found: Found, run: Run, step: int) -> pa.Table:
    at = _places(run, step)
    held, read, first = *_held_and_read(found, at), at.position == 0
    columns = [
        pa.array(np.full(len(held), step, np.int32)),
        *(pa.array(x, pa.int32()) for x in at),
        pa.array(~held),
        pa.array(np.where(held, found.weight, 1.0).astype(np.float32)),
        pa.array(read, mask=first),
    ]
    return pa.Table.from_arrays(columns, schema=MASK)


def _held_and_read(found: Found, at: Places) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool each: where a token of the set is predicted, and where one is read."""
    held = found.holds(at.token_id)
    return held, np.append(False, held[:-1]) & (at.position > 0)


class Freezes(NamedTuple):
    """What a freeze by the token predicted holds back in a run, beside one by the token read."""

    tokens: int
    predicted: int
    read: int
    both: int

    def __str__(self) -> str:
        return (
            f"of {self.tokens:,} logged tokens {self.predicted:,} are of the set, {self.read:,} "
            f"follow one, {self.both:,} are both"
        )


def freezes(found: Found) -> Freezes:
    """Count both over the last logged step. Raises BadExport, DamagedRun."""
    run = found.needed_run("mask")
    steps = steps_and_files(run.path, "tokens")
    if not steps:
        return Freezes(0, 0, 0, 0)
    held, read = _held_and_read(found, _places(run, steps[-1][0]))
    return Freezes(len(held), int(held.sum()), int(read.sum()), int((held & read).sum()))
