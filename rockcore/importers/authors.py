"""The files of the paper's authors: occurrences of every token with its kl, and traces of one text.

`rock_token_occurrences_*.pt` holds one record a generated token. Two of them on the same texts, of
a student before and after training, become a run whose texts are judged at both steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.importers.format import BadExport, Export, Field, Format, Peek
from rockcore.importers.lines import read_document, record_of
from rockcore.importers.occurrences import read_records
from rockcore.importers.pickle_arrays import Array, BadPickle
from rockcore.importers.rows import BadRow, RowError, Text, ids_of, texts_of, values_of
from rockcore.importers.torch_files import beginning, machine_of

_NEEDED = ("rollout_id", "position", "token_id", "kl")
_TRACED = ("baseline", "local_opd")
_LISTED = ("rock_id", "ctrl_id")
_ABOUT = ("student_key", "domain", "prompt_style", "dataset_id", "samples_processed")


def _read(export: Export) -> Iterator[Text | RowError]:
    kinds = {_kind(file) for file in export.files}
    if len(kinds) > 1:
        raise BadExport(
            f"{len(export.files)} files are of several kinds: {', '.join(sorted(kinds))}",
            "Their numbers are of other texts, and traces have no kl",
            "Import each kind into a run of its own",
        )
    if len(export.files) > 1 and not export.options.steps:
        raise BadExport(
            f"{len(export.files)} files, and none says how far its student was trained",
            "Each is a step of the run",
            "Give one step a file, in their order: --steps 0,500",
        )
    yield from _READERS[kinds.pop()](export)


def _kind(file: Path) -> str:
    """What a file of the authors is, by how it begins."""
    with file.open("rb") as opened:
        head = opened.read(4096).lstrip(b"\xef\xbb\xbf \r\n\t")
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "occurrences"
    if head.startswith(b"{"):
        return "traces"
    return "lists"


def _occurrences(export: Export) -> Iterator[Text | RowError]:
    export.about.dtype = "bfloat16"
    seen: dict[int, dict[int, bytes]] = {}  # step -> text -> its ids, as a digest
    for file in export.files:
        step = export.step_of(file) or 0
        here = seen.setdefault(step, {})
        try:
            columns = _columns_of(file, export)
        except BadPickle as e:
            yield RowError(file.name, "file", e.parts[0])
            continue
        for row in _texts(file, step, columns):
            if isinstance(row, Text) and row.token_ids is not None and type(row.key) is int:
                here[row.key] = hashlib.sha256(row.token_ids.tobytes()).digest()
            yield row
    steps = [texts for texts in seen.values() if texts]
    if len(steps) > 1:
        same = sum(all(other.get(k) == v for other in steps) for k, v in steps[0].items())
        export.about.probes = 2 * same >= max(map(len, steps))


def _columns_of(file: Path, export: Export) -> dict[str, np.ndarray]:
    """Our columns of the records, (N,) float64 each, sorted by text and place. Raises BadPickle."""
    names = {f.column: f.source for f in export.fields if f.column in _NEEDED}
    wanted = [*names.values(), "seq_len"]
    with machine_of(file) as machine:
        value, records = read_records(machine, "occurrences", wanted, export.advance)
        total = _counted(value.get("frequencies"))
    found = {column: records.columns[source] for column, source in names.items()}
    found["seq_len"] = records.columns["seq_len"]
    if total is not None and total != len(found["kl"]):
        export.about.note(
            f"{file.name} counts {total:,.0f} tokens and has records of {len(found['kl']):,}."
        )
    for ours, theirs in (("student", "student_id"), ("teacher", "teacher_id")):
        if isinstance(value.get(theirs), str):
            setattr(export.about, ours, value[theirs][:4096])
    for name in _ABOUT:
        if type(said := value.get(name)) is str or (type(said) is int and abs(said) < 2**53):
            export.about.config[name] = said if isinstance(said, int) else said[:4096]
    text, place = found["rollout_id"], found["position"]
    if not (np.diff(text) >= 0).all() or not (np.diff(place)[np.diff(text) == 0] > 0).all():
        order = np.lexsort((place, text))
        found = {name: column[order] for name, column in found.items()}
    return found


def _counted(frequencies: Any) -> float | None:
    """How many tokens a file says that it has records of; None where it does not."""
    counts = np.asarray(frequencies) if isinstance(frequencies, Array) else np.array(None)
    total = float(counts.sum(dtype=np.float64)) if counts.dtype.kind in "iuf" else np.nan
    return total if np.isfinite(total) else None


def _texts(file: Path, step: int, columns: dict[str, np.ndarray]) -> Iterator[Text | RowError]:
    """The texts of one file. One of which a record is missing, or there twice, is no text."""
    samples = columns["rollout_id"]
    bounds = np.flatnonzero(np.diff(samples, prepend=np.nan, append=np.nan) != 0)

    def build(where: str, part: Any) -> Text:
        mine = {name: column[part] for name, column in columns.items()}
        number = mine["rollout_id"][0]
        if not number >= 0 or number != int(number) or number >= 2**31:
            raise BadRow("sample_idx", f"is {number}, not a whole number from 0 on")
        return _text(where, step, int(number), mine)

    places = (
        (f"{file.name}, sample {samples[a]:.0f}", slice(a, b))
        for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    )
    return texts_of(places, build)


def _text(where: str, step: int, number: int, mine: dict[str, np.ndarray]) -> Text:
    T, place = len(mine["position"]), mine["position"]
    length = mine["seq_len"][0]
    if not np.array_equal(place, np.arange(T)):
        last = np.nanmax(place) + 1 if np.isfinite(place).any() else 0
        raise BadRow("abs_position", f"{T} records do not count from 0 on ({last:.0f} places)")
    if not np.isnan(length) and length != T:
        raise BadRow("abs_position", f"{T} of {length:.0f} tokens have a record; a text needs all")
    ids = mine["token_id"]
    if not np.array_equal(ids, np.floor(ids)):
        raise BadRow("token_id", "has values that are no whole numbers")
    with np.errstate(invalid="ignore"):
        whole = ids_of(ids.astype(np.int64), "token_id")
    return Text(
        step=step,
        where=where,
        key=number,
        token_ids=whole,
        values={"kl": mine["kl"].astype(np.float32)},
    )


def _traces(export: Export) -> Iterator[Text | RowError]:
    def records() -> Iterator[tuple[str, Any]]:
        for number, file in enumerate(export.files):
            for line in read_document(file, advance=export.advance):
                yield f"{file.name}, record {line.number}", (number, file, record_of(line))

    def build(where: str, record: Any) -> Text:
        number, file, trace = record
        if isinstance(trace, BadRow):  # behind its file, so `texts_of` does not see it
            raise trace
        method = trace.get(_TRACED[0]) if isinstance(trace, Mapping) else None
        method = method if isinstance(method, Mapping) else {}
        tokens = method.get("tokens")
        if not isinstance(tokens, list) or not all(isinstance(t, Mapping) for t in tokens):
            raise BadRow("baseline.tokens", "is no list of tokens")
        _name_models(export, trace.get("meta"))
        return _traced(export, where, export.step_of(file) or 0, number, method, tokens)

    return texts_of(records(), build)


def _traced(
    export: Export, where: str, step: int, number: int, method: Mapping[str, Any], tokens: list[Any]
) -> Text:
    """The one text of a trace. `token_loss` there is the student's alone and left out."""
    columns = {f.source: [t.get(f.source) for t in tokens] for f in export.fields}
    known = {source: v for source, v in columns.items() if any(each is not None for each in v)}
    names = {f.column: f.source for f in export.fields}
    prompt, response = method.get("prompt_text"), method.get("response_text")
    shown_as = [t.get("token_text") for t in tokens]
    return Text(
        step=step,
        where=where,
        key=number,
        prompt=prompt if isinstance(prompt, str) else None,
        response=response if isinstance(response, str) else None,
        token_ids=ids_of(columns[names["token_id"]], names["token_id"]),
        values=values_of(export.fields, known, len(tokens)),
        tokens=shown_as if all(isinstance(t, str) for t in shown_as) else None,
    )


