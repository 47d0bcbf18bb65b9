"""tinker-cookbook: what its capture writes of sampled sequences, and data as its losses take it.

Capture (`capture/sample.jsonl`, its store `capture.sqlite`, or rows of it as JSON lines) has no
teacher: value i is for sampled token i. A datum of a loss is shifted to the left as a whole:
`logprobs[i]` and `mask[i]` are for `target_tokens[i]`. Nothing public writes data to files; one
with `teacher_logprobs` as `compute_logprobs` answers them, one more at the front that is null, or
with `reverse_kl`, is read as tinker_cookbook/distillation/train_on_policy.py computes with it.
Fields as of 0.6.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from rockcore.importers.capture_store import is_store, records_of_store
from rockcore.importers.format import BadExport, Export, Field, Format, Peek
from rockcore.importers.lines import records_in
from rockcore.importers.prompts import speller
from rockcore.importers.rows import (
    BadRow,
    RowError,
    Text,
    given,
    ids_of,
    lookup,
    numbers_of,
    texts_of,
    values_of,
)

_LEFT_OUT = {
    "eval": "sequences of evaluations",
    "failed": "requests without an answer",
    "other": "records of other operations",
}


def _read(export: Export) -> Iterator[Text | RowError]:
    reader = _Reader(export)
    for file in export.files:
        reader.said = export.step_of(file)
        if is_store(file):
            records = records_of_store(file)
            export.advance(file.stat().st_size)
        else:
            records = records_in(export, file)
        yield from texts_of(reader.sequences(records), reader.text)
    for why, count in reader.left_out.items():
        export.about.note(f"Left out: {count:,} {_LEFT_OUT[why]}.")


class _Reader:
    """Reads sampled sequences and data of losses as texts."""

    def __init__(self, export: Export):
        self.export = export
        self.spell = speller(export.options)
        self.said: int | None = None  # the step of the file that is read, where --steps says it
        self.run: Any = None
        self.left_out: Counter[str] = Counter()

    def sequences(self, records: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        """Each sequence of a record as a flat record of its own, with its place."""
        for where, record in records:
            if isinstance(record, BadRow):
                yield where, record
            elif why := _why_left_out(record):
                self.left_out[why] += 1
            else:
                self._refuse_other_runs(where, record)
                yield from _sequences_of(where, record)

    def _prompt(self, record: dict[str, Any]) -> str | None:
        """There as tokens alone."""
        ids = record.get("prompt_tokens")
        return None if ids is None else self.spell(ids_of(ids, "prompt_tokens"))

    def _refuse_other_runs(self, where: str, record: dict[str, Any]) -> None:
        """Raises BadExport for a record of another run than those before it."""
        run = _scope(record).get("run_id")
        self.run = run if self.run is None else self.run
        if run is not None and run != self.run:
            raise BadExport(
                f"{where} is of the run {ascii(run)[:80]}, what stands before it of "
                f"{ascii(self.run)[:80]}",
                "Their steps would be mixed",
                "Write the records of one run into a file of their own, and import that",
            )

    def text(self, where: str, record: dict[str, Any]) -> Text:
        fields = self.export.fields
        ids = ids_of(given(fields, record, "token_id"), "token_id")
        step = given(fields, record, "step") if self.said is None else self.said
        if step is None:
            raise BadRow("scope.iteration", "is missing: --steps says the step of each file")
        if name := record.get("base_model") or lookup(record, "metadata.base_model"):
            self.export.about.student = self.export.about.student or ascii(str(name))[1:-1][:200]
        values = values_of(fields, record, len(ids), 0, "sampler")
        for column, array in values.items():
            array[~record.get("mask", np.ones(len(ids), bool))] = (
                0 if column == "weight" else np.nan
            )
        reason = given(fields, record, "truncated") or lookup(record, "metadata.stop_reason")
        return Text(
            step=step,
            where=where,
            key=_key(record),
            prompt=self._prompt(record),
            truncated=None if reason is None else reason == "length",
            token_ids=ids,
            values=values,
        )


def _scope(record: dict[str, Any]) -> dict[str, Any]:
    """What is said of the run; rows of the store say it beside the rest."""
    return record["scope"] if isinstance(record.get("scope"), dict) else record


def _sequences_of(where: str, record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(record.get("samples"), list):
        for number, sample in enumerate(record["samples"]):
            yield f"{where}, sample {number}", _of_sample(record, sample, number)
    elif isinstance(record.get("loss_fn_inputs"), dict):
        try:
            yield where, _of_datum(record)
        except BadRow as e:
            yield where, e
    else:
        yield where, record


def _why_left_out(record: dict[str, Any]) -> str:
    """The key of _LEFT_OUT for what no student learned from; empty for others."""
    told = _scope(record)
    if record.get("kind", "sample") != "sample":
        return "other"
    if told.get("split") not in (None, "train") or told.get("purpose") == "eval":
        return "eval"
    if "samples" in record and not record["samples"]:
        return "failed"
    return ""


def _of_sample(record: dict[str, Any], sample: Any, number: int) -> Any:
    """A sequence of a request, with what is said of the request."""
    if not isinstance(sample, dict):
        return BadRow("samples", "holds what is no object")
    about = {name: value for name, value in record.items() if name != "samples"}
    own = {**sample, "sampled_tokens": sample.get("tokens"), "sample_idx": number}
    return {**about, **_scope(record), **own}


def _of_datum(record: dict[str, Any]) -> dict[str, Any]:
    """A datum from its first trained token on; `mask` says which of them were the student's."""
    inputs = {name: _numbers(value) for name, value in record["loss_fn_inputs"].items()}
    targets = ids_of(inputs.get("target_tokens"), "loss_fn_inputs.target_tokens")
    mask = numbers_of(inputs.get("mask", inputs.get("weights")), "loss_fn_inputs.mask")
    if len(mask) != len(targets) or not (mask > 0).any():
        raise BadRow("loss_fn_inputs.mask", f"marks no token of {len(targets)}, or has not as many")
    start = int((mask > 0).argmax())
    flat: dict[str, Any] = {name: v for name, v in record.items() if name != "loss_fn_inputs"}
    for name in ("logprobs", "teacher_logprobs", "reverse_kl"):
        if inputs.get(name) is not None:
            values = numbers_of(inputs[name], f"loss_fn_inputs.{name}")
            if name == "teacher_logprobs" and len(values) == len(targets) + 1:
                values = values[1:]  # of the first token nobody predicts
            if len(values) != len(targets):
                said = f"has {len(values)} values for {len(targets)} target tokens"
                raise BadRow(f"loss_fn_inputs.{name}", said)
            flat[name] = values[start:]
    read = _read_tokens(record.get("model_input"))
    if len(read) == len(targets):  # the token at i predicts target i
        flat["prompt_tokens"] = read[: start + 1]
    return {
        **flat,
        "sampled_tokens": targets[start:],
        "weights": mask[start:],
        "mask": mask[start:] > 0,
    }


