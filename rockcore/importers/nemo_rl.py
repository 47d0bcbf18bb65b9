"""NeMo-RL: `train_data_step{N}.jsonl` in a run's log folder, one line a sample.

Every list is as long as prompt, response and padding together, value i is for token i, and each is
wrapped in a list of its own. There is no field of the teacher: only the estimator of on-policy
distillation writes advantages that are (log p_teacher − log p_student) · mask, any other one writes
what a reward came to, which is not taken. Fields as of NeMo-RL 7ea279a.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.importers.format import BadExport, Export, Field, Format, Peek
from rockcore.importers.lines import records_in
from rockcore.importers.nemo_rl_config import advantages_of
from rockcore.importers.rows import (
    BadRow,
    RowError,
    Text,
    given,
    ids_of,
    numbers_of,
    texts_of,
    values_of,
)

_STEP = re.compile(r"train_data_step(\d{1,9})\.jsonl(\.\w+)?")
_MANY = 8  # tokens: no difference of two models is the same number at so many


def _read(export: Export) -> Iterator[Text | RowError]:
    reader = _Reader(export)
    steps: dict[int, Path] = {}
    for file in export.files:
        step = _step_of(export, file)
        if steps.setdefault(step, file) != file:
            raise BadExport(
                f"{steps[step]} and {file} are both of step {step}",
                "A run writes one file a step, so these are of two runs, which would be mixed",
                "Import the files of one run: rockcore import nemo-rl FOLDER of that run",
            )
        yield from texts_of(records_in(export, file), partial(reader.text, step))


def _step_of(export: Export, file: Path) -> int:
    said = export.step_of(file)
    if said is not None:
        return said
    found = _STEP.fullmatch(file.name)
    if found is None:
        raise BadExport(
            f"{file} is not called train_data_step{{N}}.jsonl",
            "NeMo-RL tells the step by the name of the file alone",
            "Give it its name back, or say the steps of the files: --steps 1,2,…",
        )
    return int(found[1])


class _Reader:
    """Reads samples as the options of the export want them."""

    def __init__(self, export: Export):
        self.advantages = advantages_of(export)
        self.logps = export.options.student_logps or "trainer"
        export.about.student_logps = self.logps
        opd = self.advantages.are_opd
        self.fields = tuple(f for f in export.fields if opd or f.column != "sampled_loss")
        self.before = tuple(f for f in export.fields if f.logps == "trainer")

    def text(self, step: int, where: str, record: dict[str, Any]) -> Text:
        sample = {name: _unwrapped(value) for name, value in record.items()}
        content, key = (given(self.fields, sample, name) for name in ("response", "rollout_id"))
        if given(self.fields, sample, "token_id") is None:
            return _text_alone(step, where, content, key)
        ids, mask = _ids_and_mask(self.fields, sample)
        start = int(mask.argmax())
        judged, share = mask[start:], _share(sample)
        cut = {n: v[: len(ids)] if isinstance(v, list) else v for n, v in sample.items()}
        values = values_of(self.fields, cut, len(judged), start, self.logps)
        if self.advantages.are_opd and "sampled_loss" in values:
            before = values_of(self.before, cut, len(judged), start, "trainer")
            self._add_teacher(values, before.get("student_logp"), judged, share)
        for array in values.values():
            array[~judged] = np.nan  # of another's text nobody sampled a token
        prompt, response = _messages(content, mask)
        return Text(
            step=step,
            where=where,
            key=key if type(key) is int else None,
            prompt=prompt,
            response=response,
            token_ids=ids[start:],
            values={**values, "weight": judged * np.float32(share)},
        )

    def _add_teacher(
        self,
        values: dict[str, np.ndarray],
        before: np.ndarray | None,
        judged: np.ndarray,
        share: float,
    ) -> None:
        """log p_teacher, out of the difference to the trainer's log probabilities `before`."""
        if before is None:
            raise BadRow("prev_logprobs", "is missing, and advantages are differences to it")
        loss = values["sampled_loss"] = values["sampled_loss"] + np.float32(0)  # no minus zeros
        _refuse_rewards(loss[judged])
        if not share and not loss[judged].any():
            loss[:] = np.nan  # the estimator saw this sample behind a mask of zeros
        loss[self.advantages.clipped(-loss)] = np.nan
        values.setdefault("teacher_logp", before - loss)
        if self.logps != "trainer":
            del values["sampled_loss"]  # it is the sampler's that is wanted, less the teacher's
        elif not before[judged].any() and loss[judged].any():
            # zeros stand where the trainer did not work out its own log probabilities
            loss[:] = values["student_logp"][:] = np.nan


