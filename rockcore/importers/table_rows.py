"""Tables with one row a token: checked row by row, put aside by step, and put together to texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from rockcore.importers.batches import Batch
from rockcore.importers.format import OF_TOKENS, BadExport, Field
from rockcore.importers.parts import Parts
from rockcore.importers.rows import BadRow, RowError, Text
from rockcore.importers.table_files import numbers_in
from rockcore.importers.texts import as_answer, as_text

_WHOLE = ("step", "position", "token_id")
_STRINGS = ("prompt", "teacher_prompt", "response", "answer")
_FLAGS = ("correct", "truncated")
_WHICH_TEXT = "Which text a token belongs to has to be said"
_WHERE = "Where in its text a token stands, from 0, has to be said"
_YES, _NO = ("true", "1"), ("false", "0")
_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("where", "key", "token", *_STRINGS)),
        *(pa.field(name, pa.int64()) for name in ("number", "position", "token_id")),
        *(pa.field(name, pa.bool_()) for name in _FLAGS),
        *(pa.field(name, pa.float32()) for name in OF_TOKENS),
    ]
)


class _Fault(NamedTuple):
    field: str
    what: str


class TokenRows:
    """Rows of a table that are tokens, or further columns of a text, gathered by step."""

    def __init__(self, parts: Parts, fields: Sequence[Field]):
        self.parts = parts
        self.sources: dict[str, set[str]] = {}
        for f in fields:
            self.sources.setdefault(f.column, set()).add(f.source)

    def add(self, batch: Batch, step: int | None) -> Iterator[RowError]:
        """Keep the rows of a batch; those that are wrong are yielded. Raises BadExport where no row
        can say which text it is of, LogWriteError.
        """
        if not batch.rows:
            return
        found, wrong = self._columns(batch)
        if step is not None and "step" not in found:
            found["step"] = np.full(batch.rows, float(step))
        for row, fault in sorted(wrong.items()):
            yield RowError(batch.place(row), fault.field, fault.what)
        right = np.ones(batch.rows, bool)
        right[list(wrong)] = False
        steps = np.nan_to_num(found.pop("step")).astype(np.int64)
        table = _table(batch, found)
        for each in np.unique(steps[right]):
            rows = np.flatnonzero(right & (steps == each))
            self.parts.add(int(each), table.take(pa.array(rows)))

    def _columns(self, batch: Batch) -> tuple[dict[str, np.ndarray], dict[int, _Fault]]:
        """The columns that a batch has, and what is wrong with some of its rows."""
        found: dict[str, np.ndarray] = {}
        wrong: dict[int, _Fault] = {}
        for column, sources in self.sources.items():
            source = next((s for s in sources if s in batch.columns), None)
            if source is None:
                continue
            cells = batch.columns[source]
            found[column], bad, what = _read_as(column, cells, batch.text)
            for row in np.flatnonzero(bad).tolist():
                wrong.setdefault(row, _Fault(source, f"is {ascii(cells[row])[:80]}, {what}"))
        if {"position", "token_id"} <= found.keys():
            lost = np.isnan(found["position"]) & ~np.isnan(found["token_id"])
            for row in np.flatnonzero(lost).tolist():
                wrong.setdefault(row, _Fault("position", "is missing for a token"))
        of_tokens = {"token_id", "token", *OF_TOKENS} & found.keys()
        for needed, why in (("rollout_id", _WHICH_TEXT), ("position", _WHERE)):
            if needed not in found and (of_tokens or needed == "rollout_id"):
                raise BadExport(
                    f"{batch.file} has no column {needed} (found: {_names(batch)})",
                    why,
                    f"Name the field that says it: --map {needed}=FIELD",
                )
        return found, wrong


def _read_as(column: str, cells: Any, text: bool) -> tuple[np.ndarray, np.ndarray, str]:
    """Cells as values of a column of ours, which of them cannot be, and what they are not."""
    if column in _WHOLE:
        values, bad = numbers_in(cells, text)
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            bad |= known & ((values < 0) | (values >= 2**31) | (values % 1 != 0))
        if column == "step":
            bad |= ~known
        return np.where(bad, 0, values), bad, "not a whole number from 0 on"
    if column in OF_TOKENS:
        return *numbers_in(cells, text), "no number"
    if column == "rollout_id":
        return *_keys(cells, text), "neither a whole number nor text"
    if column in _FLAGS:
        return *_flags(cells), "neither true nor false"
    return *_strings(column, cells, text and column != "token"), "not text"


def _names(batch: Batch) -> str:
    return ", ".join(ascii(name)[1:-1][:40] for name in list(batch.columns)[:20])


def _keys(cells: Any, text: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rollout ids, whole numbers where they are, and which of them are neither these nor text."""
    keys = np.empty(len(cells), object)
    keys[:] = [c.item() if isinstance(c, np.generic) else c for c in cells]
    if text:
        keys[:] = [int(c) if _is_number(c) else c or None for c in keys]
    right = [isinstance(c, str) or (type(c) is int and abs(c) < 2**63) for c in keys]
    bad = ~np.array(right, bool)
    keys[bad] = None
    return keys, bad


def _is_number(text: str) -> bool:
    """Whether text says nothing more than a whole number: 007 does."""
    return text.isdecimal() and len(text) < 19 and str(int(text)) == text


def _flags(cells: Any) -> tuple[np.ndarray, np.ndarray]:
    found = np.empty(len(cells), object)
    for i, cell in enumerate(cells):
        said = str(cell).strip().lower()
        found[i] = True if said in _YES else False if said in _NO else None
    empty = [c is None or (isinstance(c, str) and not c.strip()) for c in cells]
    return found, np.array([f is None and not e for f, e in zip(found, empty, strict=True)])


