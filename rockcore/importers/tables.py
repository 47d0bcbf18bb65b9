"""Texts as the columns of the log's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rockcore.importers.rows import Text
from rockcore.importers.vocabulary import Tokenizer


def numbers_of(texts: Sequence[Text]) -> list[int]:
    """The rollout ids: the export's own where it numbers all of them, else counted."""
    keys = [t.key for t in texts if isinstance(t.key, int) and 0 <= t.key < 2**31]
    return keys if len(keys) == len(texts) else list(range(len(texts)))


def rollout_columns(step: int, texts: Sequence[Text], tokenizer: Tokenizer | None) -> dict:
    """The columns of schema.ROLLOUTS."""
    return {
        "step": [step] * len(texts),
        "rollout_id": numbers_of(texts),
        "prompt": [t.prompt or "" for t in texts],
        "teacher_prompt": [t.teacher_prompt for t in texts],
        "response": [_response(t, tokenizer) for t in texts],
        "answer": [t.answer for t in texts],
        "correct": [t.correct for t in texts],
        "truncated": [t.truncated for t in texts],
    }


def _response(text: Text, tokenizer: Tokenizer | None) -> str | None:
    if text.response is not None or text.token_ids is None:
        return text.response
    if text.tokens is not None:
        return "".join(text.tokens)
    return tokenizer.decode(text.token_ids) if tokenizer else None


def token_columns(step: int, texts: Sequence[Text], columns: Sequence[str]) -> dict[str, Any]:
    """The columns of schema.TOKENS that an export has, rollouts one after another; each text has
    ids.
    """
    ids = [t.token_ids for t in texts if t.token_ids is not None]
    lengths = [len(i) for i in ids]
    unknown = {length: np.full(length, np.nan, np.float32) for length in {*lengths}}
    return {
        "step": np.full(sum(lengths), step, np.int32),
        "rollout_id": np.repeat(np.array(numbers_of(texts), np.int32), lengths),
        "position": np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        "token_id": np.concatenate(ids),
        **{
            column: np.concatenate(
                [t.values.get(column, unknown[n]) for t, n in zip(texts, lengths, strict=True)]
            )
            for column in columns
        },
    }
