"""One shard as arrays: whole rollouts at the steps that are read of them, checked as a log is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rockcore.rocks.corpus import Corpus
from rockcore.rocks.gather import checked_loss, lowest
from rockcore.scale.plan import Plan, Shard, file_of
from rockcore.scale.source import Source
from rockcore.schema import DamagedRun

_IDS = ("rollout_id", "position", "token_id")


class Read(NamedTuple):
    """A shard: its occurrences, and the gradient norms at each of its steps, None where a step has
    none.
    """

    corpus: Corpus
    grads: tuple[np.ndarray | None, ...]  # (N,) float32


def read(plan: Plan, shard: Shard, grads: bool = False, only_first: bool = False) -> Read:
    """The rows of a shard, in the order of rollout and position. `grads`: with gradient norms;
    `only_first`: at the first of its steps alone. Raises DamagedRun or BadLoss.
    """
    source, column = Source(shard.address), plan.rule.column
    ids: dict[str, np.ndarray] = {}
    losses, norms = [], []
    for at, step in enumerate(shard.steps[:1] if only_first else shard.steps):
        name = file_of(plan.source, step)
        wanted = [*_IDS, column, *(["grad_norm"] if grads else [])]
        rows = _rows(source, name, shard, at, wanted)
        found = {each: rows[each] for each in _IDS}
        if not ids:
            ids = found
            _refuse_gaps(source, name, found)
        elif not all(np.array_equal(ids[each], found[each]) for each in _IDS):
            raise DamagedRun(
                f"{source.address}/{name} holds other tokens than the same texts at step "
                f"{shard.steps[0]}",
                "The losses before and after would belong to different texts",
                "Log the texts again under every checkpoint, or set mode to bounds",
            )
        loss = rows.get(column, np.full(len(ids["token_id"]), np.nan, np.float32))
        losses.append(checked_loss(source.path / name, column, loss, lowest(source.meta)))
        norms.append(rows.get("grad_norm"))
    starts = np.flatnonzero(ids["position"] == 0)
    rollouts = ids["rollout_id"][starts]
    corpus = Corpus(
        shard.steps[: len(losses)], rollouts, starts, ids["token_id"], tuple(losses), norms[-1]
    )
    return Read(corpus, tuple(norms))


def _rows(
    source: Source, name: str, shard: Shard, at: int, columns: list[str]
) -> dict[str, np.ndarray]:
    """Some columns of the shard's rollouts, sorted."""
    pieces: list[dict[str, np.ndarray]] = []
    for batch in source.batches(name, shard.groups[at], columns):
        rows = {
            field: batch.column(field).to_numpy(zero_copy_only=False)
            for field in batch.schema.names
        }
        inside = (rows["rollout_id"] >= shard.first) & (rows["rollout_id"] < shard.after)
        if inside.any():
            pieces.append({field: values[inside] for field, values in rows.items()})
    if not pieces:
        return {field: np.zeros(0, _TYPES.get(field, np.float32)) for field in columns}
    rows = {field: np.concatenate([p[field] for p in pieces]) for field in pieces[0]}
    return _in_order(rows)


_TYPES: dict[str, Any] = dict.fromkeys(_IDS, np.int32)


def _in_order(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rollout, position = rows["rollout_id"], rows["position"]
    same = rollout[1:] == rollout[:-1]
    if ((rollout[1:] > rollout[:-1]) | (same & (position[1:] > position[:-1]))).all():
        return rows
    order = np.lexsort((position, rollout))
    return {field: values[order] for field, values in rows.items()}


def _refuse_gaps(source: Source, name: str, rows: dict[str, np.ndarray]) -> None:
    """Raises DamagedRun unless the positions of each rollout count from 0, and the tokens can be
    some.
    """
    rollout, position, token = (rows[field] for field in _IDS)
    new = np.ones(len(rollout), bool)
    new[1:] = rollout[1:] != rollout[:-1]
    wanted = np.arange(len(rollout)) - np.repeat(
        np.flatnonzero(new), np.diff(np.append(np.flatnonzero(new), len(rollout)))
    )
    if len(bad := np.flatnonzero(position != wanted)):
        raise DamagedRun(
            f"{source.address}/{name} has rollout {rollout[bad[0]]} with position "
            f"{position[bad[0]]} where {wanted[bad[0]]} belongs",
            "The positions of a text count from 0, without gaps and none twice",
            "Copy the file from a backup, or log the texts again",
        )
    size = source.meta.vocab_size
    if len(bad := np.flatnonzero((token < 0) | ((token >= size) if size else False))):
        raise DamagedRun(
            f"{source.address}/{name} has the token id {token[bad[0]]}, and the vocabulary of "
            f"{source.path.name} {size:,} tokens",
            "What it stands for is not known",
            "Copy the file from a backup, or log the texts again",
        )