def _strings(column: str, cells: Any, empty_is_null: bool) -> tuple[np.ndarray, np.ndarray]:
    """Texts, or the messages of chats as text, and which cells are neither; an answer may be a
    number.
    """
    found, bad = np.empty(len(cells), object), np.zeros(len(cells), bool)
    for i, cell in enumerate(cells):
        cell = cell.item() if isinstance(cell, np.generic) else cell
        if column == "answer" and type(cell) in (int, float):
            cell = as_answer(cell)
        try:
            text = as_text(list(cell) if isinstance(cell, np.ndarray) else cell, "")
        except BadRow:
            bad[i] = True
            continue
        if text or not empty_is_null:
            found[i] = None if text is None else text.encode(errors="backslashreplace").decode()
    return found, bad


def _table(batch: Batch, found: dict[str, np.ndarray]) -> pa.Table:
    n = batch.rows
    keys = found["rollout_id"]
    columns: dict[str, Any] = {
        "where": pa.array([batch.place(i) for i in range(n)], pa.string()),
        "key": pa.array([k if isinstance(k, str) else None for k in keys], pa.string()),
        "number": pa.array([k if isinstance(k, int) else None for k in keys], pa.int64()),
    }
    for name, field in zip(_SCHEMA.names, _SCHEMA, strict=True):
        if name in columns:
            continue
        if name not in found:
            columns[name] = pa.nulls(n, field.type)
        elif field.type == pa.int64():
            unknown = np.isnan(found[name])
            columns[name] = pa.array(np.nan_to_num(found[name]).astype(np.int64), mask=unknown)
        elif field.type == pa.float32():
            with np.errstate(over="ignore"):
                columns[name] = pa.array(found[name].astype(np.float32))
        else:
            columns[name] = pa.array(list(found[name]), field.type)
    return pa.Table.from_arrays([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def texts_in(parts: Parts) -> Iterator[Text | RowError]:
    """The texts of the rows that were put aside, step by step; a text with a gap is an error."""
    for step in parts.steps():
        table = parts.read(step)
        parts.drop(step)
        if table is None:
            continue
        known = [name for name in _SCHEMA.names if table[name].null_count < len(table)]
        columns = {name: table[name].to_numpy() for name in known}
        columns["number"] = _objects(table["number"].to_pylist())  # some have no exact float
        columns.setdefault("position", np.full(len(table), np.nan))
        code = _rollouts(table["key"].to_pylist(), columns["number"])
        order = np.lexsort((columns["position"], code))
        starts = np.flatnonzero(np.diff(code[order], prepend=-1))
        columns = {name: values[order] for name, values in columns.items()}
        for begin, end in zip(starts, np.append(starts[1:], len(order)), strict=True):
            group = {name: values[begin:end] for name, values in columns.items()}
            try:
                yield _text(step, group)
            except BadRow as e:
                yield RowError(str(group["where"][0]), e.field, e.what)


def _objects(cells: Sequence[Any]) -> np.ndarray:
    found = np.empty(len(cells), object)
    found[:] = cells
    return found


def _rollouts(keys: list[str | None], numbers: np.ndarray) -> np.ndarray:
    """A number a row that is the same where its rollout is."""
    pairs = zip(keys, numbers, strict=True)
    named = _objects([f"text {k}" if n is None else f"number {n}" for k, n in pairs])
    return pd.factorize(named)[0]


def _text(step: int, group: dict[str, np.ndarray]) -> Text:
    """The text of one rollout's rows, which are sorted by position. Raises BadRow."""
    number = group["number"][0]
    key = group["key"][0] if number is None else number
    named = f"rollout {ascii(key)[:80]} of step {step}"
    at = ~np.isnan(group["position"].astype(np.float64))
    _refuse_gaps(group["position"][at].astype(np.int64), named)
    of_tokens = {name: values[at] for name, values in group.items()} if at.any() else {}
    ids, tokens = of_tokens.get("token_id"), of_tokens.get("token")
    ids = None if ids is None or np.isnan(ids).all() else ids
    tokens = None if tokens is None or any(t is None for t in tokens) else list(tokens)
    if of_tokens and ids is None and tokens is None or np.isnan(0 if ids is None else ids).any():
        raise BadRow("token_id", f"is missing at some positions of {named}")
    values = {name: of_tokens[name] for name in OF_TOKENS if name in of_tokens}
    return Text(
        step=step,
        where=str(group["where"][0]),
        key=key,
        **{name: _only(name, group[name], named) for name in (*_STRINGS, *_FLAGS) if name in group},
        token_ids=None if ids is None else ids.astype(np.int32),
        tokens=tokens,
        values={name: v.astype(np.float32) for name, v in values.items() if not np.isnan(v).all()},
    )


def _refuse_gaps(positions: np.ndarray, named: str) -> None:
    """Raises BadRow unless sorted positions count from 0."""
    expected = np.arange(len(positions))
    if len(wrong := np.flatnonzero(positions != expected)):
        i = wrong[0]
        twice = i > 0 and positions[i] == positions[i - 1]
        what = f"{positions[i]} is there twice" if twice else f"{expected[i]} is missing"
        raise BadRow("position", f"{what} in {named}")


def _only(name: str, cells: np.ndarray, named: str) -> Any:
    """The one value that the rows of a text have; None where none has one."""
    found = {cell for cell in cells if cell is not None}
    if len(found) > 1:
        raise BadRow(name, f"has {len(found)} different values in {named}")
    value = found.pop() if found else None
    return value.item() if isinstance(value, np.bool_) else value
