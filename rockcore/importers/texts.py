"""Dumps of text alone: prompts and responses by step, no token and no teacher. They can be read,
and judged afterwards: `rockcore score`.

Three layouts: Parquet, a line a text, a line of columns for each call of a logger.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from rockcore.importers.format import Export, Field, Format, Peek
from rockcore.importers.lines import records_in
from rockcore.importers.rows import BadRow, RowError, Text, given, texts_of
from rockcore.importers.table_files import parquet_batches

Records = Iterator[tuple[str, Any]]  # each behind its place


def step_in(file: Path) -> int | None:
    """The last number in a file's name, None without any."""
    numbers = re.findall(r"[0-9]{1,9}", file.stem)
    return int(numbers[-1]) if numbers else None


def parquet_records(export: Export, file: Path) -> Records:
    """The rows of a file with their places. Raises BadExport for one that is no Parquet."""
    rows = 0
    for batch in parquet_batches(export, file):
        for number, record in enumerate(batch.to_pylist(), rows + 1):
            yield f"{file}, row {number}", record
        rows += batch.num_rows


def column_records(export: Export, file: Path) -> Records:
    """The entries of lines that each hold columns, lists of one length; what is no list holds for
    all entries of its line.
    """
    for where, record in records_in(export, file):
        lists = {} if isinstance(record, BadRow) else _lists(record)
        if isinstance(record, BadRow):
            yield where, record
        elif not lists:
            yield where, BadRow("line", "has no columns, lists of one length")
        elif len({*map(len, lists.values())}) > 1:
            lengths = ", ".join(f"{ascii(n)[1:-1][:40]} {len(v)}" for n, v in lists.items())
            yield where, BadRow("line", f"has columns of several lengths: {lengths[:200]}")
        else:
            for i in range(len(next(iter(lists.values())))):
                entry = {name: v[i] if name in lists else v for name, v in record.items()}
                yield f"{where}, entry {i + 1}", entry


def _lists(record: Mapping[str, Any]) -> dict[str, list]:
    return {name: values for name, values in record.items() if isinstance(values, list)}


def _read(records: Callable[[Export, Path], Records], export: Export) -> Iterator[Text | RowError]:
    return chain.from_iterable(
        texts_of(records(export, file), partial(_text, export.fields, export.step_of(file), file))
        for file in export.files
    )


def _text(
    fields: Iterable[Field], step: int | None, file: Path, where: str, record: dict[str, Any]
) -> Text:
    fields = tuple(fields)
    if step is None:
        step = _step(given(fields, record, "step"), file)
    return Text(
        step=step,
        where=where,
        prompt=as_text(given(fields, record, "prompt"), "prompt"),
        response=as_text(given(fields, record, "response"), "response"),
        answer=as_answer(given(fields, record, "answer")),
    )


def _step(value: Any, file: Path) -> int:
    """A step as a logger writes it: a number or its digits; without it that of the file's name."""
    if value is None:
        value = step_in(file)
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        value = int(value)
    if type(value) is not int:
        raise BadRow("step", f"is {ascii(value)[:80]}, and the file's name has no number")
    return value


def as_text(value: Any, source: str) -> str | None:
    """Text, or the messages of a chat as text, a paragraph each. Raises BadRow for what is
    neither.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(map(_is_message, value)):
        return "\n\n".join(f"{m['role']}: {m['content']}" for m in value)
    raise BadRow(source, "is neither text nor the messages of a chat")


def _is_message(value: Any) -> bool:
    parts = (value.get("role"), value.get("content")) if isinstance(value, dict) else (None,)
    return all(isinstance(part, str) for part in parts)


def as_answer(value: Any) -> str | None:
    """The right answer, where it is text or a number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of numbers with gaps makes 4.0 of 4
    if isinstance(value, str):
        return value
    return str(value) if type(value) in (int, float) and value == value else None


def _fields(step: str, prompt: str, response: str, answer: str = "") -> tuple[Field, ...]:
    fields = (
        Field(step, "step", absent="the number in the file's name is taken"),
        Field(prompt, "prompt", absent="the prompt is not shown"),
        Field(response, "response", required=True),
    )
    gts = Field(answer, "answer", absent="no right answer is known")
    return (*fields, gts) if answer else fields


def _has_text(peek: Peek, *names: str) -> bool:
    return all(isinstance(peek.record.get(name), str) for name in names)


def _has_columns(peek: Peek, *names: str) -> bool:
    return peek.kind == "jsonl" and all(isinstance(peek.record.get(n), list) for n in names)


def _is_trl(peek: Peek) -> bool:
    return peek.kind == "parquet" and peek.has("step", "prompt", "completion")


def _is_kdflow(peek: Peek) -> bool:
    return peek.kind == "jsonl" and _has_text(peek, "prompt", "output") and not peek.has("input")


TRL = Format(
    name="trl",
    title="completions that TRL logs (log_completions), as Parquet",
    patterns=("**/completions_*.parquet",),
    fields=_fields("step", "prompt", "completion"),
    recognise=_is_trl,
    read=partial(_read, parquet_records),
    notes=("TRL leaves special tokens out of its completions.",),
)
MS_SWIFT = Format(
    name="ms-swift",
    title="completions.jsonl of ms-swift, a line of columns for each log call",
    patterns=("**/completions.jsonl",),
    fields=(*_fields("step", "prompt", "completion"), Field("gen_step", "step")),
    recognise=lambda peek: _has_columns(peek, "prompt", "completion"),
    read=partial(_read, column_records),
)
VERL = Format(
    name="verl",
    title="rollouts that verl dumps (trainer.rollout_data_dir), a file a step",
    patterns=("**/[0-9]*.jsonl",),
    fields=_fields("step", "input", "output", "gts"),
    recognise=lambda peek: peek.kind == "jsonl" and _has_text(peek, "input", "output"),
    read=partial(_read, records_in),
    notes=("verl leaves special tokens out of its dumps; score is a reward, and is not kept.",),
)
ROLL = Format(
    name="roll",
    title="rollouts that ROLL dumps (rollout_dump_dir), a line of columns a step",
    patterns=("**/rollout_dump_data.step_*.jsonl",),
    fields=_fields("global_step", "prompt", "responses", "ground_truth"),
    recognise=lambda peek: _has_columns(peek, "responses", "scores"),
    read=partial(_read, column_records),
    notes=("ROLL leaves special tokens out of its dumps; scores are rewards, and are not kept.",),
)
KDFLOW = Format(
    name="kdflow",
    title="rollout_data of KDFlow, a file a step",
    patterns=("**/rollout_data/[0-9]*.jsonl", "[0-9]*.jsonl"),
    fields=_fields("step", "prompt", "output"),
    recognise=_is_kdflow,
    read=partial(_read, records_in),
)
