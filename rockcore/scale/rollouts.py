"""Stage four of a scan, when the set is known: what each rollout of a shard holds of it, of which
the intervals of its shares follow, and the positions of the control that lie there.

A control of positions is drawn as on the whole log: the generator is moved on by as many draws as
the shards before have free positions. One of windows draws anew for each of them, and how often
depends on all that were placed before: no shard can tell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from rockcore import stats
from rockcore.rocks import controls
from rockcore.rocks.corpus import Corpus
from rockcore.scale import buckets, partial, sums
from rockcore.scale.plan import Plan, Shard, key_of
from rockcore.scale.shard import read
from rockcore.stats import Interval

DRAWN = ("positions", "authors")  # the controls that shards can draw


@dataclass(frozen=True)
class Chosen:
    """What a detection chose, in a file that all tasks read."""

    ids: tuple[int, ...]  # of the set, ascending
    next: tuple[int, ...]  # as many again, right below it
    known: buckets.Known
    free: tuple[int, ...]  # of each shard that is judged, the positions of no type of the set

    def save(self, out: Path) -> Path:
        text = json.dumps([self.ids, self.next, self.known, self.free], default=vars)
        file = out / "plans" / f"{key_of('chosen', text)}.json"
        partial.write_text(file, text)
        return file

    @classmethod
    def of(cls, file: Path) -> Chosen:
        ids, after, known, free = json.loads(file.read_text())
        taus, rollouts = tuple(known.pop("taus")), tuple(known.pop("rollouts"))
        its = buckets.Known(taus=taus, rollouts=rollouts, **known)
        return cls(tuple(ids), tuple(after), its, tuple(free))


def free_of(plan: Plan, ids: Sequence[int], out: Path) -> tuple[int, ...]:
    """Of each shard that is judged, the positions of types that are not in the set."""
    found = []
    for shard in plan.of_corpus(plan.last):
        file = sums.paths(plan, shard, out)[0]
        rows = partial.rows_of(file, columns=("step", "token_id", "n"))
        step, token, n = (rows[name].to_numpy() for name in rows.column_names)
        found.append(int(n[(step == shard.steps[-1]) & ~np.isin(token, ids)].sum()))
    return tuple(found)


def paths(plan: Plan, shard: Shard, chosen: Path, out: Path) -> tuple[Path, Path]:
    """Where the rows of the rollouts lie, which are written last, and the control's positions."""
    of_shard = (shard.address, shard.steps, shard.first, shard.after, shard.state)
    asked = (plan.rule.to_json(), plan.mode, plan.buckets, [s.state for s in plan.shards])
    name = f"{key_of('rollouts', of_shard, asked, chosen.name)}.parquet"
    return out / "rollouts" / name, out / "control" / name


def make(plan: Plan, index: int, chosen: Path, out: Path) -> str:
    """Write both of a shard, unless they are there."""
    shard, of = plan.shards[index], Chosen.of(chosen)
    rollouts, control = paths(plan, shard, chosen, out)
    if rollouts.exists() and control.exists():
        return str(rollouts)
    corpus, (norm,) = read(plan, shard, grads=True, only=[-1])
    in_set_N = np.isin(corpus.token_id, of.ids)
    judged = plan.of_corpus(plan.last)
    kept = _kept(plan, judged, shard, of, out)
    at = _drawn(plan, corpus, kept, of, judged.index(shard))
    where = {
        "rollout_id": corpus.rollout_ids[corpus.rollout[at]],
        "position": at - corpus.starts[corpus.rollout[at]],
        "loss": corpus.losses[-1][at],
    }
    partial.write(control, [(0, pa.table(where))], {"rocks": len(kept)})
    partial.write(rollouts, [(0, pa.table(_by_rollout(corpus, norm, in_set_N, kept)))], {})
    return str(rollouts)


def _by_rollout(
    corpus: Corpus, norm: np.ndarray | None, in_set_N: np.ndarray, kept: np.ndarray
) -> dict[str, np.ndarray]:
    def total(at: Any, values: np.ndarray | None = None) -> np.ndarray:
        weights = None if values is None else values[at]
        return np.bincount(corpus.rollout[at], weights, corpus.rollouts)

    loss = corpus.losses[-1]
    norm = np.full(len(loss), np.nan, np.float32) if norm is None else norm
    return {
        "rollout_id": corpus.rollout_ids,
        "tokens": corpus.lengths,
        "type": total(in_set_N),
        "occurrence": total(kept),
        "loss": total(slice(None), loss),
        "loss_in_set": total(in_set_N, loss),
        "grad": total(slice(None), norm),
        "grad_in_set": total(in_set_N, norm),
    }


def _kept(plan: Plan, judged: list[Shard], shard: Shard, of: Chosen, out: Path) -> np.ndarray:
    """The kept occurrences of the set that lie in the shard, from whose first row they count."""
    if not plan.contexts:
        return np.zeros(0, np.int64)
    name, at = buckets.named(plan, of.known, out), []
    for bucket in range(plan.buckets):
        file = buckets.path(name, bucket, out, "kept")
        rows = partial.rows_of(file, judged.index(shard))
        at.append(rows["at"].to_numpy()[np.isin(rows["token_id"].to_numpy(), of.ids)])
    return np.sort(np.concatenate(at)).astype(np.int64)


def _drawn(plan: Plan, corpus: Corpus, kept: np.ndarray, of: Chosen, nth: int) -> np.ndarray:
    """Where in the shard the control lies."""
    if plan.rule.controls == "authors":
        return np.flatnonzero(np.isin(corpus.token_id, of.next))
    if plan.rule.controls != "positions" or not len(kept):
        return np.zeros(0, np.int64)
    draw = np.random.PCG64(plan.rule.seed).advance(sum(of.free[:nth]))
    free = np.flatnonzero(~np.isin(corpus.token_id, of.ids))
    wanted_B = np.bincount(corpus.rollout[kept], minlength=corpus.rollouts)
    return controls.positions(corpus.rows, free, wanted_B, np.random.Generator(draw))


class ByRollout(NamedTuple):
    """What all shards said."""

    rollouts: pd.DataFrame  # as RockReport.rollouts
    shares: dict[str, Interval | None]  # of tokens, loss and gradient: see analysis.rock_share
    control: dict[str, np.ndarray]  # rollout_id, position and loss of each position of it
    rocks: int  # the kept occurrences of the set


def together(plan: Plan, chosen: Path, out: Path) -> ByRollout:
    """Put together what the shards that are judged say."""
    files = [paths(plan, shard, chosen, out) for shard in plan.of_corpus(plan.last)]
    frame = pa.concat_tables([partial.rows_of(rows) for rows, _ in files]).to_pandas()
    control = pa.concat_tables([partial.rows_of(at) for _, at in files])
    names = ["rollout_id", "tokens", "type", "occurrence"]
    if not plan.contexts:
        names.remove("occurrence")
    return ByRollout(
        frame[names],
        {
            "tokens": _share(frame.type, frame.tokens),
            "loss": _share(frame.loss_in_set, frame.loss),
            "gradient": _share(frame.grad_in_set, frame.grad),
        },
        {name: control[name].to_numpy() for name in control.column_names},
        sum(partial.said_by(at)["rocks"] for _, at in files),
    )


def _share(part: pd.Series, whole: pd.Series) -> Interval | None:
    """None of what is not known throughout, or sums to nothing."""
    if not whole.sum(skipna=False) > 0:
        return None
    return stats.share_over_rollouts(part.to_numpy(), whole.to_numpy())
