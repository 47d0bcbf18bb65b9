"""Rows of an export: one text each, with the values of its tokens; a row that cannot be one is
told by file, line and field, and left out.

Every value sits at the index of the token it judges: `values_of` shifts and signs as the mapping
says, and refuses arrays of another length; nothing is cut to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from rockcore.importers.format import MOST_ID, OF_TOKENS, Field

_ROUNDING = 1e-3  # nats; half precision makes log probabilities this much larger than 0


class BadRow(ValueError):
    """A row that cannot be a text: which field, and what is wrong with it."""

    def __init__(self, field: str, what: str):
        super().__init__(f"{field}: {what}")
        self.field, self.what = field, what


class RowError(NamedTuple):
    """Why a row was left out."""

    where: str  # file and line, or file and index
    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}, {self.field}: {self.what}"


@dataclass(frozen=True)
class Text:
    """One rollout of a step.

    `token_ids` (T,) are those of the response, None where the export has text alone; `values` holds
    (T,) floats by our columns, NaN where unknown. `key` tells the text from others of its step: of
    two with the same one the second is left out, and texts that are judged at several steps are
    known by it.
    """

    step: int
    where: str
    key: int | str | None = None
    prompt: str | None = None
    teacher_prompt: str | None = None
    response: str | None = None
    answer: str | None = None
    correct: bool | None = None
    truncated: bool | None = None
    token_ids: np.ndarray | None = None
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    tokens: Sequence[str] | None = None  # what the export itself says each token's text is


def texts_of(
    records: Iterable[tuple[str, Any]],
    build: Callable[[str, Any], Text | None],
) -> Iterator[Text | RowError]:
    """A text or an error of each record, which comes behind its place ("file, line 7"); `build`
    makes the text, None for a record that is none of ours, or raises BadRow. A record may itself be
    a BadRow: it could not be read.
    """
    for where, record in records:
        try:
            if isinstance(record, BadRow):
                raise record
            text = build(where, record)
        except BadRow as e:
            yield RowError(where, e.field, e.what)
        else:
            if text is not None:
                yield text


def lookup(record: Mapping[str, Any], source: str) -> Any:
    """The value of a field, None where it is missing; "a.b" is b within a."""
    if source in record:
        return record[source]
    value: Any = record
    for name in source.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def given(fields: Iterable[Field], record: Mapping[str, Any], column: str) -> Any:
    """The value of a record for a column, of the first field that has one; None where none has.

    Raises BadRow where a field is required.
    """
    of_column = [f for f in fields if f.column == column]
    for f in of_column:
        if (value := lookup(record, f.source)) is not None:
            return value
    for f in of_column:
        if f.required:
            raise BadRow(f.source, f"is missing{f' ({f.absent})' if f.absent else ''}")
    return None


def string_of(fields: Iterable[Field], record: Mapping[str, Any], column: str) -> str | None:
    """The same as text. Raises BadRow for what is none."""
    value = given(fields, record, column)
    if value is None or isinstance(value, str):
        return value
    raise BadRow(_source(fields, column), f"is {_kind(value)}, not text")


def values_of(
    fields: Iterable[Field],
    record: Mapping[str, Any],
    length: int,
    start: int = 0,
    logps: str = "",
) -> dict[str, np.ndarray]:
    """The values of a response of `length` tokens, which begins at index `start` of prompt and
    response together: (T,) float32 by column, shifted and signed.

    `logps` (trainer or sampler) picks among the fields that are one's alone. Raises BadRow for an
    array that does not fit.
    """
    found: dict[str, np.ndarray] = {}
    for f in fields:
        if f.column not in OF_TOKENS or f.column in found or (f.logps and f.logps != logps):
            continue
        value = lookup(record, f.source)
        if value is None:
            if f.required:
                raise BadRow(f.source, f"is missing{f' ({f.absent})' if f.absent else ''}")
            continue
        found[f.column] = f.sign * _of_response(numbers_of(value, f.source), f, length, start)
    return found


def _of_response(array: np.ndarray, f: Field, length: int, start: int) -> np.ndarray:
    """The part of an array that judges the response; NaN where nothing does."""
    covered = start + length if f.whole else length
    if len(array) not in (covered, covered - f.shift):
        raise BadRow(f.source, f"has {len(array)} values for {covered} tokens")
    judged = np.full(covered, np.nan, np.float32)  # of every token the array speaks of
    there = array[: covered - f.shift] if f.shift >= 0 else array[-f.shift :]
    first = max(f.shift, 0)
    judged[first : first + len(there)] = there
    return judged[covered - length :]


def numbers_of(value: Any, source: str) -> np.ndarray:
    """Numbers as (T,) float32, null as NaN. Raises BadRow for what is no list of numbers."""
    array = _array(value, source)
    if array.dtype.kind == "O":
        if not all(v is None or type(v) in (int, float) for v in array):
            raise BadRow(source, "has entries that are no numbers")
        try:
            array = np.array([np.nan if v is None else float(v) for v in array])
        except OverflowError as e:
            raise BadRow(source, "has a number beyond what a float can be") from e
    if array.dtype.kind not in "iuf":
        raise BadRow(source, f"is of type {array.dtype}, not numbers")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def ids_of(value: Any, source: str) -> np.ndarray:
    """Token ids as (T,) int32. Raises BadRow for what is no list of ids."""
    array = _array(value, source)
    if not len(array):
        return np.zeros(0, np.int32)
    if array.dtype.kind not in "iu":
        raise BadRow(source, f"is of type {array.dtype}, not whole numbers")
    _refuse_ids(array, source)
    return array.astype(np.int32)


def _refuse_ids(ids: np.ndarray, source: str) -> None:
    if ids.min() < 0 or ids.max() > MOST_ID:
        raise BadRow(source, f"has ids from {ids.min()} to {ids.max()}, not from 0 to {MOST_ID:,}")


def _array(value: Any, source: str) -> np.ndarray:
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise BadRow(source, f"is {_kind(value)}, not a list")
    # a short pickle may name one list a billion times, and texts are as wide as the longest
    if not isinstance(value, np.ndarray) and not all(map(_is_scalar, {*map(type, value)})):
        raise BadRow(source, "has entries that are no numbers")
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as e:  # lists of several lengths
        raise BadRow(source, "is no list of numbers") from e
    if array.ndim != 1:
        raise BadRow(source, f"has {array.ndim} dimensions, not one")
    return array


def _is_scalar(kind: type) -> bool:
    return issubclass(kind, (int, float, complex, type(None), np.number, np.bool_))


def spelled_out(text: Text) -> Text:
    """The text with halves of surrogate pairs, which are no text, spelled out."""
    wrong: dict[str, Any] = {
        name: value.encode(errors="backslashreplace").decode()
        for name in ("where", "key", "prompt", "teacher_prompt", "response", "answer")
        if isinstance(value := getattr(text, name), str) and not _is_whole(value)
    }
    if text.tokens is not None and not all(map(_is_whole, text.tokens)):
        wrong["tokens"] = [t.encode(errors="backslashreplace").decode() for t in text.tokens]
    return replace(text, **wrong) if wrong else text


def _is_whole(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def refuse_impossible(text: Text) -> None:
    """Raises BadRow for a text whose numbers contradict themselves or the log's contract."""
    if type(text.step) is not int or not 0 <= text.step < 2**31:
        raise BadRow("step", f"is {ascii(text.step)[:80]}, not a whole number from 0 on")
    if type(text.key) not in (int, str, type(None)) or (
        isinstance(text.key, int) and abs(text.key) >= 2**63
    ):
        raise BadRow("rollout_id", f"is {ascii(text.key)[:80]}, neither a whole number nor text")
    for name in ("correct", "truncated"):
        if type(getattr(text, name)) not in (bool, type(None)):
            raise BadRow(name, f"is {ascii(getattr(text, name))[:80]}, neither true nor false")
    T = None if text.token_ids is None else len(text.token_ids)
    if T is None and text.tokens is not None:
        T = len(text.tokens)
    refuse_no_tokens(T)
    if text.token_ids is not None:
        _refuse_ids(text.token_ids, "token_id")
    if T is None and text.response is None:
        raise BadRow("response", "is missing, and there are no token ids")
    for column, values in text.values.items():
        if T is None or len(values) != T:
            raise BadRow(column, f"has {len(values)} values for {T or 0} tokens")
        _refuse_values(column, values)