def _read_tokens(model_input: Any) -> list[Any]:
    """The tokens of a datum's input; of one with pictures too, fewer than it has positions."""
    chunks = model_input.get("chunks") if isinstance(model_input, dict) else None
    tokens = [c.get("tokens") for c in chunks or [] if isinstance(c, dict)]
    return [token for part in tokens if isinstance(part, list) for token in part]


def _numbers(value: Any) -> Any:
    """The numbers of a tensor, which is written with its type and shape."""
    return value.get("data") if isinstance(value, dict) else value


def _key(record: dict[str, Any]) -> str | None:
    """What tells a sequence from others: the session, its request, and which answer it is."""
    parts = [record.get(name) for name in ("sampling_session_id", "seq_id", "sample_idx")]
    return None if None in parts[1:] else "/".join(map(str, parts))


def _recognise(peek: Peek) -> bool:
    captured = peek.has("kind", "scope", "created_at")
    row = peek.has("sampled_tokens", "logprobs", "sampling_session_id")
    inputs = peek.record.get("loss_fn_inputs")
    return captured or row or (isinstance(inputs, dict) and "target_tokens" in inputs)


TINKER = Format(
    name="tinker",
    title="capture of tinker-cookbook, or data of its losses",
    patterns=("**/sample.jsonl", "**/wire_rows*.jsonl", "**/capture.sqlite"),
    fields=(
        Field("iteration", "step", absent="--steps says it"),
        Field("sampled_tokens", "token_id", required=True),
        Field("stop_reason", "truncated"),
        Field("seq_id", "rollout_id", absent="the same sequence twice is not seen to be"),
        Field(
            "logprobs",
            "student_logp",
            logps="sampler",
            absent="the student's log probabilities are not known",
        ),
        Field("teacher_logprobs", "teacher_logp", absent="no teacher values, as in all captures"),
        Field("reverse_kl", "sampled_loss"),
        Field("weights", "weight"),
    ),
    recognise=_recognise,
    read=_read,
    student_logps="sampler",
)
