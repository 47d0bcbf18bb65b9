"""Plain tables with any of our columns: Parquet, CSV and JSON lines, one row a token, or one row a
text with a list for each column of its tokens.

The order of rows and of columns is of no matter. A column called `loss` is never guessed to be one
of ours. kl is taken for the reverse KL over the whole vocabulary unless --estimator says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.importers.batches import Batch
from rockcore.importers.format import (
    OF_TEXTS,
    OF_TOKENS,
    BadExport,
    Export,
    Field,
    Format,
    Peek,
)
from rockcore.importers.parts import Parts
from rockcore.importers.rows import (
    BadRow,
    RowError,
    Text,
    given,
    ids_of,
    texts_of,
    values_of,
)
from rockcore.importers.table_files import batches
from rockcore.importers.table_rows import TokenRows, texts_in
from rockcore.importers.texts import as_answer, as_text
from rockcore.schema import noise_floor

_STRINGS = ("prompt", "teacher_prompt", "response")
_LOSS = "loss"
_IN_PATH = re.compile(r"step[=_-]?([0-9]{1,9})(?![0-9])")
_FULL = ("full", "topk+tail")
# what sampled_loss may be off log p_student − log p_teacher: of values in half precision
_SLACK, _SHARE = 0.05, 0.02


def _read(export: Export) -> Iterator[Text | RowError]:
    export.about.student_logps = export.options.student_logps or "trainer"
    rows = TokenRows(Parts(export.scratch), export.fields)
    known, unused = {f.source for f in export.fields}, dict[str, None]()
    for file in export.files:
        step = export.step_of(file)
        step = _step_in(file) if step is None else step
        for batch in batches(export, file):
            if not isinstance(batch, Batch):
                yield RowError(batch[0], batch[1].field, batch[1].what)
                continue
            _refuse_loss(export, batch)
            unused.update(dict.fromkeys(name for name in batch.columns if name not in known))
            if step is None and not batch.columns.keys() & rows.sources["step"]:
                export.about.note("The table names no step: all its texts stand at step 0.")
                step = 0
            yield from _of_batch(export, rows, batch, step)
    if unused:
        named = ", ".join(ascii(name)[1:-1][:40] for name in list(unused)[:20])
        export.about.note(f"Columns of the table that were not used: {named}.")
    for text in texts_in(rows.parts):
        yield _checked(export, text) if isinstance(text, Text) else text


def _of_batch(
    export: Export, rows: TokenRows, batch: Batch, step: int | None
) -> Iterator[Text | RowError]:
    """Rows of tokens are put aside, rows of texts are yielded."""
    if not _has_lists(rows, batch):
        yield from rows.add(batch, step)
        return

    def build(where: str, record: dict[str, Any]) -> Text:
        return _refused(export, _text(export, where, record, step))

    records = (
        (batch.place(i), {name: _cell(cells[i]) for name, cells in batch.columns.items()})
        for i in range(batch.rows)
    )
    yield from texts_of(records, build)


def _has_lists(rows: TokenRows, batch: Batch) -> bool:
    """Whether a row is a text and not a token."""
    listed = {"token_id", "token", *OF_TOKENS}
    of_tokens = {source for column in listed for source in rows.sources.get(column, ())}
    return any(
        isinstance(cell, (list, np.ndarray))
        for name in of_tokens & batch.columns.keys()
        if not isinstance(batch.columns[name], np.ndarray) or batch.columns[name].dtype == object
        for cell in batch.columns[name]
    )


def _cell(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _text(export: Export, where: str, record: Mapping[str, Any], step: int | None) -> Text:
    """The text of a row that is one."""
    fields = export.fields
    ids, tokens = given(fields, record, "token_id"), given(fields, record, "token")
    ids = None if ids is None else ids_of(ids, "token_id")
    if tokens is not None and not _are_texts(tokens):
        raise BadRow("token", "is no list of texts")
    own_step = given(fields, record, "step")
    return Text(
        step=step if own_step is None else own_step,  # pyright: ignore[reportArgumentType]
        where=where,
        key=given(fields, record, "rollout_id"),
        answer=_answer(given(fields, record, "answer")),
        **{name: as_text(_plain(given(fields, record, name)), name) for name in _STRINGS},
        **{name: _flag(given(fields, record, name)) for name in ("correct", "truncated")},
        token_ids=ids,
        tokens=None if tokens is None else list(tokens),
        values=values_of(fields, record, len(ids if ids is not None else tokens or ())),
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, np.ndarray) else value  # the messages of a chat


def _are_texts(tokens: Any) -> bool:
    return isinstance(tokens, (list, np.ndarray)) and all(isinstance(t, str) for t in tokens)


def _answer(value: Any) -> str | None:
    """Text or a number. Raises BadRow for what is neither."""
    return as_answer(value) if type(value) in (int, float) else as_text(_plain(value), "answer")


def _flag(value: Any) -> Any:
    """As rows of tokens have it: 1 and 0 are true and false."""
    if isinstance(value, float) and value != value:
        return None
    return bool(value) if type(value) in (int, float) and value in (0, 1) else value


def _checked(export: Export, text: Text) -> Text | RowError:
    try:
        return _refused(export, text)
    except BadRow as e:
        return RowError(text.where, e.field, e.what)


def _refused(export: Export, text: Text) -> Text:
    """The text; raises BadRow for values that cannot be what their column says."""
    options, about = export.options, export.about
    kl = text.values.get("kl")
    if kl is not None and options.estimator is None:
        about.note("kl was taken for the reverse KL over the whole vocabulary (--estimator).")
    if "student_logp" in text.values and options.student_logps is None:
        about.note("student_logp was taken for the trained model's own (--student-logps).")
    if kl is not None and (options.estimator or "full") in _FULL:
        below = kl < -noise_floor("bfloat16")
        if below.any():
            raise BadRow(
                "kl",
                f"has {below.sum()} of {len(kl)} values below 0, e.g. {kl[below][0]:.4g}, as no KL "
                "over the whole vocabulary has; if it is log p_student − log p_teacher, "
                "--map sampled_loss=FIELD",
            )
    _refuse_contradiction(text.values)
    return text


def _refuse_contradiction(values: Mapping[str, np.ndarray]) -> None:
    if not {"sampled_loss", "student_logp", "teacher_logp"} <= values.keys():
        return
    sampled, s, t = (values[c] for c in ("sampled_loss", "student_logp", "teacher_logp"))
    with np.errstate(invalid="ignore"):
        off = np.abs(sampled - (s - t)) > _SLACK + _SHARE * (np.abs(s) + np.abs(t))
    if off.mean() > 0.5:
        raise BadRow(
            "sampled_loss",
            f"is not student_logp − teacher_logp at {off.sum()} of {len(off)} tokens",
        )


def _refuse_loss(export: Export, batch: Batch) -> None:
    """Raises BadExport for a column `loss` that might be the one that matters."""
    judged = {"kl", "sampled_loss", "teacher_logp"}
    known = any(f.column in judged and f.source in batch.columns for f in export.fields)
    if _LOSS in batch.columns and not known and _LOSS not in {f.source for f in export.fields}:
        raise BadExport(
            f"{batch.file} has a column 'loss', and neither kl nor sampled_loss",
            "Which of the two it is cannot be guessed, and they mean different things",
            "If it is the reverse KL over the whole vocabulary, --map kl=loss; if it is log "
            "p_student − log p_teacher of the sampled token, --map sampled_loss=loss",
        )


def _step_in(file: Path) -> int | None:
    """The step that a file or its folder is named after: step=50, step_000050."""
    for name in (file.stem, file.parent.name):
        if found := _IN_PATH.search(name):
            return int(found[1])
    return None


def _recognise(peek: Peek) -> bool:
    """By columns of ours that say which token stands where, or which text."""
    if peek.kind not in ("parquet", "csv", "jsonl"):
        return False
    return peek.has("rollout_id", "position") or (
        peek.has("rollout_id") and (peek.has("token_id") or peek.has("prompt", "response"))
    )


_ABSENT = {
    "step": "--steps, a folder or file called step=50, or else step 0",
    "rollout_id": "rows of texts are counted",
    "position": "each row is a text",
    "token_id": "texts without tokens",
    "token": "tokens are shown by the tokenizer, or by their ids",
}
TABLE = Format(
    name="table",
    title="a plain table with any of our columns: Parquet, CSV, JSON lines",
    patterns=("**/*.parquet", "**/*.csv", "**/*.tsv", "**/*.jsonl", "**/*.ndjson"),
    fields=tuple(
        Field(name, name, absent=_ABSENT.get(name, "not known"))
        for name in ("rollout_id", "position", "token_id", "token", *OF_TEXTS, *OF_TOKENS)
    ),
    recognise=_recognise,
    read=_read,
    estimator="full",
    student_logps="trainer",
)
