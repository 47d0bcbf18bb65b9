"""Samples as the trainers of slime's family hold them: prompt and response in one list of tokens,
and lists of numbers for the response alone, value i for its token i.

Which student `opd_reverse_kl` was taken against is not in these dumps: it is told by which of the
two log probabilities gives it, less the teacher's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rockcore.importers.format import About, BadExport, Export, Field
from rockcore.importers.pickle_arrays import Array, BadPickle
from rockcore.importers.rows import (
    BadRow,
    RowError,
    Text,
    given,
    ids_of,
    lookup,
    numbers_of,
    values_of,
)
from rockcore.importers.torch_files import beginning

LOGPS = ("trainer", "sampler")
_TEACHERS = ("teacher_logp", "sampled_loss", "kl")
REFERENCE = Field("ref_log_probs", "teacher_logp")
NO_TEACHER = "no teacher values in this export"
BESIDE_THE_TEACHER = (
    Field("log_probs", "student_logp", logps="trainer"),
    Field("rollout_log_probs", "student_logp", logps="sampler"),
    Field("entropy", "student_entropy"),
    Field("loss_masks", "weight"),
    Field("loss_mask", "weight"),
    Field("prompt", "prompt", absent="rollout_data has it"),
    Field("response", "response"),
    Field("label", "answer"),
    Field("status", "truncated"),
    Field("truncated", "truncated"),
)
_ROUNDING = {"rtol": 1e-4, "atol": 1e-5}
_MOST_SAID = 2**23  # characters and entries of a prompt's messages


class Dump(NamedTuple):
    """A file of a rollout: its beginning tells which and of what kind."""

    file: Path
    head: Mapping[str, Any]

    @property
    def rollout(self) -> int:
        return self.head["rollout_id"]


def dumps_of(export: Export, files: Iterable[Path]) -> Iterator[Dump | RowError]:
    """Those files of an export that begin as dumps of a rollout; evaluations are left out."""
    for file in files:
        if file.name.startswith("eval_"):
            export.about.note("Files of evaluations are left out: nothing is trained on them.")
            continue
        try:
            head = beginning(file)
        except BadPickle as e:
            yield RowError(file.name, "file", e.parts[0])
            continue
        if type(head.get("rollout_id")) is not int:
            yield RowError(file.name, "rollout_id", "is missing, or no whole number")
        else:
            yield Dump(file, head)


def step_of(export: Export, dump: Dump) -> int:
    """The step of a file: what --steps says, else its rollout."""
    given_step = export.step_of(dump.file)
    return dump.rollout if given_step is None else given_step


def numbers_read(record: Mapping[str, Any], fields: Iterable[Field]) -> dict[str, Any]:
    """A sample with the numbers of those tensors read that the mapping asks for."""
    wanted = {f.source for f in fields} | {"kl", "total_lengths", "response_lengths"}
    return {
        name: np.asarray(value) if isinstance(value, Array) and name in wanted else value
        for name, value in record.items()
    }


def count_of(record: Mapping[str, Any], *names: str) -> int:
    """A length, by the first of these names that is there. Raises BadRow."""
    for name in names:
        if (value := record.get(name)) is not None:
            if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
                value = value.item()
            if type(value) is not int or value < 0:
                raise BadRow(name, "is no whole number from 0 on")
            return value
    raise BadRow(names[0], "is missing")


def text_of_messages(prompt: Any) -> str | None:
    """A prompt that is text or a list of messages, as text. Raises BadRow."""
    if prompt is None or isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and _is_finite(prompt):
        said = [
            (m["role"], m.get("content"))
            for m in prompt
            if isinstance(m, dict) and isinstance(m.get("role"), str)
        ]
        plain = [(role, content or "") for role, content in said if isinstance(content, str | None)]
        if len(plain) == len(prompt):
            return "\n".join(f"{role}: {content}" for role, content in plain)
        try:
            return json.dumps(prompt, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            pass
    raise BadRow("prompt", f"is of type {type(prompt).__name__}, not text or messages")


def _is_finite(value: Any) -> bool:
    """Whether it can be spelled out: in a pickle, lists may hold one another over and over."""
    left, waiting = _MOST_SAID, [value]
    while waiting and left > 0:
        found = waiting.pop()
        left -= 1
        if isinstance(found, (str, bytes)):
            left -= len(found)
        elif isinstance(found, (list, tuple, dict)) and len(found) < left:
            left -= len(found)
            waiting += [*found, *found.values()] if isinstance(found, dict) else found
    return not waiting and left > 0


class Samples:
    """Builds the texts of one export, and finds out whose student values it holds."""

    def __init__(self, export: Export, topk: bool = False):
        """With `topk`, an `opd_reverse_kl` without a teacher's log probabilities is a sum over
        likely tokens.
        """
        self.export, self.about, self.topk = export, export.about, topk
        more = (REFERENCE,) if export.options.reference_is_teacher else ()
        self.fields = (*export.fields, *more)

    def text(self, where: str, step: int, key: Any, record: Mapping[str, Any]) -> Text:
        """The text of a sample. Raises BadRow; BadExport for an export that has no teacher but
        looks as if it had, and for one that does not tell whose its values are.
        """
        record = numbers_read(record, self.fields)
        tokens = ids_of(given(self.fields, record, "token_id"), "tokens")
        length = count_of(record, "response_length", "response_lengths")
        if record.get("total_lengths") is not None:
            total = count_of(record, "total_lengths")
            if total != len(tokens):
                raise BadRow("tokens", f"has {len(tokens)} tokens, total_lengths says {total}")
        if length > len(tokens):
            raise BadRow("tokens", f"has {len(tokens)} tokens for a response of {length}")
        values = self._values(record, length, where)
        response, answer = (given(self.fields, record, c) for c in ("response", "answer"))
        return Text(
            step=step,
            where=where,
            key=key if type(key) is int and 0 <= key < 2**31 else None,
            prompt=text_of_messages(given(self.fields, record, "prompt")),
            response=response if isinstance(response, str) else None,
            answer=answer if isinstance(answer, str) else None,
            truncated=_truncated(given(self.fields, record, "truncated")),
            token_ids=tokens[len(tokens) - length :],
            values=values,
        )

    def _values(self, record: Mapping[str, Any], length: int, where: str) -> dict[str, np.ndarray]:
        by = {who: values_of(self.fields, record, length, logps=who) for who in LOGPS}
        values = by["trainer"]  # all but student_logp are the same in both
        there = [column for column in _TEACHERS if column in values]
        if not there:
            self._refuse_reference(record, where)
        if self.topk and "sampled_loss" in values:
            if "teacher_logp" not in values:
                return self._of_topk(values)
            for each in by.values():
                each.pop("kl", None)
        students = {who: by[who]["student_logp"] for who in LOGPS if "student_logp" in by[who]}
        if not students:
            return values
        fitting = self._fitting(students, values)
        told = "sampled_loss" in values or "teacher_logp" not in values
        who = self._whose(students, fitting, told)
        if "sampled_loss" in values and who not in fitting:
            self.about.note("opd_reverse_kl is of the other student: s - t is taken anew.")
            del by[who]["sampled_loss"]
        return by[who]

    def _of_topk(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.about.estimator not in ("", "topk"):
            raise BadRow("teacher_log_probs", "is missing, and other samples have it")
        self.about.estimator = "topk"
        self.about.note(
            "opd_reverse_kl was summed over the likeliest tokens when the texts were sampled: kl "
            "is that sum."
        )
        return {c: v for c, v in values.items() if c not in ("sampled_loss", "student_logp")}

    def _refuse_reference(self, record: Mapping[str, Any], where: str) -> None:
        """`kl` of these dumps is against the reference model, and zeros where there is none."""
        kl = record.get("kl")
        if kl is None or not numbers_of(kl, "kl").any():
            return
        raise BadExport(
            f"{where}: no teacher values in this export; it has kl, which these trainers take "
            "against their reference model",
            "That is no divergence from a teacher, and showing it as one would mislead",
            "Say --reference-is-teacher if the reference model was the teacher; else import "
            "rollout_data alone, for its texts, and rescore them with rockcore score",
        )

    def _fitting(self, students: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> list[str]:
        """Those students whose log probabilities give `sampled_loss`, all where nothing can tell.
        Raises BadRow where none does.
        """
        loss, teacher = values.get("sampled_loss"), values.get("teacher_logp")
        if loss is None or teacher is None:
            return list(students)
        fits = [
            who
            for who, student in students.items()
            if np.allclose(student - teacher, loss, equal_nan=True, **_ROUNDING)
        ]
        if not fits:
            names = " nor ".join(f.source for f in self.fields if f.logps in students)
            raise BadRow("opd_reverse_kl", f"is not {names} less teacher_log_probs")
        return fits

    def _whose(self, students: dict[str, np.ndarray], fitting: list[str], told: bool) -> str:
        """trainer or sampler; `told` where nothing needs to be asked. Raises as `text`."""
        asked = self.export.options.student_logps
        if asked:
            if asked not in students:
                source = next(f.source for f in self.fields if f.logps == asked)
                raise BadRow(source, f"is missing, and --student-logps asks for the {asked}")
            self._settle(asked)
        elif len(fitting) == 1:
            self._settle(fitting[0])
        elif not told and not self.about.student_logps:
            raise BadExport(
                "log_probs of the trainer and rollout_log_probs of the sampler are there, and no "
                "opd_reverse_kl to tell which of them the loss was taken of",
                "The two differ: engines round, and the sampler may lag behind",
                "Say --student-logps trainer or --student-logps sampler",
            )
        who = self.about.student_logps or LOGPS[0]
        return who if who in students else fitting[0]

    def _settle(self, who: str) -> None:
        if self.about.student_logps not in ("", who):
            raise BadRow("opd_reverse_kl", f"is of the {who}, other samples are of the other")
        self.about.student_logps = who


def _truncated(said: Any) -> bool | None:
    """A status in words, or a flag."""
    if isinstance(said, str):
        return said == "truncated"
    if isinstance(said, (np.ndarray, np.generic)) and said.size == 1:
        said = said.item()
    return bool(said) if isinstance(said, (bool, int)) else None


def of_list(record: Any, name: str) -> list[Any]:
    """A list in a record. Raises BadRow."""
    value = lookup(record, name) if isinstance(record, Mapping) else None
    if not isinstance(value, list):
        raise BadRow(name, "is no list")
    return value


def is_same_text(tokens: Any, others: Any) -> bool:
    """Whether two fields hold the same token ids."""
    try:
        a, b = (ids_of(np.asarray(t) if isinstance(t, Array) else t, "") for t in (tokens, others))
    except BadRow:
        return False
    return np.array_equal(a, b)


def note_unmatched(about: About) -> None:
    about.note("Some samples are in no rollout_data: their prompts are not known.")
