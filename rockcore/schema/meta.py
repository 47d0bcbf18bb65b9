"""`run.json`, and what else a run is told by: its prompts and its tokenizer."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from rockcore.schema.errors import DamagedRun, SchemaMismatch

SCHEMA_VERSION = 1
_TODO = "Copy the file from a backup, or train or import the run again"


class Prompt(NamedTuple):
    """One task: what the student reads, what the teacher reads (privileged context allowed), the
    answer if known.
    """

    prompt: str
    teacher_prompt: str
    answer: str | None


@dataclass(frozen=True)
class RunMeta:
    """`run.json`: what a reader must know to judge the numbers of a run."""

    name: str
    student: str
    teacher: str
    tokenizer_hash: str
    vocab_size: int
    estimator: str = "full"  # what `kl` is: full | topk+tail | absent
    objective: str = "reverse_kl"
    normaliser: str = "tokens"  # what the summed kl of a batch is divided by
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 0
    seed: int = 0
    steps_planned: int = 0
    scenario: str = ""  # of the built-in world; empty for other prompts
    origin: str = ""  # where a persisting divergence can come from, in words for the reader
    status: str = "running"  # running | finished | stopped | failed
    reason: str = ""  # why it stopped or failed
    threads: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    code_version: str = ""
    started: str = ""  # ISO 8601, UTC
    ended: str = ""  # the same; empty while it runs, and in logs older than this field
    config: dict[str, Any] = field(default_factory=dict)  # the full SessionConfig
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, path: Path) -> RunMeta:
        """Raises DamagedRun if `text` is no such object or a field has another type than here,
        SchemaMismatch if it is of another version.
        """
        data = _object(text, path)
        version = data["schema_version"]
        if not _is_whole(version):
            raise _wrong_field(path, "schema_version", version, "a whole number")
        if version != SCHEMA_VERSION:
            raise SchemaMismatch(
                f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}",
                "Columns may mean something else there",
                "Open the run with the version of rock-token-explorer that wrote it, or train or "
                "import it again",
            )
        missing = [
            f.name
            for f in fields(cls)
            if f.default is MISSING and f.default_factory is MISSING and f.name not in data
        ]
        if missing:
            raise DamagedRun(
                f"{path} lacks {', '.join(missing)}", "A run cannot be shown without them", _TODO
            )
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        for f in fields(cls):
            what, fits = _KINDS[str(f.type)]
            if f.name in known and not fits(known[f.name]):
                raise _wrong_field(path, f.name, known[f.name], what)
        for name in ("started", "ended"):
            if known.get(name) and moment(known[name]) is None:
                raise _wrong_field(path, name, known[name], "a time in ISO 8601, or empty")
        return cls(**known)


def moment(iso: str) -> datetime | None:
    """A time of `run.json`, in UTC where it names no zone; None for what is no such time."""
    try:  # Python 3.10 knows no Z
        found = datetime.fromisoformat(iso.removesuffix("Z") + "+00:00" * iso.endswith("Z"))
        return found.replace(tzinfo=found.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _object(text: str | bytes, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as e:
        reason = "brackets within brackets without end" if isinstance(e, RecursionError) else e
        raise DamagedRun(
            f"{path} is not JSON ({reason})", "It says what the run's numbers mean", _TODO
        ) from e
    if not isinstance(data, dict) or "schema_version" not in data:
        raise DamagedRun(
            f"{path} has no schema_version",
            "A run cannot be read without knowing its format",
            _TODO,
        )
    return data


def _is_text(value: Any) -> bool:
    """Half of a surrogate pair is no text: it can be neither shown nor written."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63  # True is no number


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # nor is NaN


# what a field of RunMeta may hold, by its annotation: in words, and as a check
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "str": ("text", _is_text),
    "int": ("a whole number", _is_whole),
    "float": ("a finite number", _is_number),
    "dict[str, Any]": ("an object", lambda value: isinstance(value, dict)),
}


def _wrong_field(path: Path, name: str, value: Any, what: str) -> DamagedRun:
    shown = ascii(value)
    shown = shown if len(shown) <= 80 else shown[:79] + "…"
    return DamagedRun(
        f"{path}: {name} is {shown}, not {what}",
        "Pages and detection compute with it or print it",
        _TODO,
    )


def tokenizer_hash(vocabulary: dict[str, int]) -> str:
    """A fingerprint of the map from token to id; two tokenizers with the same one give ids the same
    meaning.
    """
    text = json.dumps(sorted(vocabulary.items(), key=lambda item: item[1]), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
