"""Plain tables in our own columns: JSON lines, one row a rollout with a list for each column of its
tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rockcore import schema
from rockcore.importers.format import OF_TEXTS, OF_TOKENS, Export, Field, Format, Peek
from rockcore.importers.rows import (
    BadRow,
    RowError,
    Text,
    given,
    ids_of,
    string_of,
    texts_of,
    values_of,
)
from rockcore.schema import strict_json


def _records(export: Export) -> Iterator[tuple[str, Any]]:
    for file in export.files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                export.advance(len(line))
                yield f"{file.name}, line {number}", _record(line)


def _record(line: bytes) -> Any:
    try:
        record = strict_json.parse(line)
    except ValueError as e:
        return BadRow("line", str(e)[:200])
    return record if isinstance(record, dict) else BadRow("line", "is no object")


def _read(export: Export) -> Iterator[Text | RowError]:
    fields = export.fields

    def build(where: str, record: dict[str, Any]) -> Text:
        ids = given(fields, record, "token_id")
        ids = None if ids is None else ids_of(ids, "token_id")
        return Text(
            step=given(fields, record, "step"),
            where=where,
            key=given(fields, record, "rollout_id"),
            **{
                name: string_of(fields, record, name)
                for name in ("prompt", "teacher_prompt", "response", "answer")
            },
            correct=given(fields, record, "correct"),
            truncated=given(fields, record, "truncated"),
            token_ids=ids,
            values=values_of(fields, record, 0 if ids is None else len(ids)),
        )

    return texts_of(_records(export), build)


def _recognise(peek: Peek) -> bool:
    return peek.has("step", "rollout_id")


TABLE = Format(
    name="table",
    title="plain table",
    patterns=("**/*.jsonl",),
    fields=tuple(
        Field(name, name, required=name in ("step", "rollout_id"))
        for name in (*OF_TEXTS, "rollout_id", "token_id", *OF_TOKENS)
    ),
    recognise=_recognise,
    read=_read,
    estimator="full",
    student_logps="trainer",
)
assert {f.column for f in TABLE.fields} <= {*schema.TOKENS, *schema.ROLLOUTS}
