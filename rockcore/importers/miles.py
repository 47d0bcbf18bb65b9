"""miles: `--dump-details D` writes D/train_data/{rollout}_{rank}.pt, a file a rank with a list for
each column, D/rollout_data/{rollout}.pt, the texts as they were sampled, and
D/dashboard_columns/rollout_{rollout}.parquet, their tokens alone.

With context parallelism each rank holds two slices of a response; `context_slices` puts them
together, from all ranks or not at all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore.importers.context_slices import joined
from rockcore.importers.format import BadExport, Export, Field, Format, Peek
from rockcore.importers.pickle_arrays import Array, BadPickle
from rockcore.importers.rows import BadRow, RowError, Text, texts_of
from rockcore.importers.samples import (
    BESIDE_THE_TEACHER,
    NO_TEACHER,
    Dump,
    Samples,
    count_of,
    dumps_of,
    is_same_text,
    note_unmatched,
    of_list,
    step_of,
)
from rockcore.importers.torch_files import beginning, opened
from rockcore.log.files import NOT_PARQUET

# of a response, cut where the context is parallel; all else is whole on every rank
_SLICED = ("log_probs", "rollout_log_probs", "teacher_log_probs", "opd_reverse_kl", "entropy")
_SLICED += ("ref_log_probs", "kl")
_WHOLE = ("tokens", "response_lengths", "total_lengths", "loss_masks", "truncated")
_FROM_SAMPLING = ("prompt", "response", "label", "status")
_FROM_SAMPLING += ("teacher_log_probs", "opd_reverse_kl", "rollout_log_probs")  # never cut there
_DASHBOARD = ("sample_index", "response_length", "total_length", "tokens", "loss_mask")


def _read(export: Export) -> Iterator[Text | RowError]:
    rollouts: dict[int, list[Dump]] = defaultdict(list)
    pickles, tables = _by_kind(export)
    for dump in dumps_of(export, pickles):
        if isinstance(dump, RowError):
            yield dump
        else:
            rollouts[dump.rollout].append(dump)
    samples = Samples(export, topk=True)
    for dumps in rollouts.values():
        try:
            yield from _of_rollout(dumps, samples)
        except BadPickle as e:
            yield RowError(dumps[0].file.name, "file", e.parts[0])
        except BadRow as e:  # of a file as a whole
            yield RowError(dumps[0].file.name, e.field, e.what)
        for dump in dumps:
            export.advance(dump.file.stat().st_size)
    for dump in tables:
        if dump.rollout not in rollouts:
            yield from _of_dashboard(dump, samples)
        export.advance(dump.file.stat().st_size)


def _by_kind(export: Export) -> tuple[list[Path], list[Dump]]:
    """The pickles of an export, and its tables: only their names tell the rollout."""
    tables: list[Dump] = []
    pickles: list[Path] = []
    for file in export.files:
        with file.open("rb") as opened_file:
            is_table = opened_file.read(4) == b"PAR1"
        number = re.search(r"([0-9]{1,9})\.parquet$", file.name) if is_table else None
        if number and "eval" not in file.name:
            tables.append(Dump(file, {"rollout_id": int(number[1])}))
        elif not is_table:
            pickles.append(file)
    return pickles, tables


class _Rank(NamedTuple):
    """The columns of one rank, and its place among those that share a context."""

    name: str  # of its file
    columns: Mapping[str, Any]
    cp_rank: int
    cp_size: int
    padded: bool  # its slices are of the longest text: qkv_format bshd


def _of_rollout(dumps: list[Dump], samples: Samples) -> Iterator[Text | RowError]:
    """The texts of one rollout, from the files of all its ranks and from the sampling."""
    step = step_of(samples.export, dumps[0])

    def build(where: str, record: Any) -> Text:
        key, sample = record
        if isinstance(sample, tuple):
            sample = _of_ranks(sample[0], sample[1])
        if not isinstance(sample, Mapping):
            raise BadRow("samples", "holds what is no sample")
        return samples.text(where, step, key, sample)

    with ExitStack() as files:
        ranks: list[_Rank] = []
        sampled: list[Any] = []
        for dump in dumps:
            found = files.enter_context(opened(dump.file))
            if isinstance(found.get("rollout_data"), Mapping):
                ranks.append(_rank(dump.file.name, found))
            else:
                sampled += of_list(found, "samples")
        if ranks:
            yield from texts_of(_trained(ranks, sampled, samples), build)
        else:
            name = dumps[0].file.name
            records = ((f"{name}, sample {i}", (_index(s, i), s)) for i, s in enumerate(sampled))
            yield from texts_of(records, build)


def _index(sample: Any, otherwise: int) -> int:
    index = sample.get("index") if isinstance(sample, Mapping) else None
    return index if type(index) is int else otherwise


def _rank(name: str, found: Mapping[str, Any]) -> _Rank:
    rank, size = found.get("cp_rank", 0), found.get("cp_size", 1)
    fits = type(rank) is int and type(size) is int and 0 <= rank < size <= 4096
    columns = found["rollout_data"]
    if not fits or not isinstance(columns.get("sample_indices"), (list, tuple)):
        raise BadExport(
            f"{name} does not say which samples it holds, or which part of their context",
            "The files of the ranks are put together by sample_indices, cp_rank and cp_size",
            "Import rollout_data instead: its lists are whole",
        )
    return _Rank(name, columns, rank, size, found.get("qkv_format", "thd") != "thd")


def _trained(
    ranks: list[_Rank], sampled: list[Any], samples: Samples
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Every sample that some rank holds, behind its place: its index, and where it lies."""
    holders: dict[Any, list[tuple[_Rank, int]]] = defaultdict(list)
    for rank in ranks:
        for row, index in enumerate(rank.columns["sample_indices"]):
            holders[index if isinstance(index, (int, str)) else None].append((rank, row))
    by_index = {_index(s, -1): s for s in sampled}
    for index, at in holders.items():
        beside = by_index.get(index)
        if sampled and beside is None:
            note_unmatched(samples.about)
        yield f"{at[0][0].name}, row {at[0][1]}", (index, (at, beside))


