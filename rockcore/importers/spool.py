"""Texts gathered by step, whatever order they come in: in memory while they are few, else in files
beside the run that is being written. What is held does not grow with the export, only with its
largest step.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rockcore.importers.format import OF_TOKENS
from rockcore.importers.parts import MOST_BYTES, Parts
from rockcore.importers.rows import Text

_PLAIN = ("where", "prompt", "teacher_prompt", "response", "answer")
_FLAGS = ("correct", "truncated")
_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in (*_PLAIN, "key")),
        pa.field("number", pa.int64()),  # a key that is one
        *(pa.field(name, pa.bool_()) for name in _FLAGS),
        pa.field("token_ids", pa.list_(pa.int32())),
        pa.field("tokens", pa.list_(pa.string())),
        *(pa.field(name, pa.list_(pa.float32())) for name in OF_TOKENS),
    ]
)
assert {f.name for f in fields(Text)} - {"step", "values"} <= {*_SCHEMA.names}  # none is lost


class Spool:
    """Texts by step."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES):
        self.most_bytes = most_bytes
        self.first: int | None = None  # step
        self._held: dict[int, list[Text]] = defaultdict(list)
        self._parts = Parts(folder, most_bytes=0)
        self._bytes = 0

    def add(self, text: Text) -> None:
        """Raises LogWriteError."""
        if self.first is None or text.step < self.first:
            self.first = text.step
        self._held[text.step].append(text)
        self._bytes += _size(text)
        if self._bytes > self.most_bytes:
            for step, texts in self._held.items():
                self._parts.add(step, _table(texts))
            self._held.clear()
            self._bytes = 0

    def steps(self) -> list[int]:
        return sorted({*self._held, *self._parts.steps()})

    def read(self, step: int) -> list[Text]:
        """The texts of a step in the order in which they came."""
        table = self._parts.read(step)
        return (_texts(step, table) if table else []) + self._held.get(step, [])

    def drop(self, step: int) -> None:
        """Keep its texts no longer."""
        self._held.pop(step, None)
        self._parts.drop(step)


def _size(text: Text) -> int:
    """About how much memory it takes."""
    strings = sum(len(getattr(text, name) or "") for name in _PLAIN)
    tokens = 0 if text.tokens is None else 60 * len(text.tokens)
    ids = 0 if text.token_ids is None else text.token_ids.nbytes
    return 1000 + strings + tokens + ids + sum(v.nbytes for v in text.values.values())


def _table(texts: list[Text]) -> pa.Table:
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(t, name) for t in texts], _SCHEMA.field(name).type)
        for name in (*_PLAIN, *_FLAGS)
    }
    columns["key"] = pa.array([t.key if isinstance(t.key, str) else None for t in texts])
    columns["key"] = columns["key"].cast(pa.string())
    columns["number"] = pa.array(
        [t.key if isinstance(t.key, int) else None for t in texts], pa.int64()
    )
    columns["token_ids"] = _lists([t.token_ids for t in texts], pa.int32())
    tokens = [None if t.tokens is None else list(t.tokens) for t in texts]
    columns["tokens"] = pa.array(tokens, pa.list_(pa.string()))
    for name in OF_TOKENS:
        columns[name] = _lists([t.values.get(name) for t in texts], pa.float32())
    return pa.Table.from_arrays([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def _lists(arrays: list[np.ndarray | None], type: pa.DataType) -> pa.Array:
    """Arrays as one Arrow column of lists, null where there is none."""
    there = [a for a in arrays if a is not None]
    flat = np.concatenate(there) if there else np.zeros(0)
    ends = np.cumsum([0] + [0 if a is None else len(a) for a in arrays])
    return pa.ListArray.from_arrays(
        pa.array(ends, pa.int32()),
        pa.array(flat.astype(type.to_pandas_dtype()), type),
        mask=pa.array([a is None for a in arrays], pa.bool_()),
    )


def _texts(step: int, table: pa.Table) -> list[Text]:
    plain = table.select([*_PLAIN, *_FLAGS, "key", "number", "tokens"]).to_pylist()
    arrays = {name: _arrays(table[name]) for name in ("token_ids", *OF_TOKENS)}
    texts = []
    for i, row in enumerate(plain):
        number: Any = row.pop("number")
        text = Text(step=step, token_ids=arrays["token_ids"][i], **row)
        values = {name: v for name in OF_TOKENS if (v := arrays[name][i]) is not None}
        texts.append(replace(text, values=values, key=text.key if number is None else number))
    return texts


def _arrays(column: pa.ChunkedArray) -> list[np.ndarray | None]:
    found: list[np.ndarray | None] = []
    for chunk in column.chunks:
        flat, ends = chunk.values.to_numpy(), chunk.offsets.to_numpy()
        known = chunk.is_valid().to_numpy(zero_copy_only=False)
        found += [flat[ends[i] : ends[i + 1]] if known[i] else None for i in range(len(chunk))]
    return found
