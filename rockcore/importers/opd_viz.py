"""opd-viz: the records that its server answers to /score, each one rollout; a file holds one, a
list of them, or one a line.

It judges a student against itself with a hint in the prompt. Divergences are over the student's
likeliest tokens and all others as one; of the three it works out only the reverse one is taken.
Fields as of opd-viz 0.1.0, backends.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from rockcore.importers.format import Export, Field, Format, Peek
from rockcore.importers.lines import read_document, record_of
from rockcore.importers.rows import (
    BadRow,
    RowError,
    Text,
    string_of,
    texts_of,
    values_of,
)

_TOOL = "  ↳ tool result: "  # begins what is shown of a tool, and is no token


def _read(export: Export) -> Iterator[Text | RowError]:
    for file in export.files:
        said = export.step_of(file)
        if said is None:
            export.about.note("The records name no step: all are taken as of step 0.")
        records = (
            (f"{file}, record {line.number}", record_of(line))
            for line in read_document(file, advance=export.advance)
        )
        yield from texts_of(records, partial(_text, export, said or 0))


def _text(export: Export, step: int, where: str, record: dict[str, Any]) -> Text:
    fields = export.fields
    tokens = record.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        raise BadRow("tokens", "is no list of objects")
    own = [token for token in tokens if not _is_of_tool(token)]
    if len(own) < len(tokens):
        export.about.note("What tools answered is left out: it is shown there, but is no token.")
    if isinstance(k := record.get("k"), int):
        export.about.note(
            f"kl and entropies are over the {k} likeliest tokens of the student and all others as "
            "one; a teacher's value that was not known is the least of those that were."
        )
    spelled = [string_of((_TOKEN,), token, "token_id") for token in own]
    if None in spelled:
        raise BadRow("tokens.tok", "is missing")
    columns = {f.source: [token.get(f.source.split(".")[-1]) for token in own] for f in fields}
    there = {source: each for source, each in columns.items() if each.count(None) < len(each)}
    return Text(
        step=step,
        where=where,
        prompt=string_of(fields, record, "prompt"),
        teacher_prompt=string_of(fields, record, "teacher_prompt"),
        response="".join(str(token) for token in spelled),
        tokens=[str(token) for token in spelled],
        values=values_of(fields, there, len(own), 0, "sampler"),
    )


def _is_of_tool(token: dict[str, Any]) -> bool:
    return token.get("scored") is False and str(token.get("tok", "")).startswith(_TOOL)


def _recognise(peek: Peek) -> bool:
    tokens = peek.record.get("tokens")
    return (
        peek.has("hint_prompt", "n_scored", "tokens")
        and isinstance(tokens, list)
        and all(isinstance(token, dict) for token in tokens)
    )


_TOKEN = Field("tok", "token_id", required=True)
OPD_VIZ = Format(
    name="opd-viz",
    title="records that opd-viz answers to /score",
    patterns=("**/*.jsonl", "**/*.json"),
    fields=(
        Field("tokens.tok", "token_id", required=True),
        Field("tokens.tok", "response"),
        Field("hint_prompt", "teacher_prompt", absent="what the teacher read is not known"),
        Field("tokens.kl_rev", "kl", absent="its divergence is not known"),
        Field("tokens.s_chosen", "student_logp", logps="sampler"),
        Field("tokens.t_chosen", "teacher_logp"),
        Field("tokens.entropy", "student_entropy"),
    ),
    recognise=_recognise,
    read=_read,
    estimator="topk+tail",
    student_logps="sampler",
    notes=(
        "opd-viz rounds divergences to four decimals and log probabilities to three.",
        "Teacher and student are one model; the teacher reads a hint.",
    ),
)