def _unwrapped(value: Any) -> Any:
    """A batch of one sample as the sample."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _ids_and_mask(
    fields: tuple[Field, ...], sample: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """The ids of prompt and response (T,), and which of them were sampled, (T,) bool."""
    ids, length = (
        ids_of(given(fields, sample, "token_id"), "token_ids"),
        sample.get("input_lengths"),
    )
    if type(length) is not int or not 0 < length <= len(ids):
        said = ascii(length)[:80]
        raise BadRow("input_lengths", f"is {said}, not a length of at most {len(ids)} tokens")
    mask = numbers_of(given(fields, sample, "weight"), "token_loss_mask")
    if len(mask) != len(ids) or not np.isin(mask, (0, 1)).all():
        raise BadRow("token_loss_mask", f"is no mask of 0 and 1 over {len(ids)} tokens")
    mask = mask[:length].astype(bool)
    if not mask.any():
        raise BadRow("token_loss_mask", "marks no token, so there is no response")
    return ids[:length], mask


def _share(sample: dict[str, Any]) -> float:
    """What the whole sample counts in the loss; 1 where that is not said."""
    share = sample.get("sample_loss_mask")
    if share is None:
        return 1.0
    if type(share) not in (int, float) or not 0 <= share < np.inf:
        raise BadRow("sample_loss_mask", f"is {ascii(share)[:80]}, not a factor from 0 on")
    return float(share)


def _refuse_rewards(loss: np.ndarray) -> None:
    """Raises BadExport for one number at every token: no two models differ like that."""
    if len(loss) >= _MANY and loss[0] != 0 and (loss == loss[0]).all():
        raise BadExport(
            f"All {len(loss)} advantages of a sample are {-loss[0]:.6g}",
            "That is what a reward came to; teacher and student differ by another number at each "
            "token",
            "Leave --opd out: the log probabilities are imported without a teacher's",
        )


def _messages(content: Any, mask: np.ndarray) -> tuple[str | None, str | None]:
    """Prompt and response as text. The messages have no roles: from the first that was sampled on,
    those of the student and of its environment take turns.
    """
    content = [content] if isinstance(content, str) else content
    if not isinstance(content, list) or not all(isinstance(each, str) for each in content):
        return None, None
    turns = int(mask[0]) + int((mask[1:] & ~mask[:-1]).sum())
    of_response = 2 * turns - bool(mask[-1])
    if len(content) < of_response:
        return None, None
    first = len(content) - of_response
    return "".join(content[:first]), "".join(content[first:])


def _text_alone(step: int, where: str, content: Any, key: Any) -> Text:
    """Of its distillation recipe NeMo-RL writes the messages alone; the last is the student's."""
    if (
        not content
        or not isinstance(content, list)
        or not all(isinstance(each, str) for each in content)
    ):
        raise BadRow("content", "is no list of messages, and there are no token_ids")
    number = key if type(key) is int else None
    return Text(step, where, number, prompt="".join(content[:-1]), response=content[-1])


def _recognise(peek: Peek) -> bool:
    return peek.has("content", "input_lengths", "idx")


NEMO_RL = Format(
    name="nemo-rl",
    title="train_data_step{N}.jsonl of NeMo-RL, a file a step",
    patterns=("**/train_data_step*.jsonl",),
    fields=(
        Field("token_ids", "token_id", absent="text alone"),
        Field("content", "prompt"),
        Field("content", "response", absent="the response is spelled out of its tokens"),
        Field("idx", "rollout_id"),
        Field(
            "prev_logprobs",
            "student_logp",
            whole=True,
            logps="trainer",
            absent="the student's log probabilities are not known",
        ),
        Field("generation_logprobs", "student_logp", whole=True, logps="sampler"),
        Field(
            "advantages",
            "sampled_loss",
            sign=-1,
            whole=True,
            absent="no teacher values; of another estimator than opd they are not taken",
        ),
        Field("prev_logprobs + advantages", "teacher_logp", whole=True, absent="no teacher values"),
        Field("token_loss_mask", "weight", whole=True, absent="there is no response"),
    ),
    recognise=_recognise,
    read=_read,
    student_logps="trainer",
    notes=(
        "Steps are numbered as the files are: the texts of step N were written before the N-th "
        "update.",
    ),
)
