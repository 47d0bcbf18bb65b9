"""RLLoggingBoard: JSON lines with one response each, as HarderThenHarder/RLLoggingBoard shows them.

Tokens are given by their text; `logprobs` are the trained policy's, `ref_logprobs` those of a
*reference* model, which is the start of training as a rule: they are a teacher's only where the
person who imports says so. Fields as of its README and rl_logging_board.py at cf56d5d.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from rockcore.importers.format import OF_TOKENS, Export, Field, Format, Peek
from rockcore.importers.lines import records_in
from rockcore.importers.rows import (
    BadRow,
    RowError,
    Text,
    given,
    lookup,
    string_of,
    texts_of,
    values_of,
)
from rockcore.importers.texts import as_answer

_REFERENCE = "ref_logprobs"
_BRACKETED = re.compile(r"[<\[][^<>\[\]]*[>\]]")
_SPECIAL = re.compile(r"[<\[].*[>\]]")


def _read(export: Export) -> Iterator[Text | RowError]:
    about, taken = export.about, export.options.reference_is_teacher
    fields = tuple(f for f in export.fields if taken or f.source != _REFERENCE)
    if taken:
        about.note(
            "The log probabilities of the reference model stand as the teacher's, as the person "
            "who imported this said."
        )
    for file in export.files:
        build = partial(_text, fields, export.step_of(file))
        yield from texts_of(records_in(export, file), build)
    if not taken:
        about.note(
            "ref_logprobs are of a reference model and were not taken as a teacher's; "
            "--reference-is-teacher takes them."
        )


def _text(
    fields: tuple[Field, ...], step: int | None, where: str, record: dict[str, Any]
) -> Text | None:
    tokens = _tokens(given(fields, record, "token_id"))
    response = string_of(fields, record, "response")
    if tokens is None:  # some lines have text alone
        return Text(
            _step(fields, step, record),
            where,
            prompt=string_of(fields, record, "prompt"),
            response=response,
            answer=as_answer(given(fields, record, "answer")),
        )
    judged = {f.source: lookup(record, f.source) for f in fields if f.column in OF_TOKENS}
    kept = _without_padding(tokens, list(judged.values()))
    for source, each in judged.items():
        if isinstance(each, list) and len(each) in range(kept, len(tokens) + 1):
            judged[source] = each[:kept]
    values = values_of(fields, judged, kept, 0, "trainer")
    return Text(
        step=_step(fields, step, record),
        where=where,
        prompt=string_of(fields, record, "prompt"),
        response=response,
        answer=as_answer(given(fields, record, "answer")),
        tokens=tokens[:kept],
        values=values,
    )


def _step(fields: tuple[Field, ...], said: int | None, record: dict[str, Any]) -> int:
    """The step of a record, which some trainers write as a text or a whole float."""
    step = given(fields, record, "step") if said is None else said
    try:
        whole = int(step)
        same = isinstance(step, str) or whole == step
    except (TypeError, ValueError, OverflowError):
        same = False
    if isinstance(step, bool) or not same:
        raise BadRow("step", f"is {ascii(step)[:80]}, not a whole number")
    return int(step)


def _tokens(value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(token, str) for token in value):
        raise BadRow("response_tokens", "is no list of texts")
    return value


def _without_padding(tokens: Sequence[str], values: Sequence[Any]) -> int:
    """How many tokens there are before the padding at the end. Some trainers wrote no values for
    it, and pad by a token of another name.
    """
    count = len(tokens)
    while count and _is_padding(tokens[count - 1]):
        count -= 1
    judged = max((len(each) for each in values if isinstance(each, list)), default=count)
    if judged < count and len(rest := set(tokens[judged:count])) == 1:
        return judged if _SPECIAL.fullmatch(rest.pop()) else count
    return count


def _is_padding(token: str) -> bool:
    """Whether it is one such as <PAD>, [pad] or <|pad|>."""
    return _BRACKETED.fullmatch(token) is not None and "pad" in token.lower()


def _recognise(peek: Peek) -> bool:
    return peek.has("prompt", "response", "response_tokens", "logprobs")


RL_LOGGING_BOARD = Format(
    name="rlloggingboard",
    title="JSON lines for RLLoggingBoard, a response each",
    patterns=("**/*.jsonl",),
    fields=(
        Field("step", "step", absent="--steps says it"),
        Field("prompt", "prompt"),
        Field("response", "response"),
        Field("ground_truth", "answer"),
        Field("response_tokens", "token_id", absent="text alone"),
        Field(
            "logprobs",
            "student_logp",
            logps="trainer",
            absent="the student's log probabilities are not known",
        ),
        Field(
            _REFERENCE, "teacher_logp", absent="no teacher values; of a reference model as a rule"
        ),
    ),
    recognise=_recognise,
    read=_read,
    student_logps="trainer",
)