def refuse_no_tokens(count: int | None) -> None:
    """Raises BadRow for a response that is said to have tokens, and has none."""
    if count == 0:
        raise BadRow("token_id", "the response has no token")


def _refuse_values(column: str, values: np.ndarray) -> None:
    unbounded = column.endswith(("_logp", "_entropy")) or column in ("weight", "proj_grad_norm")
    if not unbounded and (n := int(np.isinf(values).sum())):
        raise BadRow(column, f"has {n} of {len(values)} values that are infinite")
    if column.endswith("_logp") and (wrong := values > _ROUNDING).any():
        raise BadRow(
            column, f"has {wrong.sum()} log probabilities above 0, e.g. {values[wrong][0]}"
        )
    if column.endswith(("_entropy", "_norm")) and (wrong := values < -_ROUNDING).any():
        raise BadRow(column, f"has {wrong.sum()} values below 0, e.g. {values[wrong][0]}")


def with_sampled_loss(text: Text) -> Text:
    """The text with log p_student − log p_teacher, where it has both and not their difference; not
    known where either is infinite.
    """
    student, teacher = text.values.get("student_logp"), text.values.get("teacher_logp")
    if student is None or teacher is None or "sampled_loss" in text.values:
        return text
    with np.errstate(invalid="ignore"):
        sampled = student - teacher
    sampled[np.isinf(sampled)] = np.nan
    return replace(text, values={**text.values, "sampled_loss": sampled})


def _source(fields: Iterable[Field], column: str) -> str:
    return next((f.source for f in fields if f.column == column), column)


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "text", bool: "true or false"}.get(
        type(value), f"of type {type(value).__name__}"
    )