def _of_ranks(holders: list[tuple[_Rank, int]], beside: Any) -> dict[str, Any]:
    """One sample of all ranks that hold it. Raises BadRow where they disagree or some are missing.

    Ranks that share a layer hold the same numbers, those of other layers lack some.
    """
    found: dict[str, Any] = {}
    for name in _WHOLE:
        values = [_cell(rank, name, row) for rank, row in holders]
        found[name] = next((v for v in values if v is not None), None)
    lengths = [count_of(_lengths(rank, row), "response_lengths") for rank, row in holders]
    totals = [count_of(_lengths(rank, row), "total_lengths") for rank, row in holders]
    if len({*lengths}) > 1 or len({*totals}) > 1 or len({r.cp_size for r, _ in holders}) > 1:
        raise BadRow("response_lengths", "differ between the files of its ranks")
    if isinstance(beside, Mapping) and is_same_text(found["tokens"], beside.get("tokens")):
        found |= {name: v for name in _FROM_SAMPLING if (v := beside.get(name)) is not None}
    for name in _SLICED:
        if found.get(name) is None:
            found[name] = _whole_column(name, holders, totals[0], lengths[0])
    return found


def _lengths(rank: _Rank, row: int) -> dict[str, Any]:
    return {name: _cell(rank, name, row) for name in ("response_lengths", "total_lengths")}


def _cell(rank: _Rank, name: str, row: int) -> Any:
    column = rank.columns.get(name)
    if isinstance(column, Array):
        column = np.atleast_1d(np.asarray(column))
    if not isinstance(column, (list, tuple, np.ndarray)) or row >= len(column):
        return None
    value = column[row]
    return np.asarray(value) if isinstance(value, Array) else value


def _whole_column(
    name: str, holders: list[tuple[_Rank, int]], total: int, length: int
) -> np.ndarray | None:
    """A column of a sample over its whole response; None where no rank has it. Raises BadRow."""
    slices: dict[int, Any] = {}
    padded = total
    for rank, row in holders:
        value = _cell(rank, name, row)
        if value is not None:
            slices.setdefault(rank.cp_rank, value)
        if rank.padded:
            padded = count_of({"max_seq_lens": _cell(rank, "max_seq_lens", row)}, "max_seq_lens")
    size = holders[0][0].cp_size
    if not slices or size == 1:
        return slices.get(0)
    try:
        return joined(slices, size, total, length, padded)
    except ValueError as e:
        raise BadRow(name, str(e)) from e


def _of_dashboard(dump: Dump, samples: Samples) -> Iterator[Text | RowError]:
    """Tokens and masks: there are no teacher values in these tables."""
    step = step_of(samples.export, dump)

    def build(where: str, record: Any) -> Text:
        return samples.text(where, step, record.get("sample_index"), record)

    def records() -> Iterator[tuple[str, Any]]:
        i = 0
        with pa.OSFile(str(dump.file)) as file:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=64):
                for record in batch.to_pylist():
                    yield f"{dump.file.name}, row {i}", record
                    i += 1

    try:
        yield from texts_of(records(), build)
    except NOT_PARQUET as e:
        yield RowError(dump.file.name, "file", f"cannot be read ({ascii(str(e))[:80]})")


def _recognise(peek: Peek) -> bool:
    if peek.kind == "parquet":
        return peek.has(*_DASHBOARD)
    if peek.kind != "pickle":
        return False
    head = beginning(peek.file)
    return "rollout_id" in head and ("rollout_data" in head or {"samples", "metadata"} <= {*head})


MILES = Format(
    name="miles",
    title="miles, the dumps of --dump-details",
    patterns=(
        "**/train_data/*.pt",
        "**/rollout_data/[0-9]*.pt",
        "**/dashboard_columns/rollout_[0-9]*.parquet",
    ),
    fields=(
        Field("tokens", "token_id", required=True),
        Field("teacher_log_probs", "teacher_logp", absent=NO_TEACHER),
        Field("opd_reverse_kl", "sampled_loss", absent="taken as student less teacher"),
        Field("opd_reverse_kl", "kl", absent="teacher_log_probs are there: one sample, no sum"),
        *BESIDE_THE_TEACHER,
    ),
    recognise=_recognise,
    read=_read,
    estimator="topk",
    student_logps="trainer",
    notes=(
        "weight is 1 where miles' loss mask lets a token count, else 0; the coefficient of the "
        "distillation is not in its dumps.",
    ),
)
