"""slime: `--dump-details D` writes D/train_data/{rollout}.pt, one sample of all ranks after the
other, and D/rollout_data/{rollout}.pt, the texts as they were sampled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from rockcore.importers.format import Export, Field, Format, Peek
from rockcore.importers.pickle_arrays import BadPickle
from rockcore.importers.rows import BadRow, RowError, Text, texts_of
from rockcore.importers.samples import (
    BESIDE_THE_TEACHER,
    NO_TEACHER,
    Dump,
    Samples,
    dumps_of,
    is_same_text,
    note_unmatched,
    of_list,
    step_of,
)
from rockcore.importers.torch_files import beginning, opened

_OF_TRAINING = ("format_version", "dp_shards")
_FROM_SAMPLING = ("prompt", "response", "label", "status")


def _read(export: Export) -> Iterator[Text | RowError]:
    rollouts: dict[int, list[Dump]] = defaultdict(list)
    for dump in dumps_of(export, export.files):
        if isinstance(dump, RowError):
            yield dump
        else:
            rollouts[dump.rollout].append(dump)
    samples = Samples(export)
    for dumps in rollouts.values():
        trained = [d for d in dumps if _is_of_training(d.head)]
        sampled = [d for d in dumps if not _is_of_training(d.head)]
        for dump in trained or sampled:
            try:
                yield from _of_file(dump, sampled if trained else [], samples)
            except BadPickle as e:
                yield RowError(dump.file.name, "file", e.parts[0])
            except BadRow as e:  # of the file as a whole
                yield RowError(dump.file.name, e.field, e.what)
        for dump in dumps:
            export.advance(dump.file.stat().st_size)


def _of_file(dump: Dump, sampled: list[Dump], samples: Samples) -> Iterator[Text | RowError]:
    """The texts of a file; what was sampled with them is looked up in `sampled`."""
    step = step_of(samples.export, dump)

    def build(where: str, record: Any) -> Text:
        position, sample = record
        if not isinstance(sample, Mapping):
            raise BadRow("samples", "holds what is no sample")
        key = sample.get("rollout_position")
        key = sample.get("sample_index", sample.get("index")) if key is None else key
        return samples.text(where, step, position if key is None else key, sample)

    with ExitStack() as files:
        found = of_list(files.enter_context(opened(dump.file)), "samples")
        beside = [of_list(files.enter_context(opened(d.file)), "samples") for d in sampled]
        records = (
            (f"{dump.file.name}, sample {i}", (i, _joined(sample, beside, samples)))
            for i, sample in enumerate(found)
        )
        yield from texts_of(records, build)


def _joined(sample: Any, beside: list[list[Any]], samples: Samples) -> Any:
    """A sample of the training with the texts of the same one as it was sampled."""
    if not beside or not isinstance(sample, Mapping):
        return sample
    at = sample.get("rollout_position")
    other = beside[0][at] if type(at) is int and 0 <= at < len(beside[0]) else None
    if isinstance(other, Mapping) and is_same_text(sample.get("tokens"), other.get("tokens")):
        return {**{name: other.get(name) for name in _FROM_SAMPLING}, **sample}
    note_unmatched(samples.about)
    return sample


def _is_of_training(head: Mapping[str, Any]) -> bool:
    return any(name in head for name in _OF_TRAINING)


def _recognise(peek: Peek) -> bool:
    if peek.kind != "pickle":
        return False
    head = beginning(peek.file)
    return "rollout_id" in head and "samples" in head and "metadata" not in head


SLIME = Format(
    name="slime",
    title="slime, the dumps of --dump-details",
    patterns=("**/train_data/*.pt", "**/rollout_data/[0-9]*.pt"),
    fields=(
        Field("tokens", "token_id", required=True),
        Field("teacher_log_probs", "teacher_logp", absent=NO_TEACHER),
        Field("opd_reverse_kl", "sampled_loss", absent="taken as student less teacher"),
        *BESIDE_THE_TEACHER,
    ),
    recognise=_recognise,
    read=_read,
    student_logps="trainer",
    notes=(
        "weight is 1 where slime's loss mask lets a token count, else 0; the coefficient of the "
        "distillation is not in its dumps.",
    ),
)
