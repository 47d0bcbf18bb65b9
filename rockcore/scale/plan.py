"""What a scan reads, cut into shards before any of it is read: ranges of whole rollouts of one
table of texts, from what the footers of the Parquet files say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from rockcore import schema
from rockcore.rocks.gather import Reading, no_tokens, refuse_words, what_to_read
from rockcore.rocks.rule import RockRule
from rockcore.scale.errors import BadScan
from rockcore.scale.source import Source, sources
from rockcore.schema import Texts

ROWS_A_SHARD = 4_000_000  # a worker then needs half a GB
_ROWS_A_BUCKET = 8_000_000
_MOST_BUCKETS = 4096
MADE_BY = 2  # what a partial holds; another number makes all of them anew


@dataclass(frozen=True)
class Shard:
    """Some whole rollouts of one folder, at the steps that are read of the same texts."""

    address: str
    corpus: int  # of which texts, where each checkpoint has its own; 0 where all have the same
    steps: tuple[int, ...]
    first: int  # of the rollout ids it may hold
    after: int  # one beyond the last
    groups: tuple[tuple[int, ...], ...]  # of each step's file the row groups that hold them
    rows: int  # of one step, as far as the footers tell
    state: str  # of its files: path, size and time of each


@dataclass(frozen=True)
class Plan:
    """A whole scan: what is asked, and the shards in the order of the texts."""

    log: str
    rule: RockRule
    mode: str  # paired | bounds | matched | single
    source: Texts
    steps: tuple[int, ...]
    lacks: str  # if single: what the log has in place of two checkpoints
    shards: tuple[Shard, ...]
    buckets: int
    of: int  # shards of the whole log: more than `shards` where a part of it is merged
    rows: int  # positions of the texts that are judged, of the whole log
    bytes: int  # of the files, as they are stored

    @property
    def paired(self) -> bool:
        return self.mode in ("paired", "single")

    @property
    def contexts(self) -> bool:
        """Whether it is known which occurrences are persistent, and in which contexts."""
        return self.mode in ("paired", "matched")

    @property
    def last(self) -> int:
        """The corpus that is judged."""
        return 0 if self.paired else len(self.steps) - 1

    def of_corpus(self, corpus: int) -> list[Shard]:
        """The shards of one corpus, in the order of its rollouts."""
        return [shard for shard in self.shards if shard.corpus == corpus]

    def only(self, shards: Sequence[Shard]) -> Plan:
        """The same for some shards alone."""
        return replace(self, shards=tuple(shards))

    @cached_property
    def meta(self) -> Any:
        return Source(self.shards[0].address).meta

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "source": str(self.source)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        data = json.loads(text)
        shards = tuple(
            Shard(
                **{
                    **each,
                    "steps": tuple(each["steps"]),
                    "groups": tuple(tuple(g) for g in each["groups"]),
                }
            )
            for each in data["shards"]
        )
        rule, steps = RockRule.from_dict(data["rule"]), tuple(data["steps"])
        source = Texts(data["source"])
        return cls(**{**data, "rule": rule, "steps": steps, "source": source, "shards": shards})


def key_of(*parts: Any) -> str:
    """A name for what depends on these parts and on nothing else."""
    text = json.dumps([MADE_BY, *parts], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def file_of(source: Texts, step: int) -> str:
    """Where the tokens of a step lie, below the folder of a log."""
    return schema.TABLES[source.table].file(step)


def plan(location: str, rule: RockRule, rows_a_shard: int = ROWS_A_SHARD) -> Plan:
    """Look at the footers of a log, and cut it. Raises RunNotFound, DamagedRun, NothingToCompare,
    BadRule, or BadScan.
    """
    if rows_a_shard < 1:
        raise BadScan(
            f"{rows_a_shard} rows a shard",
            "A shard holds at least one rollout",
            "Give a number from 1 on",
        )
    folders = sources(location)
    if (run := folders[0].run) is not None:
        refuse_words(run, rule.column)
    read = what_to_read(folders[0], rule)
    for other in folders[1:]:
        if (its := what_to_read(other, rule)).steps != read.steps or its.source != read.source:
            raise BadScan(
                f"{other.path.name} has steps {its.steps} of {its.source}, and "
                f"{folders[0].path.name} {read.steps} of {read.source}",
                "The folders of a glob are read as the parts of one log",
                "Give the folders of one run",
            )
    differ = read.mode in ("bounds", "matched")
    together = [(step,) for step in read.steps] if differ else [read.steps]
    shards = [
        shard
        for corpus, steps in enumerate(together)
        for folder in folders
        for shard in _cut(folder, read, corpus, steps, rows_a_shard)
    ]
    judged = sum(_footer(folder, read.source, read.steps[-1]).num_rows for folder in folders)
    if not all(sum(s.rows for s in shards if s.corpus == c) for c in range(len(together))):
        raise no_tokens(folders[0].path, read.source)
    # those of a match hold the contexts of all texts before training
    of_bucket = _ROWS_A_BUCKET // (8 if read.mode == "matched" else 1)
    names = {(s.address, step) for s in shards for step in s.steps}
    return Plan(
        location,
        rule,
        read.mode,
        read.source,
        read.steps,
        read.lacks,
        tuple(shards),
        min(_MOST_BUCKETS, -(-judged // min(of_bucket, 2 * rows_a_shard)) or 1),
        len(shards),
        judged,
        sum(Source(a).size(file_of(read.source, step)) for a, step in names),
    )


class _Group(NamedTuple):
    """What a footer says of a row group."""

    first: int  # rollout id
    last: int
    rows: int


def _cut(
    folder: Source, read: Reading, corpus: int, steps: tuple[int, ...], rows_a_shard: int
) -> list[Shard]:
    names = [file_of(read.source, step) for step in steps]
    footers = [_groups(_footer(folder, read.source, step)) for step in steps]
    state = " ".join(folder.state(name) for name in names)
    bounds = _bounds(footers[0], rows_a_shard)
    shards = []
    for first, after in zip(bounds, bounds[1:], strict=False):
        groups = tuple(
            tuple(i for i, g in enumerate(file) if g.first < after and g.last >= first)
            for file in footers
        )
        rows = round(sum(_share(g, first, after) * g.rows for g in footers[0]))
        shards.append(Shard(folder.address, corpus, steps, first, after, groups, rows, state))
    return shards


def _footer(folder: Source, texts: Texts, step: int) -> pq.FileMetaData:
    return folder.footer(file_of(texts, step), schema.TABLES[texts.table])


def _share(group: _Group, first: int, after: int) -> float:
    """Of the rows of a group those of some rollouts, as if all were as long."""
    inside = min(group.last + 1, after) - max(group.first, first)
    return max(0, inside) / (group.last + 1 - group.first)


_EVERY = (-(2**31), 2**31)


def _groups(footer: pq.FileMetaData) -> list[_Group]:
    """The row groups; a file that does not say which rollouts are where is one whole shard."""
    column = footer.schema.names.index("rollout_id") if "rollout_id" in footer.schema.names else -1
    found = []
    for i in range(footer.num_row_groups):
        group = footer.row_group(i)
        if not group.num_rows:
            found.append(_Group(0, -1, 0))
            continue
        known = group.column(column).statistics if column >= 0 else None
        ends = (known.min, known.max) if known is not None and known.has_min_max else _EVERY
        found.append(_Group(int(ends[0]), int(ends[1]), group.num_rows))
    return found


def _bounds(groups: list[_Group], rows_a_shard: int) -> list[int]:
    """Rollout ids at which shards begin, and one behind the last. Where row groups follow each
    other a shard ends with one of them, so that few are read twice.
    """
    groups = [g for g in groups if g.rows]
    if not groups:
        return [0, 1]
    first, after = min(g.first for g in groups), max(g.last for g in groups) + 1
    rows = sum(g.rows for g in groups)
    if after - first > 2**31:  # nobody said which rollouts are where
        return [first, after]
    ids = np.array(sorted({g.first for g in groups} | {after}), np.int64)
    if max(g.rows for g in groups) > rows_a_shard:  # cut inside of groups too
        pieces = [np.linspace(g.first, g.last + 1, -(-g.rows // rows_a_shard) + 1) for g in groups]
        ids = np.unique(np.concatenate([ids, *(p.astype(np.int64) for p in pieces)]))
    before = [sum(_share(g, first, int(i)) * g.rows for g in groups) for i in ids]
    wanted = np.linspace(0, rows, -(-rows // rows_a_shard) + 1)[1:-1]
    inner = {int(ids[np.abs(np.subtract(before, place)).argmin()]) for place in wanted}
    return sorted({first, *inner, after})
