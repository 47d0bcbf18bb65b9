"""One shard as arrays: whole rollouts at the steps that are read of them, checked as a log is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rockcore import schema
from rockcore.log import contents
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.gather import checked_loss, lowest, other_tokens
from rockcore.scale.errors import BadScan
from rockcore.scale.plan import Plan, Shard, file_of
from rockcore.scale.source import Source
from rockcore.schema.places import Place

_IDS = ("rollout_id", "position", "token_id")


class Read(NamedTuple):
    """A shard: its occurrences, and the gradient norms at each of its steps, None where a step has
    none.
    """

    corpus: Corpus
    grads: tuple[np.ndarray | None, ...]  # (N,) float32


def read(plan: Plan, shard: Shard, grads: bool = False, only: Sequence[int] | None = None) -> Read:
    """The rows of a shard, in the order of rollout and position. `grads`: with gradient norms;
    `only`: at these of its steps, 0 being the first and -1 the last. Raises DamagedRun, BadLoss, or
    BadScan for a file that has changed since it was planned.
    """
    every = range(len(shard.steps))
    chosen = every if only is None else sorted({every[at] for at in only})
    source, column = Source(shard.address), plan.rule.column
    ids: dict[str, np.ndarray] = {}
    losses, norms = [], []
    wanted = ["step", *_IDS, column, *(["grad_norm"] if grads else [])]
    for at in chosen:
        file = source.path / file_of(plan.source, shard.steps[at])
        rows = _rows(plan, source, shard, at, wanted)
        found = {each: rows[each] for each in _IDS}
        if not ids:
            ids = found
        elif not all(np.array_equal(ids[each], found[each]) for each in _IDS):
            raise other_tokens(file, shard.steps[0])
        loss = rows.get(column, np.full(len(ids["token_id"]), np.nan, np.float32))
        if len(loss) and not np.isfinite(loss).any() and (run := source.run) is not None:
            run.holdings().require(column, plan.source)
        losses.append(checked_loss(file, column, loss, lowest(source.meta)))
        norms.append(rows.get("grad_norm"))
    _refuse_changed(plan, source, shard)
    starts = np.flatnonzero(ids["position"] == 0)
    rollouts = ids["rollout_id"][starts]
    corpus = Corpus(
        tuple(shard.steps[at] for at in chosen),
        rollouts,
        starts,
        ids["token_id"],
        tuple(losses),
        norms[-1],
    )
    return Read(corpus, tuple(norms))


def _rows(
    plan: Plan, source: Source, shard: Shard, at: int, columns: list[str]
) -> dict[str, np.ndarray]:
    """Some columns of the shard's rollouts at one of its steps, sorted; held against what the
    schema promises of them, as those of a whole file are.
    """
    name, of = file_of(plan.source, shard.steps[at]), schema.TABLES[plan.source.table]
    vocabulary, pieces = source.vocabulary(), list[pa.Table]()
    for batch in source.batches(name, shard.groups[at], columns):
        some = pa.Table.from_batches([batch])
        contents.refuse_columns(source.path / name, of, some, vocabulary)
        rollout = some["rollout_id"].to_numpy()
        inside = (rollout >= shard.first) & (rollout < shard.after)
        if inside.any():
            pieces.append(some if inside.all() else some.filter(pa.array(inside)))
    if not pieces:
        return {each: np.zeros(0, _TYPES.get(each, np.float32)) for each in columns}
    table = pa.concat_tables(pieces).combine_chunks()
    contents.refuse_keys(source.path / name, Place(Path(source.path), of, shard.steps[at]), table)
    return _in_order({each: table[each].to_numpy() for each in table.column_names})


_TYPES: dict[str, Any] = dict.fromkeys(("step", *_IDS), np.int32)


def _in_order(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rollout, position = rows["rollout_id"], rows["position"]
    same = rollout[1:] == rollout[:-1]
    if ((rollout[1:] > rollout[:-1]) | (same & (position[1:] > position[:-1]))).all():
        return rows
    order = np.lexsort((position, rollout))
    return {field: values[order] for field, values in rows.items()}


def _refuse_changed(plan: Plan, source: Source, shard: Shard) -> None:
    """Raises BadScan where a file was written since the plan was made: what is found would go by
    the name of what was there.
    """
    names = [file_of(plan.source, step) for step in shard.steps]
    if (now := " ".join(source.state(name) for name in names)) != shard.state:
        raise BadScan(
            f"{source.path.name} has changed while it was scanned ({shard.state} was there, "
            f"{now} is)",
            "Sums of the one and of the other would be put together",
            "Start the scan again: it makes anew what has changed",
        )
