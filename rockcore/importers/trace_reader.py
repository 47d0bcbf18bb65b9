"""Reads the traces of prime-rl and of verifiers: which of them were trained on, at which step, and
what each of their branches says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.importers.annotations import Updates, files_beside, merged
from rockcore.importers.branches import Said
from rockcore.importers.format import Export
from rockcore.importers.lines import records_in
from rockcore.importers.messages import was_cut, writer_of
from rockcore.importers.prompts import speller
from rockcore.importers.rows import BadRow, RowError, Text, given, lookup, texts_of, values_of
from rockcore.importers.traces import traces_of

_STEP = re.compile(r"step_(\d{1,9})")
_LEFT_OUT = {
    "eval": "texts of evaluations",
    "frozen": "texts of agents that are not trained",
    "filtered": "texts that no batch took",
    "silent": "branches without a sampled token of their own",
    "update": "updates that do not fit their trace",
}


def read_traces(export: Export) -> Iterator[Text | RowError]:
    """The texts of an export of traces, and what is wrong with those that are none."""
    reader = _Reader(export)
    yield from texts_of(reader.records(), reader.text)
    reader.note_what_was_found()


def step_in(file: Path) -> int | None:
    """The step of step_S/train/effective/traces.jsonl; None for other places."""
    above = file.parents
    found = _STEP.fullmatch(above[2].name) if len(above) > 3 else None
    return None if found is None else int(found[1])


class _Reader:
    """Reads the branches of all traces as texts."""

    def __init__(self, export: Export):
        self.export = export
        self.spell = speller(export.options)
        self.logps = export.options.student_logps or "sampler"
        export.about.student_logps = self.logps
        self.left_out: Counter[str] = Counter()
        self.fine = self.judged = False  # more than four decimals; numbers at all
        self.other = False  # the trainer's log probabilities are there and were not taken

    def records(self) -> Iterator[tuple[str, Any]]:
        """Each branch as a flat record, with its place."""
        updates, of = Updates(), None
        for file in _not_twice(self.export.files):
            beside = files_beside(file)
            if beside and beside != of:
                updates, of = Updates(), beside
                yield from updates.load(beside)
            for where, record in records_in(self.export, file):
                if isinstance(record, BadRow):
                    yield where, record
                    continue
                try:
                    traces = traces_of(record)
                except BadRow as e:
                    yield where, e
                    continue
                for trace in traces:
                    yield from self._branches(where, file, record, trace, updates)

    def _branches(
        self, where: str, file: Path, episode: dict[str, Any], trace: Any, updates: Updates
    ) -> Iterator[tuple[str, Any]]:
        try:
            if not isinstance(trace, dict):
                raise BadRow("traces", "holds what is no object")
            newer = updates.of(trace.get("id"))
            told = _told(episode, trace, newer)
            step = self._step(file, told)
            if why := _why_left_out(file, told, updates):
                self.left_out[why] += 1
                return
            said = Said(trace, newer)
        except BadRow as e:
            yield where, e
            return
        self.left_out["silent"] += said.silent
        self.left_out["update"] += said.wrong_updates
        for branch, flat in said.branches:
            key = f"{trace['id']}/{branch}" if isinstance(trace.get("id"), str) else None
            yield where, {"step": step, "key": key, "trace": trace, **flat}

    def _step(self, file: Path, told: dict[str, Any]) -> Any:
        """The step whose batch took the trace; without one, that at which it was asked for."""
        said = self.export.step_of(file)
        if said is not None:
            return said
        if (step := step_in(file.resolve())) is not None:
            return step
        if (step := given(self.export.fields, told, "step")) is not None:
            return step
        self.export.about.note("The traces name no step: all are taken as of step 0.")
        return 0

    def text(self, where: str, flat: dict[str, Any]) -> Text:
        fields = self.export.fields
        ids = given(fields, flat, "token_id")
        length = 0 if ids is None else len(ids)
        values = values_of(fields, flat, length, 0, self.logps)
        self._look_at(flat)
        self.export.about.student = self.export.about.student or writer_of(flat["trace"])
        answer = given(fields, flat["trace"], "answer")
        return Text(
            step=flat["step"],
            where=where,
            key=flat["key"],
            prompt=self._prompt(flat),
            response=given(fields, flat, "response"),
            answer=answer if isinstance(answer, str) else None,
            truncated=was_cut(flat["trace"]),
            token_ids=ids,
            values=values,
        )

    def _prompt(self, flat: dict[str, Any]) -> str | None:
        """As the student read it, where its tokens and a tokenizer are there."""
        if (read := self.spell(flat.get("prompt_ids"))) is not None:
            return read
        if flat["messages"] > 1:
            self.export.about.note(
                "Prompts of several messages are spelled with their roles; with --tokenizer they "
                "are as the student read them."
            )
        return given(self.export.fields, flat, "prompt")

    def _look_at(self, flat: dict[str, Any]) -> None:
        for name in ("logprobs", "reference_logprobs"):
            if name in flat and not self.fine:
                scaled = np.asarray(flat[name], np.float64) * 1e4
                self.judged = True
                # single precision itself is off by a hundredth of that
                self.fine = bool((np.abs(scaled - np.round(scaled)) > 0.1).any())
        self.other |= self.logps == "sampler" and "trainer_logprobs" in flat

    def note_what_was_found(self) -> None:
        note = self.export.about.note
        for why, count in (+self.left_out).items():
            note(f"Left out: {count:,} {_LEFT_OUT[why]}.")
        if self.judged and not self.fine:
            note(
                "Log probabilities are rounded to four decimals: differences of 0.0001 nats and "
                "less are rounding."
            )
        if self.other:
            note(
                "The student's log probabilities are the sampler's; the trainer's are there too: "
                "--student-logps trainer."
            )


def _not_twice(files: Sequence[Path]) -> list[Path]:
    """Without the plain chunks that are there packed too: a run that ended while it packed."""
    packed = {file.with_suffix("") for file in files if file.suffix == ".zst"}
    return [file for file in files if file not in packed]


def _told(
    episode: dict[str, Any], trace: dict[str, Any], updates: list[dict[str, Any]]
) -> dict[str, Any]:
    """What is said about a trace, the newest words last."""
    info = trace.get("info")
    for update in updates:
        info = merged(info, update.get("info"))
    return {"info": info, "run": episode.get("run"), "agent": trace.get("agent")}


def _why_left_out(file: Path, told: dict[str, Any], updates: Updates) -> str:
    """The key of _LEFT_OUT for a trace that no student was trained on; empty for others."""
    kind = lookup(told, "info.kind") or lookup(told, "run.work.type")
    if kind == "eval" or file.resolve().parent.parent.name == "eval":  # eval/effective/traces.jsonl
        return "eval"
    if lookup(told, "agent.trainable") is False:
        return "frozen"
    if updates.any_effective and lookup(told, "info.effective") is not True:
        return "filtered"
    return ""
