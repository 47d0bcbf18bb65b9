"""prime-rl's traces in the three layouts it had, and the traces of verifiers that it is built on.

To August 2026 a run wrote `rollouts/step_S/train/effective/traces.jsonl`, and under `all` the same
before a teacher judged it, which is refused. Then one stream of all episodes with updates beside
it, `traces/stream.jsonl` and `traces/annotations/`, later in chunks `traces/stream/0000N.jsonl`
that are packed as `.zst` when they are full. Steps may come in any order there.

What prime-rl calls reference is the teacher: only its algorithms opd and opsd judge by one and
assign `reference_logprobs` (orchestrator/algo/ at 559b447).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rockcore.importers.format import BadExport, Export, Field, Format, Peek
from rockcore.importers.rows import RowError, Text, lookup
from rockcore.importers.trace_reader import read_traces, step_in


def _read(export: Export) -> Iterator[Text | RowError]:
    _refuse_all(export)
    _refuse_several_runs(export)
    yield from read_traces(export)


def _refuse_all(export: Export) -> None:
    """Raises BadExport for traces that were written before they were scored."""
    for file in export.files:
        if file.name.startswith("traces.jsonl") and file.resolve().parent.name == "all":
            raise BadExport(
                f"{file} lies under all",
                "It was written before a teacher judged its texts: they have none of its values",
                "Import effective/traces.jsonl beside it, or its text alone: rockcore import "
                "verifiers",
            )


def _refuse_several_runs(export: Export) -> None:
    """Raises BadExport for files of two runs: their steps would be mixed."""
    runs: dict[Path, None] = {}
    for file in map(Path.resolve, export.files):
        if file.name == "stream.jsonl":
            runs[file.parent] = None
        elif file.parent.name == "stream":
            runs[file.parents[1]] = None
        elif step_in(file) is not None:
            runs[file.parents[3]] = None
    if len(runs) > 1:
        raise BadExport(
            f"The files are of {len(runs)} runs: {', '.join(map(str, list(runs)[:2]))}"
            + (" …" if len(runs) > 2 else ""),
            "Their steps would be mixed",
            "Import each run into a folder of its own",
        )


def _is_trace(record: Any) -> bool:
    """Whether a record is a trace, or an episode of traces."""
    traces = record.get("traces")
    return "nodes" in record or (isinstance(traces, list) and "task" in record)


def _is_of_training(peek: Peek) -> bool:
    """Whether a trace is one that prime-rl trained on: it says so, lies where prime-rl puts them,
    or a teacher judged it.
    """
    if (said := lookup(dict(peek.record), "run.type")) is not None:
        return said == "train"
    if step_in(peek.file) is not None:
        return True
    traces = peek.record.get("traces")
    of_traces = traces if isinstance(traces, list) else [peek.record]
    nodes = [trace.get("nodes") for trace in of_traces if isinstance(trace, dict)]
    return any(
        isinstance(node, dict) and "reference_logprobs" in node
        for each in nodes
        if isinstance(each, list)
        for node in each
    )


def _recognise(peek: Peek) -> bool:
    return _is_trace(dict(peek.record)) and _is_of_training(peek)


def _recognise_verifiers(peek: Peek) -> bool:
    return _is_trace(dict(peek.record)) and not _is_of_training(peek)


_OF_TRACES = (
    *(Field(f"{place}.step", "step") for place in ("info.ship", "run.work", "info.dispatch")),
    Field("prompt", "prompt"),
    Field("token_ids", "token_id", absent="text alone"),
    Field("message", "response"),
    Field("task.data.answer", "answer"),
    Field("stop_condition", "truncated"),
    Field("id", "rollout_id", absent="the same trace twice is not seen to be"),
    Field(
        "logprobs",
        "student_logp",
        logps="sampler",
        absent="the student's log probabilities are not known",
    ),
)
PRIME_RL = Format(
    name="prime-rl",
    title="traces of prime-rl, in its three layouts",
    patterns=(
        "**/effective/traces.jsonl",
        "**/stream.jsonl",
        "**/stream/*.jsonl",
        "**/stream/*.jsonl.zst",
        "traces.jsonl",  # of the innermost folders themselves
        "[0-9]*.jsonl",
        "[0-9]*.jsonl.zst",
    ),
    fields=(
        *_OF_TRACES,
        Field(
            "trainer_logprobs",
            "student_logp",
            logps="trainer",
            absent="the sampler's alone",
        ),
        Field("reference_logprobs", "teacher_logp", absent="no teacher values"),
        Field("entropies", "student_entropy"),
        Field("mask", "weight"),
    ),
    recognise=_recognise,
    read=_read,
    student_logps="sampler",
    notes=(
        "prime-rl's metric ref_kl is the mean of log p_teacher − log p_student, the negative of "
        "sampled_loss.",
    ),
)
VERIFIERS = Format(
    name="verifiers",
    title="traces.jsonl of an evaluation with verifiers",
    patterns=("**/traces.jsonl",),
    fields=(*_OF_TRACES, Field("mask", "weight")),
    recognise=_recognise_verifiers,
    read=read_traces,
    student_logps="sampler",
)