def _name_models(export: Export, meta: Any) -> None:
    if isinstance(meta, Mapping):
        export.about.dtype = "float32" if meta.get("dtype") == "fp32" else "bfloat16"
        for ours, theirs in (("student", "student_model"), ("teacher", "teacher_model")):
            if isinstance(meta.get(theirs), str):
                setattr(export.about, ours, meta[theirs][:4096])


def _lists(export: Export) -> Iterator[Text | RowError]:
    raise BadExport(
        f"{export.files[0]} lists token types",
        "A run is made of texts and their tokens, and a list of types holds none",
        "Import the rock_token_occurrences file that it was made from, and let "
        "`rockcore rocks RUN --preset authors` give the same list",
    )
    yield  # a reader, like the others


_READERS = {"occurrences": _occurrences, "traces": _traces, "lists": _lists}


def _recognise(peek: Peek) -> bool:
    if peek.kind == "pickle":
        head = beginning(peek.file)
        return "occurrences" in head and {"frequencies", "average_kl"} & {*head} != set()
    return peek.has(*_TRACED) or peek.has(*_LISTED)


ROCK_TOKEN = Format(
    name="rock-token",
    title="the paper's authors: rock_token_occurrences_*.pt, traces",
    patterns=("**/rock_token_occurrences*.pt", "**/trace*.json"),
    fields=(
        Field("sample_idx", "rollout_id", absent="a trace is one text"),
        Field("abs_position", "position", absent="a trace lists its tokens in their order"),
        Field("token_id", "token_id", required=True),
        Field("kl", "kl", absent="a trace has one sample, no sum"),
        Field("student_logprob", "student_logp", absent="occurrences have kl alone"),
        Field("teacher_logprob", "teacher_logp", absent="occurrences have kl alone"),
    ),
    recognise=_recognise,
    read=_read,
    estimator="full",
    student_logps="trainer",
    notes=(
        "The authors' script takes the teacher's softmax in bfloat16: a kl of up to 0.02 nats may "
        "be rounding.",
    ),
)
