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

from rockcore.schema import strict_json
from rockcore.schema.errors import DamagedRun, SchemaMismatch

SCHEMA_VERSION = 1
_TODO = "Copy the file from a backup, or train or import the run again"


class Turn(NamedTuple):
    """One turn of a conversation."""

    role: str  # system, user, assistant, …
    content: str


class Prompt(NamedTuple):
    """One task: what the student reads, what the teacher reads (privileged context allowed), the
    answer if known. A conversation stands there as one text, and in turns.
    """

    prompt: str
    teacher_prompt: str
    answer: str | None
    # empty: the text is one turn of the user
    turns: tuple[Turn, ...] = ()
    teacher_turns: tuple[Turn, ...] = ()

    def read_by(self, teacher: bool) -> tuple[Turn, ...]:
        """The conversation that the teacher is to continue, or that the student is."""
        text, turns = (
            (self.teacher_prompt, self.teacher_turns) if teacher else (self.prompt, self.turns)
        )
        return turns or (Turn("user", text),)


@dataclass(frozen=True)
class RunMeta:
    """`run.json`: what a reader must know to judge the numbers of a run."""

    name: str
    student: str
    teacher: str
    tokenizer_hash: str
    vocab_size: int
    estimator: str = "full"  # what `kl` is: full | topk+tail | topk | absent
    # whose `student_logp` is, and `sampled_loss` with it: of the model that is trained, or of the
    # engine that sampled, which rounds otherwise and may lag behind: trainer | sampler | absent
    student_logps: str = "trainer"
    source: str = "rockcore"  # the program that logged it, or the format it was imported from
    notes: list[str] = field(default_factory=list)  # what else a reader must know, a sentence each
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
        """`reason` may quote anything that went wrong: it is cut, and spelled out, to be text."""
        text = self.reason[: _LONGEST // 8].replace("\0", "\\x00")
        reason = text.encode(errors="backslashreplace").decode()
        return json.dumps({**asdict(self), "reason": reason}, indent=2, ensure_ascii=False)

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
            if f.name in known:
                for what, fits in (_KINDS[str(f.type)], _BOUNDS.get(f.name, _ANYTHING)):
                    if not fits(known[f.name]):
                        raise _wrong_field(path, f.name, known[f.name], what)
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
        data = strict_json.parse(text)
    except ValueError as e:
        raise DamagedRun(
            f"{path} is not JSON ({str(e)[:200]})", "It says what the run's numbers mean", _TODO
        ) from e
    if not isinstance(data, dict) or "schema_version" not in data:
        raise DamagedRun(
            f"{path} has no schema_version",
            "A run cannot be read without knowing its format",
            _TODO,
        )
    return data


def _is_text(value: Any) -> bool:
    """Half of a surrogate pair is no text: it can be neither shown nor written. NUL ends a text for
    the system, so that two names which differ behind it are one.
    """
    return (
        isinstance(value, str)
        and len(value) <= _LONGEST
        and not any("\ud800" <= c <= "\udfff" or c == "\0" for c in value)
    )


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63  # True is no number


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # nor is NaN


def _between(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: least <= value <= most


def _one_of(*names: str) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(names)}", lambda value: value in names


def _is_name(value: str) -> bool:
    return 0 < len(value) <= _LONGEST_NAME


def _is_moment(value: str) -> bool:
    return not value or moment(value) is not None


_LONGEST, _LONGEST_NAME = 2**16, 4096  # characters; a path of the system has fewer
_MOST_NOTES = 1000
# what a field of RunMeta may hold, by its annotation: in words, and as a check
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "str": (f"text of at most {_LONGEST:,} characters, none of them NUL", _is_text),
    "int": ("a whole number", _is_whole),
    "float": ("a finite number", _is_number),
    "list[str]": (
        f"a list of at most {_MOST_NOTES} texts",
        lambda value: (
            isinstance(value, list) and len(value) <= _MOST_NOTES and all(map(_is_text, value))
        ),
    ),
    "dict[str, Any]": ("an object", lambda value: isinstance(value, dict)),
}
_ANYTHING = ("", lambda value: True)
_COUNT = ("a number from 0 on", _between(0, 2**63))
# a run trained into the folder "." was written without a name
_SHORT = (
    f"a name of at most {_LONGEST_NAME:,} characters",
    lambda value: len(value) <= _LONGEST_NAME,
)
_NAME = (f"a name of 1 to {_LONGEST_NAME:,} characters", _is_name)
_MOMENT = ("a time in ISO 8601, or empty", _is_moment)
# and by its name
_BOUNDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": _SHORT,
    "student": _NAME,
    "teacher": _NAME,
    "tokenizer_hash": _NAME,
    # 0: of texts that no tokenizer has split
    "vocab_size": ("a number from 0 to 2,147,483,647", _between(0, 2**31 - 1)),
    "estimator": _one_of("full", "topk+tail", "topk", "absent"),
    "student_logps": _one_of("trainer", "sampler", "absent"),
    "source": _NAME,
    "temperature": _COUNT,  # 0 takes the likeliest token
    "top_p": ("a number above 0, at most 1", lambda value: 0 < value <= 1),
    "max_new_tokens": _COUNT,
    "seed": _COUNT,
    "steps_planned": _COUNT,
    "status": _one_of("running", "finished", "stopped", "failed"),
    "threads": _COUNT,
    "dtype": _one_of("float64", "float32", "bfloat16", "float16"),
    "started": _MOMENT,
    "ended": _MOMENT,
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
