"""A knockout screen on disk: its plan (`screen.json`) and the columns of its tables.

A screen belongs to the last student of a run and lies beside its log, in a folder that no table of
the log knows: writing one makes no detection stale.

    knockout/screen.json             ScreenPlan
    knockout/problems.parquet        PROBLEMS: the held-out problems that every arm answers
    knockout/baseline.parquet        BASELINE: what the student writes with all its tokens
    knockout/outcomes/KEY.parquet    OUTCOMES: of one candidate, the rollouts that its ban changes

With one noise for all arms a rollout that holds no banned token is the same in both, so only those
that change are written, and their text only from the first banned token on.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from rockcore.schema import strict_json
from rockcore.schema.columns import Column
from rockcore.schema.errors import DamagedRun, SchemaMismatch
from rockcore.schema.holds import COUNT, KNOWN, Holds
from rockcore.schema.tables import LogTable

SCREEN_VERSION = 1
KINDS = ("token", "steered", "window", "random")
_IDS = pa.list_(pa.int32())

PROBLEMS: dict[str, Column] = {
    "problem": Column(pa.int32(), "", "Index of the problem, from 0.", holds=COUNT),
    "prompt": Column(pa.string(), "", "What the student reads.", holds=KNOWN),
    "answer": Column(pa.string(), "", "The right answer.", holds=KNOWN),
}
BASELINE: dict[str, Column] = {
    "problem": Column(pa.int32(), "", "The problem that is answered.", holds=COUNT),
    "rollout": Column(
        pa.int32(), "", "Which of the answers to it, from 0: each has its noise.", holds=COUNT
    ),
    "correct": Column(pa.bool_(), "", "Whether the answer was graded as right.", holds=KNOWN),
    "ids": Column(_IDS, "", "The tokens of the answer.", holds=COUNT),
}
OUTCOMES: dict[str, Column] = {
    "problem": BASELINE["problem"],
    "rollout": BASELINE["rollout"],
    "branch": Column(
        pa.int32(), "tokens", "Position of the first banned token in the baseline.", holds=COUNT
    ),
    "replacement": Column(
        pa.int32(), "", "The token that is written there under the ban.", holds=COUNT
    ),
    "length": Column(
        pa.int32(), "tokens", "Length of the whole answer under the ban.", holds=COUNT
    ),
    "correct": Column(
        pa.bool_(), "", "Whether the answer under the ban was graded as right.", holds=KNOWN
    ),
    "sham_correct": Column(
        pa.bool_(),
        "",
        "Whether an answer written anew from the same position, with fresh noise and no ban, was "
        "graded as right; null for kinds of candidates without a sham.",
    ),
    "ids": Column(
        _IDS,
        "",
        "The tokens under the ban from `branch` on; null where no text is kept.",
        holds=Holds(least=0),
    ),
}

_AWAY = "Move the folder knockout away and screen again: rockcore knockout RUN"
SCREEN_TABLES: dict[str, LogTable] = {
    table.name: table
    for table in (
        LogTable("knockout/problems.parquet", PROBLEMS, ("problem",), gapless=True, mend=_AWAY),
        LogTable(
            "knockout/baseline.parquet", BASELINE, ("problem", "rollout"), gapless=True, mend=_AWAY
        ),
        LogTable(
            "knockout/outcomes/{key}.parquet",
            OUTCOMES,
            ("problem", "rollout"),
            mend="Delete this file, and the screen writes it again: rockcore knockout RUN",
        ),
    )
}


@dataclass(frozen=True)
class Candidate:
    """What is knocked out together: a token, or one with its spellings, or with its window."""

    key: str  # names its file: KIND-TOKEN_ID
    kind: str  # one of KINDS
    token_id: int  # the type that it is about
    ids: tuple[int, ...]  # what is banned, ascending
    source: str = "given"  # set | next (by score) | given | random
    same_as: str = ""  # key of a candidate that bans the same ids, and so has the same outcomes


@dataclass(frozen=True)
class ScreenPlan:
    """`screen.json`: what was screened, and how. Everything but the candidates is settled when the
    screen begins.
    """

    step: int  # the student after this many updates
    student: str
    tokenizer_hash: str
    vocab_size: int
    problems: int
    rollouts: int  # answers to each problem
    seed: int
    temperature: float
    max_new_tokens: int
    stop_ids: tuple[int, ...]
    kept_texts: int  # of each candidate, the text of this many changed rollouts at most
    candidates: tuple[Candidate, ...] = ()
    schema_version: int = SCREEN_VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, path: Path) -> ScreenPlan:
        """Raises DamagedRun for what is no plan, SchemaMismatch for one of another version."""
        try:
            data = strict_json.parse(text)
            version = data["schema_version"]
        except (ValueError, TypeError, KeyError) as e:
            raise _damaged(path, f"it is no plan: {type(e).__name__}") from e
        if version != SCREEN_VERSION:
            raise SchemaMismatch(
                f"{path} has schema version {version}, this program reads {SCREEN_VERSION}",
                "Its columns may mean something else",
                "Move the folder away and screen again: rockcore knockout RUN",
            )
        try:
            candidates = tuple(_checked(Candidate, c, path) for c in data["candidates"])
        except (TypeError, KeyError) as e:
            raise _damaged(path, f"candidates: {type(e).__name__}") from e
        plan = _checked(cls, data | {"candidates": candidates}, path)
        if plan.problems < 2 or not plan.rollouts:
            raise _damaged(path, f"{plan.problems} problems × {plan.rollouts} rollouts")
        _check_candidates(plan, path)
        return plan


def _check_candidates(plan: ScreenPlan, path: Path) -> None:
    """Raises DamagedRun unless each stands there once, in the vocabulary, and one that refers to
    another bans the same.
    """
    own = {c.key: c.ids for c in plan.candidates if not c.same_as}
    if len({c.key for c in plan.candidates}) < len(plan.candidates):
        raise _damaged(path, "candidates: a key stands twice")
    for c in plan.candidates:
        if c.same_as and own.get(c.same_as) != c.ids:
            raise _damaged(path, f"candidates: {c.key} bans other ids than {ascii(c.same_as)[:80]}")
        if max(c.ids) >= plan.vocab_size:
            raise _damaged(path, f"candidates: {c.key} bans {max(c.ids)}, beyond the vocabulary")


_FITS = {
    "str": lambda v: isinstance(v, str),
    "int": lambda v: type(v) is int and 0 <= v < 2**31,
    "float": lambda v: type(v) in (int, float) and 0 < v < 1e9,
    "tuple[int, ...]": lambda v: isinstance(v, (list, tuple)) and all(map(_FITS["int"], v)),
    "tuple[Candidate, ...]": lambda v: isinstance(v, tuple),
}


def _checked(kind: Any, data: Any, path: Path) -> Any:
    """A dataclass from JSON's object, each field of the type it is declared with."""
    if not isinstance(data, dict):
        raise _damaged(path, f"{kind.__name__} is {type(data).__name__}")
    given: dict[str, Any] = {}
    for f in fields(kind):
        if f.name not in data and f.default is not MISSING:
            continue
        value = data.get(f.name)
        if not _FITS[str(f.type)](value):
            raise _damaged(path, f"{f.name} is {ascii(value)[:80]}")
        given[f.name] = tuple(value) if isinstance(value, list) else value
    made = kind(**given)
    if isinstance(made, Candidate) and (
        made.kind not in KINDS or made.key != f"{made.kind}-{made.token_id}" or not made.ids
    ):
        raise _damaged(path, f"the candidate {ascii(made.key)[:80]} of kind {made.kind[:80]!r}")
    return made


def _damaged(path: Path, what: str) -> DamagedRun:
    return DamagedRun(
        f"{path} is damaged ({what})",
        "It says what the outcomes of the screen mean",
        "Copy it from a backup, or move the folder away and screen again: rockcore knockout RUN",
    )
