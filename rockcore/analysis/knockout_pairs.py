"""One rollout with a token and without it, lined up: where they part, what stands there instead,
and what either side alone has.

The two were sampled with the same noise, so they are equal up to the first place of a banned token
and part there; after that they are lined up as any two texts are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from rockcore.analysis import texts
from rockcore.analysis.pairs import Alignment, align
from rockcore.analysis.texts import Readings, Text
from rockcore.categories import categorize_all, joins, sentence_starts
from rockcore.log import Run

# what a token is to the other side; `Beside.marks_a` and `marks_b` are indices into it
ROLES = (
    "the token left out",
    "written in its place",
    "only on this side",
    "the same on both sides",
)
_LEFT_OUT, _INSTEAD, _ALONE, _SAME = range(len(ROLES))


@dataclass(frozen=True)
class Beside:
    """The rollout with the token (A) and without it (B)."""

    aligned: Alignment
    parts_at: int | None  # first position that differs; None where the texts are equal
    marks_a: np.ndarray  # (T_A,) uint8, an index into ROLES
    marks_b: np.ndarray  # (T_B,) uint8


def beside(ids_a: np.ndarray, ids_b: np.ndarray, banned: Collection[int]) -> Beside:
    """Line up token ids (T_A,) of the rollout with, (T_B,) of the one without the `banned` ids."""
    ids_a, ids_b = np.asarray(ids_a), np.asarray(ids_b)
    same = shared_start(ids_a, ids_b)
    rest = align(ids_a[same:], ids_b[same:])
    start = np.arange(same)
    aligned = Alignment(*(np.concatenate([start, same + side]) for side in rest))
    marks_a, marks_b = (np.full(len(ids), _ALONE, np.uint8) for ids in (ids_a, ids_b))
    marks_a[aligned.a] = marks_b[aligned.b] = _SAME
    marks_a[np.isin(ids_a, list(banned))] = _LEFT_OUT
    parts_at = same if max(len(ids_a), len(ids_b)) > same else None
    if parts_at is not None and parts_at < len(ids_b):
        marks_b[parts_at] = _INSTEAD
    return Beside(aligned, parts_at, marks_a, marks_b)


def shared_start(ids_a: np.ndarray, ids_b: np.ndarray) -> int:
    """How many tokens at the start are the same in both."""
    n = min(len(ids_a), len(ids_b))
    differ = np.flatnonzero(ids_a[:n] != ids_b[:n])
    return int(differ[0]) if len(differ) else n


def text_of(run: Run, token_id: Sequence[int] | np.ndarray, prompt: str) -> Text:
    """A text that the log of the run does not hold, from its token ids (T,): spelled, and sorted
    into the categories of the run.
    """
    ids = np.asarray(token_id, np.int64)
    tokens = texts.spelled(run, ids)
    special = run.vocab.set_index("token_id").special.reindex(ids, fill_value=False)
    categories = categorize_all(
        tokens, special.tolist(), sentence_starts(tokens), run.category_rules, joins(tokens)
    )
    return Text(ids, tokens, list(categories), prompt, "", None, None)


def readings_of(token_id: Sequence[int] | np.ndarray) -> Readings:
    """What is known of such a text at its step: nothing but its tokens."""
    return Readings(np.asarray(token_id, np.int64), {}, None, {})
